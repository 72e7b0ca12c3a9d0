"""`redis-hold-read-check`: the double-check at payment done with an unlocked read (B07, known bad).

Two payments that both read "2 remain" both go on to deduct 2. The read and the deduction are two
steps, and everything between them is the window: with `check = after-payment` the read comes when
the provider has answered, right before the order's transaction, and the window is a millisecond or
two; with `check = before-payment` it comes beside the reading of the hold, and the window is the
whole payment.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine

from reservation.api import (
    AdmissionKind,
    Availability,
    CheckoutRequest,
    Hold,
    HoldRequest,
    Order,
    PaymentGateway,
    PaymentStatus,
    Stores,
    StrategyInfo,
    SweepReport,
)
from reservation.boundary import database_reading
from reservation.errors import SoldOut
from reservation.event_stock import deduct, remaining
from reservation.redis_hold import HOLD_CHOICES, HOLD_DEFAULTS, RedisHold, careful_ledger
from reservation.till import Till, till_options


@dataclass(slots=True)
class _LookAfterCapture:
    """A payment gateway that, once the money is captured, looks how many tickets remain."""

    payments: PaymentGateway
    engine: Engine
    event_id: int
    left: int | None = None

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        status = self.payments.capture(key, amount_cents)
        if status is PaymentStatus.CAPTURED:
            with database_reading(self.engine) as connection:
                self.left = remaining(connection, self.event_id)
        return status

    def refund(self, key: str) -> PaymentStatus:
        return self.payments.refund(key)

    def lookup(self, key: str) -> PaymentStatus:
        return self.payments.lookup(key)


class RedisHoldReadCheck:
    """`redis-hold` with an unlocked look at the stock around the payment."""

    def __init__(self, stores: Stores, options: dict[str, Any]) -> None:
        """Take the options of `redis-hold` and `check`."""
        self._stores = stores
        self._options = till_options(options)
        self._looks_first = options["check"] == "before-payment"
        ledger = careful_ledger(stores, options, "redis-hold-read-check")
        self._holds = RedisHold(stores, options, ledger=ledger, deduct=deduct)

    def open_sale(self, event_id: int) -> None:
        """As `redis-hold`."""
        self._holds.open_sale(event_id)

    def hold(self, request: HoldRequest) -> Hold:
        """As `redis-hold`."""
        return self._holds.hold(request)

    def release(self, hold: Hold) -> None:
        """As `redis-hold`."""
        self._holds.release(hold)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Sell the hold if a look at the stock, some time before the deduction, allows it."""
        look = _LookAfterCapture(self._stores.payments, self._stores.engine, request.hold.event_id)
        stores = self._stores if self._looks_first else replace(self._stores, payments=look)

        def take(connection: Connection, hold: Hold) -> int | None:
            if look.left is not None and look.left < hold.quantity:
                return None
            return deduct(connection, hold)

        verify = self._verify_and_look if self._looks_first else self._holds.verify
        return self._holds.sell_at(Till(stores, self._options), request, verify, take)

    def _verify_and_look(self, hold: Hold) -> None:
        self._holds.verify(hold)
        with database_reading(self._stores.engine) as connection:
            left = remaining(connection, hold.event_id)
        if left < hold.quantity:
            raise SoldOut(f"{left} tickets remain, hold {hold.hold_id} is for {hold.quantity}")

    def sweep(self) -> SweepReport:
        """As `redis-hold`."""
        return self._holds.sweep()

    def run_task(self, name: str, argument: str) -> None:
        """As `redis-hold`."""
        self._holds.run_task(name, argument)

    def availability(self, event_id: int) -> Availability:
        """As `redis-hold`."""
        return self._holds.availability(event_id)


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="redis-hold-read-check",
        summary="redis-hold, and payment looks at the stock with an unlocked read first",
        uses_redis=True,
        admits=frozenset({AdmissionKind.GENERAL}),
        defaults={**HOLD_DEFAULTS, "check": "after-payment"},
        choices={**HOLD_CHOICES, "check": ("after-payment", "before-payment")},
        build=RedisHoldReadCheck,
        known_bad="B07: two payments can read the same remaining tickets and both deduct them",
    ),
)
