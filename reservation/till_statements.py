"""The till's SQL, built once so that SQLAlchemy compiles each statement once."""

from typing import Any, Final

from sqlalchemy import bindparam, insert, select, update

from reservation.api import Hold
from reservation.tables import order_items, orders, payments

_KEY = payments.c.idempotency_key == bindparam("key")
_ANSWER = (orders.c.id, orders.c.event_id, orders.c.customer_id, orders.c.quantity)

FIRST_ANSWER: Final = (
    select(payments.c.status, *_ANSWER)
    .select_from(payments.outerjoin(orders, orders.c.idempotency_key == payments.c.idempotency_key))
    .where(_KEY)
)
ORDER_BY_PREFIX: Final = (
    select(*_ANSWER)
    .where(orders.c.idempotency_key.startswith(bindparam("prefix")))
    .order_by(orders.c.id)
    .limit(1)
)
SEATS_OF_ORDER: Final = (
    select(order_items.c.seat_no)
    .where(order_items.c.order_id == bindparam("order"), order_items.c.seat_no.is_not(None))
    .order_by(order_items.c.id)
)

INSERT_PAYMENT: Final = insert(payments)
TOUCH_PENDING: Final = (
    update(payments).where(_KEY, payments.c.status == "pending").values(created_at=bindparam("at"))
)
DECLINE: Final = (
    update(payments).where(_KEY, payments.c.status == "pending").values(status="declined")
)
CLAIM: Final = (
    update(payments).where(_KEY, payments.c.status == "pending").values(status="captured")
)
MARK_CAPTURED: Final = update(payments).where(_KEY).values(status="captured")
# `declined` too: a try that slept through its settlement may have captured after all.
BEGIN_REFUND: Final = (
    update(payments)
    .where(_KEY, payments.c.status.in_(("pending", "refunding", "declined")))
    .values(status="refunding")
)
END_REFUND: Final = (
    update(payments).where(_KEY, payments.c.status == "refunding").values(status=bindparam("final"))
)
DOUBTFUL: Final = (
    select(payments.c.idempotency_key, payments.c.status, payments.c.created_at)
    .where(
        payments.c.status.in_(("pending", "refunding")),
        payments.c.created_at <= bindparam("before"),
    )
    .order_by(payments.c.created_at)
    .limit(bindparam("batch"))
)

INSERT_ORDER: Final = insert(orders)
INSERT_ITEM: Final = insert(order_items)


def item_rows(order_id: int, hold: Hold) -> dict[str, Any] | list[dict[str, Any]]:
    """List an order's items: one row per seat, or one for all tickets of general admission."""
    common = {"order_id": order_id, "event_id": hold.event_id}
    if not hold.seats:
        return {**common, "seat_no": None, "quantity": hold.quantity}
    return [{**common, "seat_no": seat, "quantity": 1} for seat in hold.seats]
