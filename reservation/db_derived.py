"""No counter decides: what is sellable is derived from live carts and orders under a row lock.

There is nothing to give back, so nothing can be given back twice or never (A06, A11, A12): a hold
stops counting when its deadline passes. The price is a sum over the event's rows for each hold, and
one lock for all who hold or pay. The event is locked before carts are read or written, everywhere
in this strategy; releasing and tidying touch carts only.
"""

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, bindparam, func, select
from sqlalchemy.exc import IntegrityError

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
from reservation.boundary import database_reading, database_transaction
from reservation.cart_conditional import Conditional
from reservation.cart_reader import CartReader
from reservation.cart_sql import ADD, CART_SQL, LOCK_REMAINING, SOLD_TICKETS
from reservation.cart_writer import CartInserter, too_few
from reservation.carts import check_request
from reservation.database_time import MOMENT, ClockChoice, Moments
from reservation.errors import SoldOut
from reservation.tables import carts, events
from reservation.till import TILL_CHOICES, TILL_DEFAULTS_WITHOUT_DROP, Till, till_options


def _stock(now: ColumnElement[float]) -> Select[int, int, int]:
    event: BindParameter[int] = bindparam("event")
    live = (carts.c.event_id == event, carts.c.status == "held", carts.c.expires_at > now)
    held = select(func.coalesce(func.sum(carts.c.quantity), 0)).where(*live).scalar_subquery()
    return select(events.c.capacity, held.label("held"), SOLD_TICKETS.label("sold")).where(
        events.c.id == event
    )


_STOCK: Final = {clock: _stock(now) for clock, now in MOMENT.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedOptions:
    """`lock="none"` lets two buyers count the same stock and both insert (A02)."""

    ttl_s: float = 900.0
    lock: Literal["event-row", "none"] = "event-row"
    batch: int = 1000
    clock: ClockChoice = "application"
    doubtful_after_s: float = 300.0


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(DerivedOptions)}


class DerivedStock:
    """Flow 1 without a counter, on one application server; implements `Strategy`."""

    def __init__(self, stores: Stores, options: DerivedOptions, till: Till) -> None:
        self._engine = stores.engine
        self._options = options
        self._till = till
        self._moments = Moments(stores.clock, options.clock)
        self._inserter = CartInserter(CART_SQL[options.clock], self._moments, options.ttl_s)
        self._writer = Conditional(CART_SQL[options.clock], self._inserter).writer()
        self._reader = CartReader(stores.engine, CART_SQL[options.clock], self._moments)

    def open_sale(self, event_id: int) -> None:
        """Nothing to prepare: everything is in the database."""

    def hold(self, request: HoldRequest) -> Hold:
        """Lock the event, count, insert the cart; see `Strategy.hold`.

        Raises:
            HoldExpired: this hold_id was used for a hold that has ended.
        """
        check_request(request)
        try:
            with database_transaction(self._engine) as connection:
                expires_at = self._reserve(connection, request)
        except (IntegrityError, SoldOut) as refusal:
            return self._reader.first_hold(request, refusal).hold
        return Hold.granted(request, expires_at=expires_at)

    def release(self, hold: Hold) -> None:
        """End a cart: it stops counting; see `Strategy.release`."""
        with database_transaction(self._engine) as connection:
            self._writer.end(connection, hold.hold_id, "released", None)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Verify the cart, pay, confirm it under the lock; see `Strategy.checkout`."""
        return self._till.sell(request, verify=self._reader.verify, take=self._take, drop=_keep)

    def sweep(self) -> SweepReport:
        """Mark expired carts, which no longer count, and settle doubtful payments."""
        expired = 0
        found = batch = self._options.batch
        while found == batch:
            with database_transaction(self._engine) as connection:
                found = len(self._writer.end_batch(connection, self._moments.at(), batch))
            expired += found
        refunded = self._till.settle_doubtful(self._options.doubtful_after_s)
        return SweepReport(expired_holds=expired, refunded_payments=refunded)

    def run_task(self, name: str, argument: str) -> None:
        """Refuse: this strategy schedules no tasks."""
        raise ValueError(f"task {name!r} ({argument!r}) is not known here: none is scheduled")

    def availability(self, event_id: int) -> Availability:
        """Count the stock as a hold would, without the lock."""
        with database_reading(self._engine) as connection:
            stock = self._count(connection, event_id)
        if stock is None:
            raise LookupError(f"event {event_id} is not in the events table")
        return stock

    def _reserve(self, connection: Connection, request: HoldRequest) -> float:
        self._lock(connection, request.event_id)
        # Counted in a statement of its own, so that it sees what was committed before the lock.
        stock = self._count(connection, request.event_id)
        if stock is None or stock.sellable < request.quantity:
            raise too_few(request)
        return self._inserter.insert(connection, request)

    def _lock(self, connection: Connection, event_id: int) -> None:
        if self._options.lock == "event-row":
            connection.execute(LOCK_REMAINING, {"event": event_id})

    def _count(self, connection: Connection, event_id: int) -> Availability | None:
        asked = {"event": event_id, **self._moments.at()}
        row = connection.execute(_STOCK[self._options.clock], asked).first()
        if row is None:
            return None
        return Availability(
            event_id=event_id,
            capacity=row.capacity,
            sellable=row.capacity - row.held - row.sold,
            held=row.held,
            sold=row.sold,
        )

    def _take(self, connection: Connection, hold: Hold) -> bool:
        """Confirm under the event's lock: after the deadline its tickets may be somebody else's.

        The write that locks the row also keeps `remaining_ticket` for those who report from it;
        this strategy never reads it.
        """
        connection.execute(ADD, {"event": hold.event_id, "tickets": -hold.quantity})
        return self._writer.confirm(connection, hold, self._moments.at())


def _keep(_hold: Hold) -> None:
    """Drop nothing: a paid cart stays for the books."""


def _build(stores: Stores, options: dict[str, Any]) -> DerivedStock:
    own = DerivedOptions(**{name: options[name] for name in _DEFAULTS})
    return DerivedStock(stores, own, Till(stores, till_options(options)))


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="db-derived",
        summary="no counter: availability derived from live carts and orders under a row lock",
        uses_redis=False,
        admits=frozenset({AdmissionKind.GENERAL}),
        defaults={**_DEFAULTS, **TILL_DEFAULTS_WITHOUT_DROP},
        choices={
            "idempotency": TILL_CHOICES["idempotency"],
            "lock": ("event-row", "none"),
            "clock": ("application", "database"),
        },
        build=_build,
    ),
)
