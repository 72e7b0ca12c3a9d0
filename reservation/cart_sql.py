"""Flow 1's SQL, built once per clock so that SQLAlchemy compiles each statement once.

The order of locks is the same everywhere: cart, then seats, then event (A13).
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Double,
    Executable,
    Select,
    bindparam,
    func,
    insert,
    select,
    update,
)

from reservation.database_time import MOMENT, ClockChoice
from reservation.tables import carts, events, orders, seats

IN_LIST = 500  # values in one IN list; SQLite before 3.32 takes 999 parameters

_CART = carts.c.id == bindparam("cart")
_HELD = carts.c.status == "held"
# The concatenation keeps every database from using the index on (status, expires_at).
_HELD_UNINDEXED = carts.c.status.concat("") == "held"
_CONTENTS = (carts.c.id, carts.c.event_id, carts.c.quantity, carts.c.seats)
_EVENT = events.c.id == bindparam("event")
_SEATS = (
    seats.c.event_id == bindparam("event"),
    seats.c.seat_no.in_(bindparam("numbers", expanding=True)),
)
_SEAT_HELD = seats.c.status == "held"
_SEAT_IN_CART = seats.c.cart_id == bindparam("cart")

# Events.
READ_REMAINING: Final = select(events.c.remaining_ticket).where(_EVENT)
# A new cart or order keeps its event's key with a share lock (the foreign key), which a plain FOR
# UPDATE waits for: two buyers who have inserted their carts would deadlock. What is locked here is
# the counter, so the key may stay shared: FOR NO KEY UPDATE, the lock that UPDATE itself takes.
LOCK_REMAINING: Final = READ_REMAINING.with_for_update(key_share=True)
LOCK_REMAINING_AND_KEY: Final = READ_REMAINING.with_for_update()
WRITE_REMAINING: Final = update(events).where(_EVENT).values(remaining_ticket=bindparam("left"))
DEDUCT: Final = (
    update(events)
    .where(_EVENT, events.c.remaining_ticket >= bindparam("tickets"))
    .values(remaining_ticket=events.c.remaining_ticket - bindparam("tickets"))
)
ADD: Final = (
    update(events)
    .where(_EVENT)
    .values(remaining_ticket=events.c.remaining_ticket + bindparam("tickets"))
)

# Seats.
_HOLD_SEATS = update(seats).values(status="held", cart_id=bindparam("cart"))
_SELL_SEATS = update(seats).values(status="sold")
_FREE_SEATS = update(seats).values(status="available", cart_id=None)
READ_SEATS: Final = select(seats.c.status).where(*_SEATS).order_by(seats.c.seat_no)
LOCK_SEATS: Final = READ_SEATS.with_for_update()
HOLD_SEATS_BY_KEY: Final = _HOLD_SEATS.where(*_SEATS)
HOLD_SEATS: Final = _HOLD_SEATS.where(*_SEATS, seats.c.status == "available")
SELL_SEATS_BY_KEY: Final = _SELL_SEATS.where(*_SEATS)
SELL_SEATS: Final = _SELL_SEATS.where(*_SEATS, _SEAT_HELD, _SEAT_IN_CART)
FREE_SEATS_BY_KEY: Final = _FREE_SEATS.where(*_SEATS)
FREE_SEATS: Final = _FREE_SEATS.where(*_SEATS, _SEAT_HELD)

# Carts, whatever the clock.
MOVE_BY_KEY: Final = update(carts).where(_CART).values(status=bindparam("to"))
EXPIRE_BY_KEYS: Final = (
    update(carts).where(carts.c.id.in_(bindparam("carts", expanding=True))).values(status="expired")
)
OVERWRITE_QUANTITY: Final = (
    update(carts).where(_CART).values(quantity=bindparam("tickets"), seats=bindparam("numbers"))
)

_HELD_TICKETS = (
    select(func.coalesce(func.sum(carts.c.quantity), 0))
    .where(carts.c.event_id == bindparam("event"), _HELD)
    .scalar_subquery()
)
SOLD_TICKETS: Final = (
    select(func.coalesce(func.sum(orders.c.quantity), 0))
    .where(orders.c.event_id == bindparam("event"))
    .scalar_subquery()
)
_ALL_SEATS = select(func.count()).where(seats.c.event_id == bindparam("event"))
STOCK: Final = select(
    events.c.capacity,
    events.c.remaining_ticket,
    _HELD_TICKETS.label("held"),
    SOLD_TICKETS.label("sold"),
    _ALL_SEATS.scalar_subquery().label("seats"),
    _ALL_SEATS.where(seats.c.status == "available").scalar_subquery().label("free_seats"),
).where(_EVENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CartSql:
    """The statements that ask what time it is; parameters come from `Moments.at`."""

    insert: Executable
    extend: Executable
    look_up: Select[str, float, int, str, bool]
    validity: Select[str, bool]
    end_held: Executable
    end_due: Executable
    confirm: Executable
    expire_batch: Executable
    due_batch: Select[str, int, int, str]
    scan: Select[str, bool]
    read: Select[str, int, int, str, str, bool]
    locked_due_batch: Select[str, int, int, str]
    locked_read: Select[str, int, int, str, str, bool]


def _build(now: ColumnElement[float], clock: ClockChoice) -> CartSql:
    alive = carts.c.expires_at > now
    due = carts.c.expires_at <= now
    oldest = (_HELD, due)
    batch: BindParameter[int] = bindparam("batch")
    new = insert(carts)
    if clock == "database":
        later = now + bindparam("ttl", type_=Double())
        new = new.values(created_at=now, expires_at=later).returning(carts.c.expires_at)
    by_age = select(carts.c.id).where(*oldest).order_by(carts.c.expires_at).limit(batch)
    move = update(carts).where(_CART, _HELD)
    due_batch = select(*_CONTENTS).where(*oldest).order_by(carts.c.expires_at).limit(batch)
    read = select(*_CONTENTS, carts.c.status, alive.label("alive")).where(_CART)
    return CartSql(
        insert=new,
        extend=(
            move.values(expires_at=now + bindparam("ttl", type_=Double())).returning(
                carts.c.expires_at
            )
        ),
        look_up=select(
            carts.c.status,
            carts.c.expires_at,
            carts.c.quantity,
            carts.c.seats,
            alive.label("alive"),
        ).where(_CART),
        validity=select(carts.c.status, alive.label("alive")).where(_CART),
        end_held=move.values(status=bindparam("to")).returning(*_CONTENTS),
        end_due=move.where(due).values(status=bindparam("to")).returning(*_CONTENTS),
        confirm=move.where(alive).values(status="paid"),
        # The condition stands twice: a sweeper that waited for another one's row must look again;
        # the second time out of the index's reach, or SQLite walks all held carts instead of keys.
        expire_batch=(
            update(carts)
            .where(carts.c.id.in_(by_age.scalar_subquery()), _HELD_UNINDEXED)
            .values(status="expired")
            .returning(*_CONTENTS)
        ),
        due_batch=due_batch,
        locked_due_batch=due_batch.with_for_update(),
        scan=select(carts.c.id, due.label("due")).where(_HELD_UNINDEXED),
        read=read,
        locked_read=read.with_for_update(),
    )


CART_SQL: Final[dict[ClockChoice, CartSql]] = {
    "application": _build(MOMENT["application"], "application"),
    "database": _build(MOMENT["database"], "database"),
}
