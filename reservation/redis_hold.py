"""Flow 2: the hold lives in Redis, the stock in the database, and they meet at the payment.

Hold: read `remaining_ticket` (or its cached copy), then let the ledger decide and write. Checkout:
read the hold, capture the payment, deduct in the order's transaction, and after the commit drop the
hold. Between that commit and that drop a sold ticket is counted twice, once as sold and once as
held: for a moment too little is offered, never too much.

What the strategies of this module differ in is the deduction, that is, what happens when the hold
was lost (Redis restarted) or ended (B06) while the buyer paid and the tickets went to others:

- `redis-hold` deducts without asking: it overbooks.
- `redis-hold-recheck` deducts only if enough remain, in one statement: it refunds.

With `stock_check = cache` the stock comes from a copy that may be `cache_s` old. Sales made through
this code do not make it wrong: until a sale's drop its hold still counts, and the drop leaves the
new stock behind as a floor. Two things can, for at most `cache_s`: a change of `remaining_ticket`
by something else, and a sale whose drop was lost and whose hold ended less than `cache_s` later.
"""

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection

from reservation.api import (
    AdmissionKind,
    Availability,
    CheckoutRequest,
    Hold,
    HoldRequest,
    Order,
    Stores,
    StrategyInfo,
    SweepReport,
)
from reservation.boundary import database_reading
from reservation.errors import HoldExpired, SoldOut
from reservation.event_stock import counts, deduct, deduct_if_enough, remaining
from reservation.hold_ledger import SOLD_OUT, STOCK_UNKNOWN, HoldLedger
from reservation.redis_terms import COMMON_CHOICES, COMMON_DEFAULTS, refuse_task, required_redis
from reservation.till import Till, till_options

HOLD_DEFAULTS: dict[str, Any] = {
    **COMMON_DEFAULTS,
    "stock_check": "database",
    "cache_s": 5.0,  # how old the copy of remaining_ticket may be (stock_check = cache)
    "sale_floor": True,  # False: a sale leaves no floor, so a hold may rest on old stock (B25)
}
HOLD_CHOICES: dict[str, tuple[Any, ...]] = {
    **COMMON_CHOICES,
    "stock_check": ("database", "cache"),
}

Deduct = Callable[[Connection, Hold], int | None]


class Ledger(Protocol):
    """Where holds are kept: see `reservation.hold_ledger.HoldLedger`, the careful one."""

    def place(self, request: HoldRequest, remaining: int | None) -> int:
        """Write a hold; returns its deadline in ms, SOLD_OUT or STOCK_UNKNOWN."""

    def is_live(self, hold: Hold) -> bool:
        """Say whether the hold is there."""

    def drop(self, hold: Hold, remaining_after: int | None = None) -> None:
        """Forget the hold; `remaining_after` when it was sold."""

    def view(self, event_id: int, remaining: int) -> tuple[int, int]:
        """Count what is sellable and what is held."""

    def forget_stock(self, event_id: int) -> None:
        """Read the database's stock afresh from now on."""


