"""The till: the part of a checkout that is the same for every strategy.

The order is the design's: look the idempotency key up, verify the hold, note the payment as
pending, capture it, then commit the order, its items and the strategy's own deduction in one
transaction, and only then drop the hold. No connection is held while the provider takes its time.
What a key has led to so far is kept in `reservation.payment_book`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from reservation import till_statements as sql
from reservation.api import CheckoutRequest, Hold, Order, PaymentStatus, PaymentTimeout, Stores
from reservation.boundary import database_transaction
from reservation.errors import (
    HoldExpired,
    NotApplied,
    OrderRefused,
    PaymentDeclined,
    UnknownOutcome,
)
from reservation.payment_book import PaymentBook, original_key, unkeyed

__all__ = [
    "TILL_CHOICES",
    "TILL_DEFAULTS",
    "TILL_DEFAULTS_WITHOUT_DROP",
    "Till",
    "TillOptions",
    "original_key",
    "till_options",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TillOptions:
    """Safeguards of a checkout; every value but the default is the bad variant of an anomaly.

    `idempotency`: `unique` claims the key first; `check-then-insert` looks and then inserts with
    nothing to stop a second look in between (C07); `none` forgets the key (C01).
    `payment_intent`: note a payment as pending before it is captured, so that a crash after the
    capture can be settled (C05). `refund`: give the money back when the order is refused.
    `drop_hold`: `before-commit` lets somebody else hold the tickets while they are paid (C04).
    `payment_in_transaction`: capture while holding a database connection (A21).
    """

    idempotency: Literal["unique", "check-then-insert", "none"] = "unique"
    payment_intent: bool = True
    refund: bool = True
    drop_hold: Literal["after-commit", "before-commit"] = "after-commit"
    payment_in_transaction: bool = False


TILL_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(TillOptions)}
TILL_DEFAULTS_WITHOUT_DROP: dict[str, Any] = {
    name: default for name, default in TILL_DEFAULTS.items() if name != "drop_hold"
}
TILL_CHOICES: dict[str, tuple[Any, ...]] = {
    "idempotency": ("unique", "check-then-insert", "none"),
    "drop_hold": ("after-commit", "before-commit"),
}


def till_options(options: Mapping[str, Any]) -> TillOptions:
    """Pick the till's options out of a strategy's."""
    return TillOptions(**{name: options[name] for name in TILL_DEFAULTS if name in options})


Verify = Callable[[Hold], None]
Take = Callable[[Connection, Hold], bool]
Drop = Callable[[Hold], None]


class _TicketsGone(Exception):
    """Inside the order's transaction: the strategy's deduction said no."""


class _KeyClosed(Exception):
    """Somebody else has decided this idempotency key."""


class Till:
    """Sells holds for one strategy on one application server."""

    def __init__(self, stores: Stores, options: TillOptions) -> None:
        self._engine = stores.engine
        self._payments = stores.payments
        self._clock = stores.clock
        self._book = PaymentBook(stores)
        self._options = options

    def sell(self, request: CheckoutRequest, *, verify: Verify, take: Take, drop: Drop) -> Order:
        """Turn a hold into an order, once per idempotency key.

        `verify` raises HoldExpired for a hold that may not be paid any more; `take` makes the
        strategy's deduction inside the order's transaction and says whether it could; `drop`
        forgets the hold, and a store failure in it is left to the hold's own end.

        Raises:
            HoldExpired, PaymentDeclined, OrderRefused: a definite no.
            NotApplied: a store failed before the payment was begun.
            UnknownOutcome: a store or the provider failed later; repeat with the same key.
        """
        order, status = self._first_answer(request)
        if order is None:
            order = self._sell_now(request, status, verify, take, drop)
        if self._options.drop_hold == "after-commit":
            _drop_if_possible(drop, request.hold)
        return order

    def settle_doubtful(self, older_than_s: float) -> int:
        """Refund captured payments that never became orders; returns how many.

        `older_than_s` must be longer than a commit can take after its capture: a younger payment
        may be about to become an order.

        Raises:
            NotApplied, UnknownOutcome: the database failed; the next pass goes on.
        """
        if not (self._options.refund and self._options.payment_intent):
            return 0
        return self._book.settle_older_than(older_than_s)

    def _first_answer(self, request: CheckoutRequest) -> tuple[Order | None, str | None]:
        if self._options.idempotency == "unique":
            return self._book.first_answer(request.idempotency_key)
        if self._options.idempotency == "check-then-insert":
            return self._book.first_unkeyed_order(request.idempotency_key), None
        return None, None

    def _sell_now(
        self,
        request: CheckoutRequest,
        status: str | None,
        verify: Verify,
        take: Take,
        drop: Drop,
    ) -> Order:
        if status not in {None, "pending"}:
            return self._repeat_refusal(request, status)
        try:
            verify(request.hold)
        except HoldExpired:
            order = self._end_earlier_try(request)
            if order is None:
                raise
            return order
        if self._options.payment_intent:
            self._book.note_pending(request, again=status == "pending")
        try:
            if not self._options.payment_in_transaction:
                self._capture(request)
            if self._options.drop_hold == "before-commit":
                _drop_if_possible(drop, request.hold)
            return self._commit(request, take)
        except (_TicketsGone, _KeyClosed, IntegrityError):
            return self._refuse(request)
        except NotApplied as error:
            raise UnknownOutcome(f"paid, but the order is not certain: {error}") from error

    def _repeat_refusal(self, request: CheckoutRequest, status: str | None) -> Order:
        """Answer a key that was refused before as it was answered then."""
        if status == "refunding":
            return self._refuse(request)
        if status == "declined":
            raise PaymentDeclined(f"payment {request.idempotency_key} was declined before")
        raise _refused(request)  # refunded; or captured without an order, when refund=False

    def _end_earlier_try(self, request: CheckoutRequest) -> Order | None:
        """See what another try of this key did, now that its hold is over.

        It may have sold the hold; or captured and died, which is refunded; or it may still be
        under way, and then it must not sell after this try has said no.
        """
        order, status = self._first_answer(request)
        if status != "pending":
            return order
        try:
            return self._refuse(request)
        except PaymentDeclined:
            return None

    def _capture(self, request: CheckoutRequest) -> None:
        key = request.idempotency_key
        try:
            status = self._payments.capture(key, request.amount_cents)
        except PaymentTimeout as error:
            raise UnknownOutcome(f"no answer to payment {key}: {error}") from error
        if status is PaymentStatus.DECLINED:
            self._book.mark_declined(key)
            raise PaymentDeclined(f"the provider declined payment {key}")
        if status is PaymentStatus.REFUNDED:
            raise _KeyClosed

    def _commit(self, request: CheckoutRequest, take: Take) -> Order:
        with database_transaction(self._engine) as connection:
            if self._options.payment_in_transaction:
                self._capture(request)
            self._claim(connection, request)
            if not take(connection, request.hold):
                raise _TicketsGone
            return self._insert_order(connection, request)

    def _claim(self, connection: Connection, request: CheckoutRequest) -> None:
        """Decide, among all tries of this key, that this one sells."""
        key = {"key": request.idempotency_key}
        unique = self._options.idempotency == "unique"
        if not self._options.payment_intent:
            if unique:
                connection.execute(sql.INSERT_PAYMENT, self._book.row(request, "captured"))
        elif not unique:
            connection.execute(sql.MARK_CAPTURED, key)
        elif connection.execute(sql.CLAIM, key).rowcount != 1:
            raise _KeyClosed

    def _insert_order(self, connection: Connection, request: CheckoutRequest) -> Order:
        hold = request.hold
        now = self._clock.now()
        key = request.idempotency_key
        row = {
            "idempotency_key": key if self._options.idempotency == "unique" else unkeyed(key, now),
            "hold_id": hold.hold_id,
            "event_id": hold.event_id,
            "customer_id": hold.customer_id,
            "quantity": hold.quantity,
            "created_at": now,
        }
        primary_key = connection.execute(sql.INSERT_ORDER, row).inserted_primary_key
        assert primary_key is not None, "orders.id is generated by the database"
        order_id = int(primary_key[0])
        connection.execute(sql.INSERT_ITEM, sql.item_rows(order_id, hold))
        return Order(
            order_id=order_id,
            idempotency_key=key,
            event_id=hold.event_id,
            customer_id=hold.customer_id,
            quantity=hold.quantity,
            seats=hold.seats,
        )

    def _refuse(self, request: CheckoutRequest) -> Order:
        """Give captured money back and refuse; returns the order if another try has won.

        Raises:
            OrderRefused: the refund is certain (or refunds are switched off).
            PaymentDeclined: nothing was captured after all.
            UnknownOutcome: it is not certain; repeating with the same key, or the sweeper, ends it.
        """
        key = request.idempotency_key
        try:
            status = self._give_back(request)
            if status is PaymentStatus.CAPTURED:
                order, _ = self._first_answer(request)
                if order is not None:
                    return order
        except PaymentTimeout as error:
            raise UnknownOutcome(f"the refund of {key} was not confirmed: {error}") from error
        except NotApplied as error:
            raise UnknownOutcome(f"the refund of {key} was not noted: {error}") from error
        if status in {PaymentStatus.CAPTURED, PaymentStatus.REFUNDED}:
            raise _refused(request)
        raise PaymentDeclined(f"payment {key} was not captured and is closed")

    def _give_back(self, request: CheckoutRequest) -> PaymentStatus:
        """Refund a payment; CAPTURED means that there was nothing left to refund here."""
        key = request.idempotency_key
        if self._options.payment_intent and self._options.refund:
            return self._book.settle(key)[0]
        if self._options.payment_intent:
            self._book.mark_captured(key)
            return PaymentStatus.CAPTURED
        if self._first_answer(request)[0] is not None:
            return PaymentStatus.CAPTURED
        if self._options.refund:
            self._payments.refund(key)
        self._book.note_final(request, "refunded" if self._options.refund else "captured")
        return PaymentStatus.REFUNDED


def _drop_if_possible(drop: Drop, hold: Hold) -> None:
    """Drop the hold; a store that fails now leaves it to the hold's own end."""
    try:
        drop(hold)
    except (NotApplied, UnknownOutcome):
        return


def _refused(request: CheckoutRequest) -> OrderRefused:
    return OrderRefused(
        f"the tickets of hold {request.hold.hold_id} were gone; "
        f"payment {request.idempotency_key} is given back"
    )
