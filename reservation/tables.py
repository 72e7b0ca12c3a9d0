"""The shop's tables, shared by every strategy.

`expires_at` is epoch seconds (see `reservation.api`). Indexes follow the access paths: the sweeper
looks carts up by (status, expires_at) and the unique keys are the last line of defence.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("capacity", Integer, nullable=False),
    Column("remaining_ticket", Integer, nullable=False),
    Column("price_cents", Integer, nullable=False),
)

seats = Table(
    "seats",
    metadata,
    Column("event_id", ForeignKey("events.id"), primary_key=True),
    Column("seat_no", String(16), primary_key=True),
    Column("status", String(10), nullable=False),  # available | held | sold
    Column("cart_id", String(64), nullable=True),
)

carts = Table(
    "carts",
    metadata,
    Column("id", String(64), primary_key=True),  # the hold_id
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("customer_id", String(64), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("seats", String, nullable=False),  # comma-separated seat numbers, or empty
    Column("status", String(10), nullable=False),  # held | paid | expired | released
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_carts_status_expires_at", "status", "expires_at"),
    Index("ix_carts_event_status", "event_id", "status"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("idempotency_key", String(64), nullable=False),
    Column("hold_id", String(64), nullable=False),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("customer_id", String(64), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("idempotency_key", name="uq_orders_idempotency_key"),
    Index("ix_orders_hold_id", "hold_id"),
)

order_items = Table(
    "order_items",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", ForeignKey("orders.id"), nullable=False),
    Column("event_id", ForeignKey("events.id"), nullable=False),
    Column("seat_no", String(16), nullable=True),  # null for general admission
    Column("quantity", Integer, nullable=False),
    UniqueConstraint("event_id", "seat_no", name="uq_order_items_seat"),
)

payments = Table(
    "payments",
    metadata,
    Column("idempotency_key", String(64), primary_key=True),
    Column("hold_id", String(64), nullable=False),
    Column("amount_cents", Integer, nullable=False),
    Column("status", String(10), nullable=False),  # pending captured declined refunding refunded
    Column("created_at", Double, nullable=False),
    CheckConstraint("amount_cents >= 0", name="ck_payments_amount"),
    Index("ix_payments_status_created_at", "status", "created_at"),
)
