"""Guard by condition: every write names the state it expects, and the row count says if it was so.

No read before a write, so nothing can change in between; the database's row lock during one
statement is all that is needed, on any isolation level.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from reservation import cart_sql as sql
from reservation.api import Hold, HoldRequest
from reservation.cart_writer import CartInserter, Times, ended_carts, give_back_by_event
from reservation.carts import EndedCart
from reservation.errors import SoldOut


class ConditionalWriter:
    """The competent writer (`db-cart`)."""

    def __init__(self, statements: sql.CartSql, inserter: CartInserter) -> None:
        self._sql = statements
        self._insert = inserter.insert

    def reserve(self, connection: Connection, request: HoldRequest) -> float:
        """Insert the cart, then deduct; see `CartWriter`."""
        expires_at = self._insert(connection, request)
        if request.seats:
            claim = {
                "event": request.event_id,
                "numbers": request.seats,
                "cart": request.hold_id,
            }
            if connection.execute(sql.HOLD_SEATS, claim).rowcount != request.quantity:
                raise SoldOut(f"a seat of {', '.join(request.seats)} is taken")
        if not self.deduct(connection, request.event_id, request.quantity):
            raise SoldOut(f"event {request.event_id} has fewer than {request.quantity} tickets")
        return expires_at

    def deduct(self, connection: Connection, event_id: int, tickets: int) -> bool:
        """Take tickets off the counter if there are enough."""
        wanted = {"event": event_id, "tickets": tickets}
        return connection.execute(sql.DEDUCT, wanted).rowcount == 1

    def end(
        self, connection: Connection, cart_id: str, to: str, due: Times | None
    ) -> EndedCart | None:
        """End a held cart; see `CartWriter`."""
        move = {"cart": cart_id, "to": to}
        if due is None:
            rows = connection.execute(self._sql.end_held, move).all()
        else:
            rows = connection.execute(self._sql.end_due, {**move, **due}).all()
        return ended_carts(rows)[0] if rows else None

    def end_batch(self, connection: Connection, due: Times, batch: int) -> list[EndedCart]:
        """Expire the oldest due carts in one statement; see `CartWriter`."""
        limits = {**due, "batch": batch}
        return ended_carts(connection.execute(self._sql.expire_batch, limits).all())

    def give_back(self, connection: Connection, ended: Sequence[EndedCart]) -> None:
        """Free the seats and return the tickets; see `CartWriter`."""
        give_back_by_event(connection, ended, sql.FREE_SEATS, _add_back)

    def confirm(self, connection: Connection, hold: Hold, alive: Times) -> bool:
        """Mark a live cart paid and its seats sold; see `CartWriter`."""
        confirmed = connection.execute(self._sql.confirm, {"cart": hold.hold_id, **alive})
        if confirmed.rowcount != 1:
            return False
        if not hold.seats:
            return True
        sale = {"event": hold.event_id, "numbers": hold.seats, "cart": hold.hold_id}
        return connection.execute(sql.SELL_SEATS, sale).rowcount == len(hold.seats)


class UnguardedEnds(ConditionalWriter):
    """Reads a cart, then ends it by primary key: the ORM's habit (A06, A07, A11)."""

    def __init__(
        self, statements: sql.CartSql, inserter: CartInserter, reading: "EndsByReading"
    ) -> None:
        super().__init__(statements, inserter)
        self._reading = reading