class RedisHold:
    """Holds in a ledger on Redis, sold by the till with a given deduction."""

    def __init__(
        self, stores: Stores, options: dict[str, Any], *, ledger: Ledger, deduct: Deduct
    ) -> None:
        """Combine a ledger and a deduction; `options` are the till's and `HOLD_DEFAULTS`'."""
        self._engine = stores.engine
        self._ledger = ledger
        self._deduct = deduct
        self._till = Till(stores, till_options(options))
        self._from_cache = options.get("stock_check", "database") == "cache"
        self._sale_floor = bool(options.get("sale_floor", True))
        self._doubtful_after_s = float(options["doubtful_after_s"])

    def open_sale(self, event_id: int) -> None:
        """Forget what was remembered of the stock; the database has it."""
        self._ledger.forget_stock(event_id)

    def hold(self, request: HoldRequest) -> Hold:
        """Check the stock (step 1), then write the hold (step 2)."""
        deadline_ms = STOCK_UNKNOWN
        if self._from_cache:
            deadline_ms = self._ledger.place(request, None)
        if deadline_ms == STOCK_UNKNOWN:
            with database_reading(self._engine) as connection:
                left = remaining(connection, request.event_id)
            # Asked even when too little remains: a repeat must find the hold it made before.
            deadline_ms = self._ledger.place(request, left)
        if deadline_ms == SOLD_OUT:
            raise SoldOut(f"event {request.event_id} has no {request.quantity} tickets to hold")
        return Hold.granted(request, expires_at=deadline_ms / 1000)

    def release(self, hold: Hold) -> None:
        """Drop the hold; the database never knew of it."""
        self._ledger.drop(hold)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Sell the hold; see `reservation.till`."""
        return self.sell_at(self._till, request, self.verify, self._deduct)

    def sell_at(
        self, till: Till, request: CheckoutRequest, verify: Callable[[Hold], None], deduct: Deduct
    ) -> Order:
        """Sell the hold at `till`, telling the ledger what its deduction left."""
        after: list[int] = []

        def take(connection: Connection, hold: Hold) -> bool:
            left = deduct(connection, hold)
            if left is not None and self._sale_floor:
                after.append(left)
            return left is not None

        def drop(hold: Hold) -> None:
            self._ledger.drop(hold, after[-1] if after else None)

        return till.sell(request, verify=verify, take=take, drop=drop)

    def verify(self, hold: Hold) -> None:
        """Read the hold back from Redis.

        Raises:
            HoldExpired: it is not there.
            NotApplied: Redis failed.
        """
        if not self._ledger.is_live(hold):
            raise HoldExpired(f"hold {hold.hold_id} is not in Redis (any more)")

    def sweep(self) -> SweepReport:
        """Settle doubtful payments; the holds clean themselves up."""
        refunded = self._till.settle_doubtful(self._doubtful_after_s)
        return SweepReport(refunded_payments=refunded)

    def run_task(self, name: str, argument: str) -> None:
        """Refuse: nothing is scheduled."""
        refuse_task("a redis-hold strategy", name, argument)

    def availability(self, event_id: int) -> Availability:
        """Count: capacity and sold from the database, held from Redis.

        `sellable` falls below zero when more is held and sold than there is.
        """
        with database_reading(self._engine) as connection:
            capacity, left, sold = counts(connection, event_id)
        sellable, held = self._ledger.view(event_id, left)
        return Availability(
            event_id=event_id, capacity=capacity, sellable=sellable, held=held, sold=sold
        )


def careful_ledger(stores: Stores, options: dict[str, Any], strategy: str) -> HoldLedger:
    """Make the ledger that decides and writes in one step."""
    return HoldLedger(
        required_redis(stores, strategy),
        ttl_s=float(options["ttl_s"]),
        cache_s=float(options["cache_s"]) if options["stock_check"] == "cache" else 0.0,
    )


def _build_trusting(stores: Stores, options: dict[str, Any]) -> RedisHold:
    ledger = careful_ledger(stores, options, "redis-hold")
    return RedisHold(stores, options, ledger=ledger, deduct=deduct)


def _build_rechecking(stores: Stores, options: dict[str, Any]) -> RedisHold:
    ledger = careful_ledger(stores, options, "redis-hold-recheck")
    return RedisHold(stores, options, ledger=ledger, deduct=deduct_if_enough)


_GENERAL = frozenset({AdmissionKind.GENERAL})

HOLD = StrategyInfo(
    name="redis-hold",
    summary="one Lua script counts live holds and writes the hold; payment trusts the hold",
    uses_redis=True,
    admits=_GENERAL,
    defaults=HOLD_DEFAULTS,
    choices=HOLD_CHOICES,
    build=_build_trusting,
)
RECHECK = StrategyInfo(
    name="redis-hold-recheck",
    summary="redis-hold, and payment deducts only if enough remain, else it is refunded",
    uses_redis=True,
    admits=_GENERAL,
    defaults=HOLD_DEFAULTS,
    choices=HOLD_CHOICES,
    build=_build_rechecking,
)
INFOS: tuple[StrategyInfo, ...] = (HOLD, RECHECK)
