"""`redis-counter`: the stock is lowered softly in Redis when it is held, and for real when paid.

A counter per event says what may still be held; the sorted set of deadlines says when a hold ends;
the reaper, in `sweep`, gives back what ended. See `reservation.counter_ledger` for the keys and for
what keeps counter and database together. At payment the database is asked again (`recheck`).

The reaper asks the database which of the ended holds were sold: a server that died between its
commit and the settling leaves a sold hold behind, and giving that back would sell it twice (C04).

Options that switch a safeguard off: `script = two-steps` (B20), `give_back = unguarded` (B21),
`request_id = False` (B28), `reaper_recheck = False` (B23), `recheck = False` (B06, B08).
"""

from typing import Any

from sqlalchemy import Connection, bindparam, func, select

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
from reservation.counter_ledger import (
    NOT_SEEDED,
    SETTLED,
    SETTLED_FOR_S,
    SOLD_OUT,
    CounterLedger,
)
from reservation.errors import HoldExpired, NotApplied, SoldOut
from reservation.event_stock import counts, deduct, deduct_if_enough, remaining
from reservation.redis_terms import COMMON_CHOICES, COMMON_DEFAULTS, refuse_task, required_redis
from reservation.tables import events, orders
from reservation.till import Till, till_options

_EVENTS = select(events.c.id).order_by(events.c.id)
_SOLD_OF = select(orders.c.hold_id).where(
    orders.c.hold_id.in_(bindparam("hold_ids", expanding=True))
)
_SOLD_OF_EVENT = select(orders.c.hold_id).where(orders.c.event_id == bindparam("event"))
_SALE = select(func.max(orders.c.id)).where(
    orders.c.hold_id == bindparam("hold"), orders.c.created_at > bindparam("since")
)
_LATER = select(func.coalesce(func.sum(orders.c.quantity), 0)).where(
    orders.c.event_id == bindparam("event"), orders.c.id > _SALE.scalar_subquery()
)
_LEFT_BY_SALE = select(events.c.remaining_ticket + _LATER.scalar_subquery()).where(
    events.c.id == bindparam("event"), _SALE.scalar_subquery().is_not(None)
)

SEEDINGS = 3  # tries to seed a counter that keeps vanishing


