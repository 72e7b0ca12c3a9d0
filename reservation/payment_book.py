"""The payments table as the till's memory: what each idempotency key has led to so far.

A payment row's life: pending -> captured (with its order, in one transaction)
                              -> declined
                              -> refunding -> refunded (paid, but the tickets were gone)
Every step is a conditional update, so that a repeated checkout, the first try and the sweeper can
race and exactly one of them decides. `refunding` is written before the provider is asked: a refund
cut short is finished by the sweeper, and no later try can sell on money that is on its way back.
"""

from typing import Any

from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from reservation import till_statements as sql
from reservation.api import CheckoutRequest, Order, PaymentStatus, PaymentTimeout, Stores
from reservation.boundary import database_reading, database_transaction
from reservation.errors import NotApplied, UnknownOutcome

SETTLE_BATCH = 1000  # doubtful payments looked at in one pass
ABANDONED_AGES = 10  # see `PaymentBook.settle_older_than`
_UNKEYED_MARK = "#"


def unkeyed(key: str, now: float) -> str:
    """Make an order key that collides with no other: what a shop without a unique key has."""
    return f"{key}{_UNKEYED_MARK}{now!r}"


def original_key(stored: str) -> str:
    """Read the buyer's idempotency key out of `orders.idempotency_key` (for audits).

    They are equal unless the till runs with `idempotency` other than `unique`.
    """
    return stored.partition(_UNKEYED_MARK)[0]


class PaymentBook:
    """Reads and moves payment rows; each call is its own transaction."""

    def __init__(self, stores: Stores) -> None:
        self._engine = stores.engine
        self._payments = stores.payments
        self._clock = stores.clock

    def first_answer(self, key: str) -> tuple[Order | None, str | None]:
        """Find a key's order and its payment's status; None for what there is not.

        Raises:
            NotApplied: the database failed.
        """
        with database_reading(self._engine) as connection:
            row = connection.execute(sql.FIRST_ANSWER, {"key": key}).first()
            if row is None:
                return None, None
            if row.id is None:
                return None, row.status
            return _order(connection, key, row), row.status

    def first_unkeyed_order(self, key: str) -> Order | None:
        """Find a key's first order in a shop that does not keep keys unique.

        Raises:
            NotApplied: the database failed.
        """
        with database_reading(self._engine) as connection:
            found = connection.execute(sql.ORDER_BY_PREFIX, {"prefix": key + _UNKEYED_MARK}).first()
            return None if found is None else _order(connection, key, found)

    def note_pending(self, request: CheckoutRequest, *, again: bool) -> None:
        """Write that money may be taken; `again` makes an old note young.

        Raises:
            NotApplied, UnknownOutcome: the database failed.
        """
        try:
            with database_transaction(self._engine) as connection:
                if again:
                    stamp = {"key": request.idempotency_key, "at": self._clock.now()}
                    connection.execute(sql.TOUCH_PENDING, stamp)
                else:
                    connection.execute(sql.INSERT_PAYMENT, self.row(request, "pending"))
        except IntegrityError:
            return  # a concurrent try of the same key noted it

    def note_final(self, request: CheckoutRequest, status: str) -> None:
        """Write the end of a payment that was never noted as pending.

        Raises:
            NotApplied, UnknownOutcome: the database failed.
        """
        try:
            with database_transaction(self._engine) as connection:
                connection.execute(sql.INSERT_PAYMENT, self.row(request, status))
        except IntegrityError:
            return  # a concurrent try of the same key wrote it

    def mark_declined(self, key: str) -> None:
        """Write that the provider said no; it remembers, so a failing database may miss this."""
        try:
            with database_transaction(self._engine) as connection:
                connection.execute(sql.DECLINE, {"key": key})
        except (NotApplied, UnknownOutcome):
            return  # a repeat, or the sweeper, asks the provider and writes it again

    def mark_captured(self, key: str) -> None:
        """Write that the money is kept though there is no order (refunds are switched off).

        Raises:
            NotApplied, UnknownOutcome: the database failed.
        """
        with database_transaction(self._engine) as connection:
            connection.execute(sql.MARK_CAPTURED, {"key": key})

    def settle(self, key: str, *, aged: bool = False) -> tuple[PaymentStatus, bool]:
        """Close a payment that gets no order: refund it if it was captured.

        Returns its status and whether it was this call that closed it; CAPTURED means that it was
        already closed, or has its order. UNKNOWN means that the provider has not heard of it: the
        row stays `refunding`, so that it cannot sell and the sweeper asks again, until it is
        `aged` and no capture can still be under way.

        Raises:
            PaymentTimeout: the provider did not answer; the row stays `refunding`.
            NotApplied, UnknownOutcome: the database failed.
        """
        with database_transaction(self._engine) as connection:
            if connection.execute(sql.BEGIN_REFUND, {"key": key}).rowcount != 1:
                return PaymentStatus.CAPTURED, False
        status = self._payments.lookup(key)
        if status is PaymentStatus.CAPTURED:
            status = self._payments.refund(key)
        if status is PaymentStatus.UNKNOWN and not aged:
            return status, False
        final = "refunded" if status is PaymentStatus.REFUNDED else "declined"
        with database_transaction(self._engine) as connection:
            ended = connection.execute(sql.END_REFUND, {"key": key, "final": final}).rowcount
        return status, ended == 1

    def settle_older_than(self, age_s: float) -> int:
        """Settle payments noted longer ago than `age_s` and still open; returns refunds made.

        One the provider has not heard of may still be waiting for its buyer (3-D Secure has no
        upper bound), so it is left alone until it is `ABANDONED_AGES` times as old.

        Raises:
            NotApplied, UnknownOutcome: the database failed; the next pass goes on.
        """
        now = self._clock.now()
        with database_reading(self._engine) as connection:
            oldest = {"before": now - age_s, "batch": SETTLE_BATCH}
            doubtful = connection.execute(sql.DOUBTFUL, oldest).all()
        refunded = 0
        for key, status, created_at in doubtful:
            aged = created_at <= now - ABANDONED_AGES * age_s
            try:
                if status == "pending" and not aged and self._is_unheard_of(key):
                    continue
                ended, closed = self.settle(key, aged=aged)
            except PaymentTimeout:
                continue  # the row is still open: the next pass asks again
            refunded += closed and ended is PaymentStatus.REFUNDED
        return refunded

    def _is_unheard_of(self, key: str) -> bool:
        return self._payments.lookup(key) is PaymentStatus.UNKNOWN

    def row(self, request: CheckoutRequest, status: str) -> dict[str, Any]:
        """Make a payment row for `request`."""
        return {
            "idempotency_key": request.idempotency_key,
            "hold_id": request.hold.hold_id,
            "amount_cents": request.amount_cents,
            "status": status,
            "created_at": self._clock.now(),
        }


def _order(connection: Connection, key: str, row: Row[*tuple[Any, ...]]) -> Order:
    seats = connection.execute(sql.SEATS_OF_ORDER, {"order": row.id}).scalars()
    return Order(
        order_id=row.id,
        idempotency_key=key,
        event_id=row.event_id,
        customer_id=row.customer_id,
        quantity=row.quantity,
        seats=tuple(seats),
    )
