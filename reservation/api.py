"""The words a hold strategy speaks: requests, holds, orders, and the world it may touch.

Times are seconds since the epoch as floats (what Redis keeps deadlines in, so that one unit goes
through both stores); money is in integer cents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from redis import Redis
from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """What a buyer asks for.

    `hold_id` is the caller's own token for this attempt (the front end makes it), so that repeating
    a request whose answer was lost cannot hold twice. `seats` is empty for general admission; for
    assigned seats it names them and `quantity` is their number.
    """

    hold_id: str
    event_id: int
    customer_id: str
    quantity: int
    seats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A temporary reservation, valid until `expires_at` (epoch seconds)."""

    hold_id: str
    event_id: int
    customer_id: str
    quantity: int
    seats: tuple[str, ...]
    expires_at: float

    @classmethod
    def granted(cls, request: HoldRequest, *, expires_at: float) -> "Hold":
        """The hold that `request` asked for, valid until `expires_at`."""
        return cls(
            hold_id=request.hold_id,
            event_id=request.event_id,
            customer_id=request.customer_id,
            quantity=request.quantity,
            seats=request.seats,
            expires_at=expires_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """The buyer pays for a hold; `idempotency_key` stays the same when the request is repeated."""

    hold: Hold
    idempotency_key: str
    amount_cents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Tickets sold: the first answer to an idempotency key, and every later one."""

    order_id: int
    idempotency_key: str
    event_id: int
    customer_id: str
    quantity: int
    seats: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """A strategy's own view of an event's stock at this moment, in tickets.

    `sellable` is what a new hold could get, `held` what live holds keep from it, `sold` what is in
    orders. A correct strategy has sellable + held + sold == capacity whenever nobody is mid-call.
    """

    event_id: int
    capacity: int
    sellable: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What one pass of the sweeper (or reaper) did: expired holds found, tickets given back."""

    expired_holds: int = 0
    returned_tickets: int = 0
    refunded_payments: int = 0


class PaymentStatus(StrEnum):
    """What the payment provider knows about a key."""

    UNKNOWN = "unknown"
    DECLINED = "declined"
    CAPTURED = "captured"
    REFUNDED = "refunded"


class PaymentTimeout(Exception):
    """The provider did not answer: the money may or may not have been captured."""


class PaymentGateway(Protocol):
    """The payment provider. Every call is idempotent by `key`."""

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        """Take the money; returns CAPTURED or DECLINED. Takes seconds to minutes.

        Raises:
            PaymentTimeout: no answer in time; the money may have been captured.
        """

    def refund(self, key: str) -> PaymentStatus:
        """Give the money back; returns REFUNDED (also when it was already).

        Raises:
            PaymentTimeout: no answer in time; the refund may have happened.
        """

    def lookup(self, key: str) -> PaymentStatus:
        """Say what happened to `key`.

        Raises:
            PaymentTimeout: no answer in time.
        """


class Clock(Protocol):
    """The application server's clock."""

    def now(self) -> float:
        """Seconds since the epoch, with this server's skew."""

    def sleep(self, seconds: float) -> None:
        """Wait, without holding the interpreter."""


class DelayedTasks(Protocol):
    """A durable task queue: calls `Strategy.run_task(name, argument)` at or after `at`."""

    def schedule(self, at: float, name: str, argument: str) -> None:
        """Ask for one task at epoch second `at`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The whole world a strategy may touch, as seen by one application server.

    `redis` is None in a deployment without Redis; strategies that need it say so by `uses_redis`.
    """

    engine: Engine
    redis: Redis | None
    payments: PaymentGateway
    clock: Clock
    tasks: DelayedTasks


class Strategy(Protocol):
    """One way of holding and selling tickets, running on one application server."""

    def open_sale(self, event_id: int) -> None:
        """Prepare caches and counters for an event that is in the database; repeatable."""

    def hold(self, request: HoldRequest) -> Hold:
        """Reserve tickets for a while.

        Repeating a request with the same `hold_id` while that hold lives returns the same hold.

        Raises:
            SoldOut: not enough tickets, or a seat is taken.
            NotApplied: a store failed before anything happened.
            UnknownOutcome: a store failed and the hold may exist.
        """

    def release(self, hold: Hold) -> None:
        """Give a hold back before its time; releasing what is gone does nothing.

        Raises:
            NotApplied, UnknownOutcome: as for `hold`.
        """

    def checkout(self, request: CheckoutRequest) -> Order:
        """Verify the hold, capture the payment, commit the order, drop the hold: in this order.

        A repeated idempotency key gives the first answer.

        Raises:
            HoldExpired, PaymentDeclined, OrderRefused, SoldOut: a definite no.
            NotApplied, UnknownOutcome: a store or the provider failed; repeat with the same key.
        """

    def sweep(self) -> SweepReport:
        """Give back what expired and settle payments left in doubt; run periodically.

        Raises:
            NotApplied, UnknownOutcome: a store failed; the next pass goes on.
        """

    def run_task(self, name: str, argument: str) -> None:
        """Run a delayed task this strategy scheduled."""

    def availability(self, event_id: int) -> Availability:
        """Count the stock as this strategy sees it now (used by audits and dashboards)."""


class AdmissionKind(StrEnum):
    """How an event sells: by quantity, or seat by seat."""

    GENERAL = "general"
    SEATS = "seats"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyInfo:
    """An entry of the catalogue: how a strategy is named, built and chosen.

    `defaults` holds every option with its default; its keys are the only ones `build` accepts.
    `known_bad` says, for a positive control, what is wrong with it.
    """

    name: str
    summary: str
    uses_redis: bool
    admits: frozenset[AdmissionKind]
    defaults: dict[str, Any]
    choices: dict[str, tuple[Any, ...]]
    build: Callable[[Stores, dict[str, Any]], Strategy]
    known_bad: str | None = None
