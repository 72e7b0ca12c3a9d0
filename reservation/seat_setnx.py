"""`seat-setnx`: assigned seats, held in Redis seat by seat and guarded by a unique key.

Hold: take the seats' keys, then ask the database whether any of them is sold. In this order no sale
can slip through: a sale drops its keys after its commit, so whoever gets the keys after that reads
the commit. (The other order has the gap described in `reservation.hold_ledger`.)

Checkout: the order's transaction marks the seats sold and inserts them into `order_items`, whose
unique key over (event, seat) is the last word, whatever Redis forgot.

`unique_guard = False` is a shop without that key. The table has it all the same, so the order's
items are stored under a label of their own, seat number and a mark of the hold (`A1#1f3a90c2`),
which the key lets pass; `seat_of` reads the seat back. Options that switch other safeguards off:
`expire = separate` (B02), `release = blind` (B05), `recognise_own = False` (B29).
"""

import hashlib
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

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
from reservation.errors import HoldExpired, NotApplied, SoldOut, UnknownOutcome
from reservation.event_stock import counts, deduct
from reservation.redis_terms import COMMON_CHOICES, COMMON_DEFAULTS, refuse_task, required_redis
from reservation.seat_keys import TAKEN, SeatKeys
from reservation.tables import seats
from reservation.till import Till, till_options

_THESE = (seats.c.event_id == bindparam("event")) & seats.c.seat_no.in_(
    bindparam("seat_nos", expanding=True)
)
_COUNT_UNSOLD = select(func.count()).where(_THESE, seats.c.status != "sold")
_SELL = update(seats).where(_THESE).values(status="sold", cart_id=bindparam("hold"))
_SEATS = (
    select(seats.c.seat_no, seats.c.status)
    .where(seats.c.event_id == bindparam("event"))
    .order_by(seats.c.seat_no)
)


class SeatSetnx:
    """Seat keys in Redis, a unique key in the database."""

    def __init__(self, stores: Stores, options: dict[str, Any]) -> None:
        """Take the options named in `INFOS`."""
        self._engine = stores.engine
        self._till = Till(stores, till_options(options))
        self._keys = SeatKeys(
            required_redis(stores, "seat-setnx"),
            stores.clock,
            ttl_s=float(options["ttl_s"]),
            recognise=options["recognise_own"],
            by_token=options["release"] == "token",
        )
        one_step = options["expire"] == "atomic"
        self._take_keys = self._keys.take if one_step else self._keys.take_in_two_steps
        self._unique_guard = bool(options["unique_guard"])
        self._doubtful_after_s = float(options["doubtful_after_s"])

    def open_sale(self, event_id: int) -> None:
        """Do nothing: seats need no preparation."""

    def hold(self, request: HoldRequest) -> Hold:
        """Take the seats' keys, then make sure none of them is sold."""
        if not request.seats:
            raise ValueError(f"seat-setnx holds named seats; request {request.hold_id} names none")
        deadline_ms = self._take_keys(request)
        if deadline_ms == TAKEN:
            raise SoldOut(f"one of seats {', '.join(request.seats)} is held by somebody else")
        if self._count_unsold(request) != len(request.seats):
            self._keys.undo(request)
            raise SoldOut(f"one of seats {', '.join(request.seats)} is sold or does not exist")
        return Hold.granted(request, expires_at=deadline_ms / 1000)

    def _count_unsold(self, request: HoldRequest) -> int:
        given = {"event": request.event_id, "seat_nos": list(request.seats)}
        try:
            with database_reading(self._engine) as connection:
                return int(connection.execute(_COUNT_UNSOLD, given).scalar_one())
        except NotApplied as error:
            raise UnknownOutcome(f"the seats' keys are taken, but {error}") from error

    def release(self, hold: Hold) -> None:
        """Free the seats."""
        self._keys.release(hold)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Sell the seats; see `reservation.till`."""
        hold = request.hold
        if not self._unique_guard:
            labels = tuple(_label(seat_no, hold.hold_id) for seat_no in hold.seats)
            request = replace(request, hold=replace(hold, seats=labels))

        def verify(_: Hold) -> None:
            if not self._keys.are_mine(hold):
                raise HoldExpired(f"hold {hold.hold_id} does not own its seats (any more)")

        def take(connection: Connection, _: Hold) -> bool:
            return _sell(connection, hold)

        def drop(_: Hold) -> None:
            self._keys.release(hold)

        order = self._till.sell(request, verify=verify, take=take, drop=drop)
        if self._unique_guard:
            return order
        return replace(order, seats=tuple(seat_of(label) for label in order.seats))

    def sweep(self) -> SweepReport:
        """Settle doubtful payments; the holds clean themselves up."""
        refunded = self._till.settle_doubtful(self._doubtful_after_s)
        return SweepReport(refunded_payments=refunded)

    def run_task(self, name: str, argument: str) -> None:
        """Refuse: nothing is scheduled."""
        refuse_task("seat-setnx", name, argument)

    def availability(self, event_id: int) -> Availability:
        """Count seats: sold ones in orders, held ones in Redis that are not sold, and the rest."""
        with database_reading(self._engine) as connection:
            _, _, sold = counts(connection, event_id)
            rows = connection.execute(_SEATS, {"event": event_id}).all()
        held = self._keys.held(event_id, [row.seat_no for row in rows])
        unsold = [row.seat_no for row in rows if row.status != "sold"]
        held_unsold = sum(seat_no in held for seat_no in unsold)
        return Availability(
            event_id=event_id,
            capacity=len(rows),
            sellable=len(unsold) - held_unsold,
            held=held_unsold,
            sold=sold,
        )


def _sell(connection: Connection, hold: Hold) -> bool:
    """Mark the seats sold and deduct them; the unique key of the order's items decides whose.

    The event's row comes first: two orders that share seats then wait for each other there, and
    never lock seats in opposite order (A13).
    """
    deduct(connection, hold)
    given = {"event": hold.event_id, "seat_nos": list(hold.seats), "hold": hold.hold_id}
    return connection.execute(_SELL, given).rowcount == len(hold.seats)


def seat_of(label: str) -> str:
    """Read the seat number out of an order item's label (with the guard they are the same)."""
    return label.partition("#")[0]


def _label(seat_no: str, hold_id: str) -> str:
    mark = hashlib.blake2s(hold_id.encode(), digest_size=4).hexdigest()
    return f"{seat_no}#{mark}"


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="seat-setnx",
        summary="assigned seats: a Redis key with a TTL per seat, a unique key in the database",
        uses_redis=True,
        admits=frozenset({AdmissionKind.SEATS}),
        defaults={
            **COMMON_DEFAULTS,
            "expire": "atomic",
            "release": "token",
            "recognise_own": True,
            "unique_guard": True,
        },
        choices={
            **COMMON_CHOICES,
            "expire": ("atomic", "separate"),
            "release": ("token", "blind"),
        },
        build=SeatSetnx,
    ),
)
