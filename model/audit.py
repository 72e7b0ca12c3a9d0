"""Reads the final state at rest: database rows, the provider's ledger, the strategy's view."""

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, select

from model.history import Audit, OrderRow, PaymentRow, StockRow
from model.provider import LedgerEntry
from reservation.api import Strategy
from reservation.payment_book import original_key
from reservation.seat_setnx import seat_of
from reservation.tables import events, order_items, orders


def read_audit(
    engine: Engine,
    strategy: Strategy,
    ledger: Mapping[str, LedgerEntry],
    *,
    at_s: float,
    quiet_s: float,
) -> Audit:
    """The audit of a deployment in which nothing is in flight.

    It is read around the strategies for what they are judged on, and through
    `Strategy.availability` for what they believe to be sellable.
    """
    with engine.connect() as connection:
        order_rows = _orders(connection)
        stock = connection.execute(select(events)).all()
    sold: dict[int, int] = {}
    for row in order_rows:
        sold[row.event_id] = sold.get(row.event_id, 0) + row.quantity
    views = {row.id: strategy.availability(row.id) for row in stock}
    return Audit(
        at_s=at_s,
        quiet_s=quiet_s,
        stock=tuple(
            StockRow(
                event_id=row.id,
                capacity=row.capacity,
                remaining_ticket=row.remaining_ticket,
                sellable=views[row.id].sellable,
                held=views[row.id].held,
                sold=sold.get(row.id, 0),
            )
            for row in stock
        ),
        orders=order_rows,
        payments=_payments(ledger),
    )


def _orders(connection: Connection) -> tuple[OrderRow, ...]:
    seats: dict[int, list[str]] = {}
    quantities: dict[int, int] = {}
    for item in connection.execute(select(order_items).order_by(order_items.c.id)):
        quantities[item.order_id] = quantities.get(item.order_id, 0) + item.quantity
        if item.seat_no is not None:
            seats.setdefault(item.order_id, []).append(seat_of(item.seat_no))
    return tuple(
        OrderRow(
            order_id=row.id,
            key=original_key(row.idempotency_key),
            hold_id=row.hold_id,
            customer_id=row.customer_id,
            event_id=row.event_id,
            quantity=quantities.get(row.id, 0),
            seats=tuple(seats.get(row.id, ())),
        )
        for row in connection.execute(select(orders).order_by(orders.c.id))
    )


def _payments(ledger: Mapping[str, LedgerEntry]) -> tuple[PaymentRow, ...]:
    return tuple(
        PaymentRow(
            key=key,
            amount_cents=entry.amount_cents,
            captured_s=entry.captured_s,
            refunded_s=entry.refunded_s,
        )
        for key, entry in sorted(ledger.items())
    )
