"""The database's side of a Redis strategy: what remains of an event, and its real deduction.

The statements are built once: SQLAlchemy then finds their compiled form by identity instead of
building it for every request.
"""

from sqlalchemy import Connection, bindparam, func, select, update

from reservation.api import Hold
from reservation.tables import events, orders

_REMAINING = select(events.c.remaining_ticket).where(events.c.id == bindparam("event"))

_DEDUCT = (
    update(events)
    .where(events.c.id == bindparam("event"))
    .values(remaining_ticket=events.c.remaining_ticket - bindparam("quantity"))
    .returning(events.c.remaining_ticket)
)

_DEDUCT_IF_ENOUGH = _DEDUCT.where(events.c.remaining_ticket >= bindparam("quantity"))

_COUNTS = select(
    events.c.capacity,
    events.c.remaining_ticket,
    select(func.coalesce(func.sum(orders.c.quantity), 0))
    .where(orders.c.event_id == bindparam("event"))
    .scalar_subquery(),
).where(events.c.id == bindparam("event"))


def remaining(connection: Connection, event_id: int) -> int:
    """Read `remaining_ticket`, unlocked; an event that does not exist has nothing left."""
    value = connection.execute(_REMAINING, {"event": event_id}).scalar()
    return 0 if value is None else int(value)


def deduct(connection: Connection, hold: Hold) -> int:
    """Take the hold's tickets out of `remaining_ticket` without asking; it may go below zero.

    Returns:
        what remains after this deduction.
    """
    given = {"event": hold.event_id, "quantity": hold.quantity}
    return int(connection.execute(_DEDUCT, given).scalar_one())


def deduct_if_enough(connection: Connection, hold: Hold) -> int | None:
    """Take the hold's tickets if that many remain, deciding and writing in one statement.

    Under READ COMMITTED a concurrent update makes the database evaluate the condition again on the
    new row (anomalies P1), so two buyers can never share the last tickets.

    Returns:
        what remains after this deduction, or None when there was not enough.
    """
    given = {"event": hold.event_id, "quantity": hold.quantity}
    value = connection.execute(_DEDUCT_IF_ENOUGH, given).scalar()
    return None if value is None else int(value)


def counts(connection: Connection, event_id: int) -> tuple[int, int, int]:
    """Read capacity, `remaining_ticket` and the tickets in orders, for audits and dashboards."""
    capacity, left, sold = connection.execute(_COUNTS, {"event": event_id}).one()
    return int(capacity), int(left), int(sold)
