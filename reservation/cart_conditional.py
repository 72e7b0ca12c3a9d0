"""Guard by condition: every write names the state it expects, and the row count says if it was so.

No read before a write, so nothing can change in between; the database's row lock during one
statement is all that is needed, on any isolation level.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from reservation import cart_sql as sql
from reservation.api import Hold, HoldRequest
from reservation.cart_writer import (
    CartInserter,
    CartWriter,
    Times,
    ended_carts,
    give_back_by_event,
    seat_taken,
    too_few,
)
from reservation.carts import EndedCart


class Conditional:
    """The writes of `db-cart`; `writer` hands them out."""

    def __init__(self, statements: sql.CartSql, inserter: CartInserter) -> None:
        self._sql = statements
        self._insert = inserter.insert

    def writer(self) -> CartWriter:
        """Hand out the writes, every one of them guarded."""
        return CartWriter(
            reserve=self._reserve,
            looks_first=False,
            deduct=_deduct,
            end=self._end,
            end_batch=self._end_batch,
            give_back=_give_back,
            confirm=self._confirm,
        )

    def _reserve(self, connection: Connection, request: HoldRequest) -> float:
        expires_at = self._insert(connection, request)
        if request.seats:
            claim = {
                "event": request.event_id,
                "numbers": request.seats,
                "cart": request.hold_id,
            }
            if connection.execute(sql.HOLD_SEATS, claim).rowcount != request.quantity:
                raise seat_taken(request)
        if not _deduct(connection, request.event_id, request.quantity):
            raise too_few(request)
        return expires_at

    def _end(
        self, connection: Connection, cart_id: str, to: str, due: Times | None
    ) -> EndedCart | None:
        move = {"cart": cart_id, "to": to}
        if due is None:
            rows = connection.execute(self._sql.end_held, move).all()
        else:
            rows = connection.execute(self._sql.end_due, {**move, **due}).all()
        return ended_carts(rows)[0] if rows else None

    def _end_batch(self, connection: Connection, due: Times, batch: int) -> list[EndedCart]:
        limits = {**due, "batch": batch}
        return ended_carts(connection.execute(self._sql.expire_batch, limits).all())

    def _confirm(self, connection: Connection, hold: Hold, alive: Times) -> bool:
        confirmed = connection.execute(self._sql.confirm, {"cart": hold.hold_id, **alive})
        if confirmed.rowcount != 1:
            return False
        if not hold.seats:
            return True
        sale = {"event": hold.event_id, "numbers": hold.seats, "cart": hold.hold_id}
        return connection.execute(sql.SELL_SEATS, sale).rowcount == len(hold.seats)


def _deduct(connection: Connection, event_id: int, tickets: int) -> bool:
    wanted = {"event": event_id, "tickets": tickets}
    return connection.execute(sql.DEDUCT, wanted).rowcount == 1


def add_back(connection: Connection, event_id: int, tickets: int) -> None:
    """Return tickets to the counter without reading it."""
    connection.execute(sql.ADD, {"event": event_id, "tickets": tickets})


def _give_back(connection: Connection, ended: Sequence[EndedCart]) -> None:
    give_back_by_event(connection, ended, sql.FREE_SEATS, add_back)
