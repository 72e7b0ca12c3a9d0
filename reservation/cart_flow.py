"""Flow 1: tickets are held in database carts, and the stock is deducted when they are held.

A hold inserts a cart with its deadline and deducts; a checkout only confirms the cart (the real
deduction is long done); releasing and sweeping give back. How each write is guarded is the
writer's business.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from reservation import cart_sql as sql
from reservation.api import (
    Availability,
    CheckoutRequest,
    Hold,
    HoldRequest,
    Order,
    Stores,
    SweepReport,
)
from reservation.boundary import database_reading, database_transaction
from reservation.cart_reader import CartReader
from reservation.cart_writer import CartWriter
from reservation.carts import EndedCart, check_request, seats_text
from reservation.database_time import ClockChoice, Moments
from reservation.errors import HoldExpired, SoldOut
from reservation.till import Till

EXPIRE_TASK = "expire-cart"
NOT_YET_DUE_RETRY_S = 1.0  # a task that ran early, by another server's clock, comes again


@dataclass(frozen=True, slots=True, kw_only=True)
class CartOptions:
    """Flow 1's own options; every value but the default costs something or breaks something.

    `ttl_s`: how long a hold lives. `reclaim`: who gives expired carts back: a sweeper that takes
    them from the index in batches of `batch`, one that reads every held cart and compares, or one
    delayed task per cart. `give_back`: end the cart and return its stock in one transaction, or
    in two (A12). `sweeper_grace_s`: how long past its deadline a cart is left alone, and may still
    be confirmed. `checkout_margin_s`: a checkout is refused that has less than this left (A09).
    `clock`: whose clock decides (A10). `rehold`: what repeating a hold does: nothing, a new
    deadline each time (A17), or a new quantity without returning the old one (A18).
    `doubtful_after_s`: how old an open payment must be before the sweeper settles it.
    """

    ttl_s: float = 900.0
    reclaim: Literal["indexed-batch", "cron-scan", "delayed-task"] = "indexed-batch"
    give_back: Literal["atomic", "split"] = "atomic"
    sweeper_grace_s: float = 0.0
    batch: int = 1000
    checkout_margin_s: float = 0.0
    clock: ClockChoice = "application"
    rehold: Literal["same", "reset-ttl", "overwrite"] = "same"
    doubtful_after_s: float = 300.0


CART_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(CartOptions)}
CART_CHOICES: dict[str, tuple[Any, ...]] = {
    "reclaim": ("indexed-batch", "cron-scan", "delayed-task"),
    "give_back": ("atomic", "split"),
    "clock": ("application", "database"),
    "rehold": ("same", "reset-ttl", "overwrite"),
}


class CartFlow:
    """Flow 1 on one application server; implements `reservation.api.Strategy`."""

    def __init__(
        self, stores: Stores, options: CartOptions, till: Till, moments: Moments, writer: CartWriter
    ) -> None:
        self._engine = stores.engine
        self._tasks = stores.tasks
        self._clock = stores.clock
        self._options = options
        self._till = till
        self._moments = moments
        self._writer = writer
        self._sql = sql.CART_SQL[options.clock]
        self._reader = CartReader(stores.engine, self._sql, moments)

    def open_sale(self, event_id: int) -> None:
        """Nothing to prepare: everything is in the database."""

    def hold(self, request: HoldRequest) -> Hold:
        """Write a cart and deduct its tickets; see `Strategy.hold`.

        Raises:
            HoldExpired: this hold_id was used for a hold that has ended.
        """
        check_request(request)
        try:
            with database_transaction(self._engine) as connection:
                expires_at = self._writer.reserve(connection, request)
                if self._options.reclaim == "delayed-task":
                    # Before the commit: a committed cart without its task would never come back.
                    due_at = expires_at + self._options.sweeper_grace_s
                    self._tasks.schedule(due_at, EXPIRE_TASK, request.hold_id)
        except IntegrityError as error:
            return self._held_before(request, error)
        except SoldOut as error:
            if not self._writer.looks_first:
                raise
            return self._held_before(request, error)
        return Hold.granted(request, expires_at=expires_at)

    def release(self, hold: Hold) -> None:
        """End a cart and give back; see `Strategy.release`."""
        self._end_one(hold.hold_id, "released", due=False)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Verify the cart, pay, confirm the cart; see `Strategy.checkout`."""
        return self._till.sell(request, verify=self._verify, take=self._take, drop=_keep)

    def sweep(self) -> SweepReport:
        """Give expired carts back as `reclaim` says, and settle doubtful payments."""
        ended: list[EndedCart] = []
        if self._options.reclaim == "indexed-batch":
            ended = self._reclaim_by_index()
        elif self._options.reclaim == "cron-scan":
            ended = self._reclaim_by_scan()
        refunded = self._till.settle_doubtful(self._options.doubtful_after_s)
        return SweepReport(
            expired_holds=len(ended),
            returned_tickets=sum(cart.quantity for cart in ended),
            refunded_payments=refunded,
        )

    def run_task(self, name: str, argument: str) -> None:
        """Give back one cart that is due; the queue must run a task again that failed.

        Raises:
            NotApplied, UnknownOutcome: the database failed.
            ValueError: a task this strategy never schedules.
        """
        if name != EXPIRE_TASK:
            raise ValueError(f"task {name!r} is not known here: only {EXPIRE_TASK!r} is scheduled")
        if self._end_one(argument, "expired", due=True) is None and self._reader.is_held(argument):
            at = self._clock.now() + NOT_YET_DUE_RETRY_S
            self._tasks.schedule(at, EXPIRE_TASK, argument)

    def availability(self, event_id: int) -> Availability:
        """Count the stock; carts past their deadline hold it until they are swept."""
        with database_reading(self._engine) as connection:
            row = connection.execute(sql.STOCK, {"event": event_id}).first()
        if row is None:
            raise LookupError(f"event {event_id} is not in the events table")
        sellable = min(row.remaining_ticket, row.free_seats) if row.seats else row.remaining_ticket
        return Availability(
            event_id=event_id,
            capacity=row.capacity,
            sellable=sellable,
            held=row.held,
            sold=row.sold,
        )

    def _verify(self, hold: Hold) -> None:
        self._reader.verify(hold, self._options.checkout_margin_s)

    def _take(self, connection: Connection, hold: Hold) -> bool:
        alive = self._moments.at(-self._options.sweeper_grace_s)
        return self._writer.confirm(connection, hold, alive)

    def _held_before(self, request: HoldRequest, refusal: Exception) -> Hold:
        first = self._reader.first_hold(request, refusal)
        if first.live and self._options.rehold == "reset-ttl":
            return replace(first.hold, expires_at=self._extend(request.hold_id))
        if first.live and self._options.rehold == "overwrite":
            self._overwrite(request)
            return Hold.granted(request, expires_at=first.hold.expires_at)
        return first.hold

    def _extend(self, cart_id: str) -> float:
        later = {"cart": cart_id, "ttl": self._options.ttl_s, **self._moments.at()}
        with database_transaction(self._engine) as connection:
            extended = connection.execute(self._sql.extend, later).scalar()
        if extended is None:
            raise HoldExpired(f"hold {cart_id} has ended: ask again with a new hold_id")
        return float(extended)

    def _overwrite(self, request: HoldRequest) -> None:
        new = {
            "cart": request.hold_id,
            "tickets": request.quantity,
            "numbers": seats_text(request.seats),
        }
        with database_transaction(self._engine) as connection:
            connection.execute(sql.OVERWRITE_QUANTITY, new)
            if not self._writer.deduct(connection, request.event_id, request.quantity):
                raise SoldOut(f"event {request.event_id} has fewer than {request.quantity} left")

    def _end_one(self, cart_id: str, to: str, *, due: bool) -> EndedCart | None:
        limit = self._moments.at(-self._options.sweeper_grace_s) if due else None
        with database_transaction(self._engine) as connection:
            ended = self._writer.end(connection, cart_id, to, limit)
            if ended is not None and self._options.give_back == "atomic":
                self._writer.give_back(connection, [ended])
        if ended is not None and self._options.give_back == "split":
            self._give_back_separately([ended])
        return ended

    def _give_back_separately(self, ended: list[EndedCart]) -> None:
        with database_transaction(self._engine) as connection:
            self._writer.give_back(connection, ended)

    def _reclaim_by_index(self) -> list[EndedCart]:
        """Take due carts from the index, a batch per transaction, until none is left."""
        ended: list[EndedCart] = []
        batch = self._options.batch
        while True:
            due = self._moments.at(-self._options.sweeper_grace_s)
            with database_transaction(self._engine) as connection:
                found = self._writer.end_batch(connection, due, batch)
                if found and self._options.give_back == "atomic":
                    self._writer.give_back(connection, found)
            if found and self._options.give_back == "split":
                self._give_back_separately(found)
            ended += found
            if len(found) < batch:
                return ended

    def _reclaim_by_scan(self) -> list[EndedCart]:
        """Read every held cart and compare here, one transaction for each that is due."""
        limit = self._moments.at(-self._options.sweeper_grace_s)
        with database_reading(self._engine) as connection:
            rows = connection.execute(self._sql.scan, limit).all()
        ended = [self._end_one(row.id, "expired", due=True) for row in rows if row.due]
        return [cart for cart in ended if cart is not None]


def _keep(_hold: Hold) -> None:
    """Drop nothing: a paid cart stays for the books."""
