"""What is said between the runner and its application servers: small tuples, marshalled.

A strategy call travels as its method's name and plain arguments. `Dictation` is a strategy that
does nothing but write down which call a buyer wants, so that buyers need not know where it runs.
"""

import marshal
from collections.abc import Callable
from typing import Any, NamedTuple

from reservation.api import (
    Availability,
    CheckoutRequest,
    Hold,
    HoldRequest,
    Order,
    Strategy,
    SweepReport,
)
from reservation.errors import (
    HoldExpired,
    NotApplied,
    OrderRefused,
    PaymentDeclined,
    ReservationError,
    SoldOut,
    UnknownOutcome,
)

LARGEST = 1 << 18  # bytes of one message; a hold that names its seats is the longest
ERRORS: dict[str, type[ReservationError]] = {
    kind.__name__: kind
    for kind in (SoldOut, HoldExpired, PaymentDeclined, OrderRefused, NotApplied, UnknownOutcome)
}


class StrategyCrashed(Exception):
    """The code under test raised what it never should; the message is its traceback."""


class Command(NamedTuple):
    """One strategy call for a server to make: the method, and its arguments as plain data."""

    method: str
    arguments: tuple[Any, ...]


class Dictation:
    """Writes calls down (see the module); each method returns a `Command`.

    `as_told` turns a hold of a buyer's into the one the servers know (deadlines in their time).
    """

    def __init__(self, as_told: Callable[[Hold], Hold]) -> None:
        self._as_told = as_told

    def hold(self, request: HoldRequest) -> Any:
        """Take down a hold."""
        return Command(
            "hold",
            (
                request.hold_id,
                request.event_id,
                request.customer_id,
                request.quantity,
                request.seats,
            ),
        )

    def release(self, hold: Hold) -> Any:
        """Take down a release."""
        return Command("release", (hold_as_tuple(self._as_told(hold)),))

    def checkout(self, request: CheckoutRequest) -> Any:
        """Take down a checkout."""
        return Command(
            "checkout",
            (
                hold_as_tuple(self._as_told(request.hold)),
                request.idempotency_key,
                request.amount_cents,
            ),
        )

    def sweep(self) -> Any:
        """Take down a pass of the sweeper."""
        return Command("sweep", ())

    def run_task(self, name: str, argument: str) -> Any:
        """Take down a delayed task."""
        return Command("run_task", (name, argument))

    def open_sale(self, event_id: int) -> None:
        """Not a call of buyers."""
        raise NotImplementedError("a sale is opened by the auditor, before servers run")

    def availability(self, event_id: int) -> Availability:
        """Not a call of buyers."""
        raise NotImplementedError("availability is read by the auditor, at rest")


def hold_as_tuple(hold: Hold) -> tuple[Any, ...]:
    """A hold as plain data; its deadline comes last."""
    return (
        hold.hold_id,
        hold.event_id,
        hold.customer_id,
        hold.quantity,
        hold.seats,
        hold.expires_at,
    )


def hold_from(fields: tuple[Any, ...]) -> Hold:
    """The reverse of `hold_as_tuple`."""
    hold_id, event_id, customer_id, quantity, seats, expires_at = fields
    return Hold(
        hold_id=hold_id,
        event_id=event_id,
        customer_id=customer_id,
        quantity=quantity,
        seats=seats,
        expires_at=expires_at,
    )


def obey(strategy: Strategy, method: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make the call an `Command` names; returns its answer as plain data (`answer_from` reads it).

    Raises:
        ReservationError: as the strategy does.
    """
    return _CALLS[method](strategy, arguments)


def _hold(strategy: Strategy, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    hold_id, event_id, customer_id, quantity, seats = arguments
    request = HoldRequest(
        hold_id=hold_id,
        event_id=event_id,
        customer_id=customer_id,
        quantity=quantity,
        seats=seats,
    )
    return hold_as_tuple(strategy.hold(request))


def _release(strategy: Strategy, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    strategy.release(hold_from(arguments[0]))
    return ()


def _checkout(strategy: Strategy, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    fields, key, amount_cents = arguments
    request = CheckoutRequest(
        hold=hold_from(fields), idempotency_key=key, amount_cents=amount_cents
    )
    order = strategy.checkout(request)
    return (
        order.order_id,
        order.idempotency_key,
        order.event_id,
        order.customer_id,
        order.quantity,
        order.seats,
    )


def _sweep(strategy: Strategy, _arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    report = strategy.sweep()
    return (report.expired_holds, report.returned_tickets, report.refunded_payments)


def _run_task(strategy: Strategy, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    name, argument = arguments
    strategy.run_task(name, argument)
    return ()


_CALLS: dict[str, Callable[[Strategy, tuple[Any, ...]], tuple[Any, ...]]] = {
    "hold": _hold,
    "release": _release,
    "checkout": _checkout,
    "sweep": _sweep,
    "run_task": _run_task,
}


def answer_from(method: str, answer: tuple[Any, ...]) -> Any:
    """The answer of a call as the strategy gave it."""
    if method == "hold":
        return hold_from(answer)
    if method == "checkout":
        order_id, key, event_id, customer_id, quantity, seats = answer
        return Order(
            order_id=order_id,
            idempotency_key=key,
            event_id=event_id,
            customer_id=customer_id,
            quantity=quantity,
            seats=seats,
        )
    if method == "sweep":
        expired, returned, refunded = answer
        return SweepReport(
            expired_holds=expired, returned_tickets=returned, refunded_payments=refunded
        )
    return None


def pack(message: tuple[Any, ...]) -> bytes:
    """One message as bytes; both ends are this very program, so marshal is safe and quickest."""
    return marshal.dumps(message)


def unpack(raw: bytes) -> tuple[Any, ...]:
    """The reverse of `pack`."""
    message: tuple[Any, ...] = marshal.loads(raw)  # noqa: S302 - from our own processes only
    return message