class RedisCounter:
    """Soft deduction in Redis, settled against the database at payment."""

    def __init__(self, stores: Stores, options: dict[str, Any]) -> None:
        """Take the options named in `INFOS`."""
        self._engine = stores.engine
        self._clock = stores.clock
        self._till = Till(stores, till_options(options))
        self._ledger = CounterLedger(
            required_redis(stores, "redis-counter"),
            ttl_s=float(options["ttl_s"]),
            recognise=options["request_id"],
            guarded=options["give_back"] == "guarded",
            recheck=options["reaper_recheck"],
        )
        one_step = options["script"] == "atomic"
        self._take = self._ledger.take if one_step else self._ledger.take_in_two_steps
        self._deduct = deduct_if_enough if options["recheck"] else deduct
        self._batch = int(options["batch"])
        self._grace_s = float(options["sweeper_grace_s"])
        self._doubtful_after_s = float(options["doubtful_after_s"])

    def open_sale(self, event_id: int) -> None:
        """Seed the counter if there is none."""
        with database_reading(self._engine) as connection:
            left = remaining(connection, event_id)
        self._ledger.seed(event_id, left)

    def hold(self, request: HoldRequest) -> Hold:
        """Lower the counter and note the hold, seeding the counter first if Redis lost it.

        Raises:
            HoldExpired: this hold_id was used for a hold that has been sold.
        """
        deadline_ms = self._take(request)
        for _ in range(SEEDINGS):
            if deadline_ms != NOT_SEEDED:
                break
            self.open_sale(request.event_id)
            deadline_ms = self._take(request)
        if deadline_ms == NOT_SEEDED:
            raise NotApplied(
                f"the counter of event {request.event_id} vanishes: is Redis evicting?"
            )
        if deadline_ms == SETTLED:
            raise HoldExpired(f"hold {request.hold_id} was sold: ask again with a new hold_id")
        if deadline_ms == SOLD_OUT:
            raise SoldOut(f"event {request.event_id} has no {request.quantity} tickets to hold")
        return Hold.granted(request, expires_at=deadline_ms / 1000)

    def release(self, hold: Hold) -> None:
        """Give the hold's tickets back to the counter."""
        self._ledger.release(hold)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Sell the hold; see `reservation.till`."""
        after: list[int] = []

        def take(connection: Connection, hold: Hold) -> bool:
            left = self._deduct(connection, hold)
            if left is not None:
                after.append(left)
            return left is not None

        def drop(hold: Hold) -> None:
            left = after[-1] if after else self._left_by_sale(hold)
            self._ledger.settle(hold.event_id, hold.hold_id, hold.quantity, left)

        return self._till.sell(request, verify=self._verify, take=take, drop=drop)

    def _left_by_sale(self, hold: Hold) -> int | None:
        """Work out what the deduction of a sold hold had left, when this is not the try that sold.

        A reaper that looked before that sale's commit may have given the tickets back, and only
        the deduction's outcome tells. Orders are numbered in the order of their deductions, which
        the event's row serialises: what remains now, and what later orders took, is what it left.
        A sale is looked up only while the ledger surely remembers whether it was settled.

        Raises:
            NotApplied: the database failed.
        """
        since = self._clock.now() - SETTLED_FOR_S / 2
        asked = {"event": hold.event_id, "hold": hold.hold_id, "since": since}
        with database_reading(self._engine) as connection:
            left = connection.execute(_LEFT_BY_SALE, asked).scalar()
        return None if left is None else int(left)

    def _verify(self, hold: Hold) -> None:
        if not self._ledger.is_live(hold):
            raise HoldExpired(f"hold {hold.hold_id} has ended, or Redis has lost it")

    def sweep(self) -> SweepReport:
        """Settle doubtful payments, then reap the holds that ended, batch by batch."""
        refunded = self._till.settle_doubtful(self._doubtful_after_s)
        with database_reading(self._engine) as connection:
            event_ids = [int(event_id) for event_id in connection.execute(_EVENTS).scalars()]
        ended, returned = 0, 0
        for event_id in event_ids:
            more = True
            while more:
                found, holds, tickets = self._reap_batch(event_id)
                ended, returned = ended + holds, returned + tickets
                more = found == self._batch
        return SweepReport(
            expired_holds=ended, returned_tickets=returned, refunded_payments=refunded
        )

    def _reap_batch(self, event_id: int) -> tuple[int, int, int]:
        """Give one batch back; returns holds found, holds given back, tickets given back."""
        due = self._ledger.due(event_id, grace_s=self._grace_s, batch=self._batch)
        if not due:
            return 0, 0, 0
        with database_reading(self._engine) as connection:
            sold = connection.execute(_SOLD_OF, {"hold_ids": list(due)}).scalars().all()
        unsold = dict(due)
        for hold_id in sold:
            quantity = unsold.pop(hold_id, None)
            if quantity is not None:
                self._ledger.settle(event_id, hold_id, quantity, None)
        if not unsold:
            return len(due), 0, 0
        return len(due), *self._ledger.reap(event_id, unsold, grace_s=self._grace_s)

    def run_task(self, name: str, argument: str) -> None:
        """Refuse: nothing is scheduled."""
        refuse_task("redis-counter", name, argument)

    def availability(self, event_id: int) -> Availability:
        """Count: sellable and held from Redis, sold from the database.

        A sold hold that was not settled yet counts as sold only.
        """
        stock, holds = self._ledger.view(event_id)
        with database_reading(self._engine) as connection:
            capacity, left, sold = counts(connection, event_id)
            settled: set[str] = set()
            if holds:
                settled.update(connection.execute(_SOLD_OF_EVENT, {"event": event_id}).scalars())
        held = sum(quantity for hold_id, quantity in holds.items() if hold_id not in settled)
        return Availability(
            event_id=event_id,
            capacity=capacity,
            sellable=left - held if stock is None else stock,
            held=held,
            sold=sold,
        )


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="redis-counter",
        summary="soft deduction by Lua, deadlines in a sorted set, a reaper; payment rechecks",
        uses_redis=True,
        admits=frozenset({AdmissionKind.GENERAL}),
        defaults={
            **COMMON_DEFAULTS,
            "script": "atomic",
            "give_back": "guarded",
            "request_id": True,
            "recheck": True,
            "reaper_recheck": True,
            "batch": 1000,
            "sweeper_grace_s": 0.0,
        },
        choices={
            **COMMON_CHOICES,
            "script": ("atomic", "two-steps"),
            "give_back": ("guarded", "unguarded"),
        },
        build=RedisCounter,
    ),
)
