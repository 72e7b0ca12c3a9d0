"""Guard by reading first: with SELECT ... FOR UPDATE it is right, without it, it is a race.

The same code twice, because that is the whole difference between `db-cart-row-lock` and
`db-cart-naive`: what was read may be written over only if nobody could change it meanwhile (A01,
A06, A07, A11).
"""

from collections.abc import Callable, Sequence

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

# `read` compares deadlines, whichever clock it asks; a release does not use the answer.
_ANY_MOMENT: Times = {"moment": 0.0, "shift": 0.0}

AddBack = Callable[[Connection, int, int], None]


class ReadThenWrite:
    """Reads, decides in the application, writes by primary key; `lock` makes the reads lock.

    `locks_key` locks an event's key beside its counter, which deadlocks on PostgreSQL (A13).
    """

    def __init__(
        self,
        statements: sql.CartSql,
        inserter: CartInserter,
        *,
        lock: bool,
        locks_key: bool = False,
    ) -> None:
        self._insert = inserter.insert
        self._lock = lock
        self._read_cart = statements.locked_read if lock else statements.read
        self._due_batch = statements.locked_due_batch if lock else statements.due_batch
        self._read_seats = sql.LOCK_SEATS if lock else sql.READ_SEATS
        locking = sql.LOCK_REMAINING_AND_KEY if locks_key else sql.LOCK_REMAINING
        self._read_remaining = locking if lock else sql.READ_REMAINING

    def writer(self) -> CartWriter:
        """Hand out the writes."""
        return CartWriter(
            reserve=self._reserve_locked if self._lock else self._reserve_unlocked,
            looks_first=not self._lock,
            deduct=self._deduct,
            end=self.end,
            end_batch=self.end_batch,
            give_back=self.giving_back(self._add_back),
            confirm=self._confirm,
        )

    def giving_back(self, add_back: AddBack) -> Callable[[Connection, Sequence[EndedCart]], None]:
        """Make a give-back that frees seats by their key, whoever has them now (A07)."""

        def give_back(connection: Connection, ended: Sequence[EndedCart]) -> None:
            give_back_by_event(connection, ended, sql.FREE_SEATS_BY_KEY, add_back)

        return give_back

    def end(
        self, connection: Connection, cart_id: str, to: str, due: Times | None
    ) -> EndedCart | None:
        """Read a cart, then end it by its key; see `CartWriter`."""
        times = due if due is not None else _ANY_MOMENT
        row = connection.execute(self._read_cart, {"cart": cart_id, **times}).first()
        if row is None or row.status != "held" or (due is not None and row.alive):
            return None
        connection.execute(sql.MOVE_BY_KEY, {"cart": cart_id, "to": to})
        return ended_carts([row])[0]

    def end_batch(self, connection: Connection, due: Times, batch: int) -> list[EndedCart]:
        """Read the oldest due carts, then end them by their keys; see `CartWriter`."""
        limits = {**due, "batch": batch}
        ended = ended_carts(connection.execute(self._due_batch, limits).all())
        for start in range(0, len(ended), sql.IN_LIST):
            keys = [cart.cart_id for cart in ended[start : start + sql.IN_LIST]]
            connection.execute(sql.EXPIRE_BY_KEYS, {"carts": keys})
        return ended

    def _reserve_locked(self, connection: Connection, request: HoldRequest) -> float:
        expires_at = self._insert(connection, request)
        self._claim_seats(connection, request)
        if not self._deduct(connection, request.event_id, request.quantity):
            raise too_few(request)
        return expires_at

    def _reserve_unlocked(self, connection: Connection, request: HoldRequest) -> float:
        remaining = self._remaining(connection, request.event_id)
        if remaining < request.quantity:
            raise too_few(request)
        self._check_seats(connection, request)
        expires_at = self._insert(connection, request)
        self._hold_seats(connection, request)
        self._write_remaining(connection, request.event_id, remaining - request.quantity)
        return expires_at

    def _claim_seats(self, connection: Connection, request: HoldRequest) -> None:
        self._check_seats(connection, request)
        self._hold_seats(connection, request)

    def _check_seats(self, connection: Connection, request: HoldRequest) -> None:
        if not request.seats:
            return
        wanted = {"event": request.event_id, "numbers": request.seats}
        found = connection.execute(self._read_seats, wanted).scalars().all()
        if list(found) != ["available"] * request.quantity:
            raise seat_taken(request)

    def _hold_seats(self, connection: Connection, request: HoldRequest) -> None:
        if request.seats:
            claim = {"event": request.event_id, "numbers": request.seats, "cart": request.hold_id}
            connection.execute(sql.HOLD_SEATS_BY_KEY, claim)

    def _remaining(self, connection: Connection, event_id: int) -> int:
        return connection.execute(self._read_remaining, {"event": event_id}).scalar() or 0

    def _write_remaining(self, connection: Connection, event_id: int, left: int) -> None:
        connection.execute(sql.WRITE_REMAINING, {"event": event_id, "left": left})

    def _deduct(self, connection: Connection, event_id: int, tickets: int) -> bool:
        remaining = self._remaining(connection, event_id)
        if remaining < tickets:
            return False
        self._write_remaining(connection, event_id, remaining - tickets)
        return True

    def _add_back(self, connection: Connection, event_id: int, tickets: int) -> None:
        remaining = self._remaining(connection, event_id)
        self._write_remaining(connection, event_id, remaining + tickets)

    def _confirm(self, connection: Connection, hold: Hold, alive: Times) -> bool:
        row = connection.execute(self._read_cart, {"cart": hold.hold_id, **alive}).first()
        if row is None or row.status != "held" or not row.alive:
            return False
        confirm_blind(connection, hold, alive)
        return True


def confirm_blind(connection: Connection, hold: Hold, _alive: Times) -> bool:
    """Mark a cart paid by its key, whatever has become of it (A08)."""
    connection.execute(sql.MOVE_BY_KEY, {"cart": hold.hold_id, "to": "paid"})
    if hold.seats:
        sale = {"event": hold.event_id, "numbers": hold.seats}
        connection.execute(sql.SELL_SEATS_BY_KEY, sale)
    return True
