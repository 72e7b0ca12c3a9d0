"""A small shop: one event in a SQLite file in WAL mode, and short words for what buyers do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, func, insert, select
from sqlalchemy.pool import NullPool

from reservation.api import CheckoutRequest, Hold, HoldRequest, Stores, Strategy, StrategyInfo
from reservation.tables import carts, events, order_items, orders, payments, seats
from tests.reservation.fakes import FakeClock, FakeGateway, FakeTasks

CAPACITY = 10


def sqlite_engine(path: Path, clock: FakeClock) -> Engine:
    """Open a SQLite file whose `julianday('now')` is the fake clock (the database's own clock)."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA busy_timeout=0")  # a test that would wait is a wrong test
        connection.execute("PRAGMA synchronous=OFF")
        connection.create_function("julianday", 1, lambda _: clock.true_s[0] / 86_400 + 2_440_587.5)

    return engine


@dataclass(slots=True)
class Shop:
    """One event, its stores, and short words for what buyers do."""

    stores: Stores
    clock: FakeClock
    gateway: FakeGateway
    tasks: FakeTasks
    event_id: int = 1

    @property
    def engine(self) -> Engine:
        """The database."""
        return self.stores.engine

    def open(self, capacity: int = CAPACITY, seat_names: Sequence[str] = ()) -> None:
        """Put the event on sale; with seat names it sells seats."""
        row = {"id": self.event_id, "capacity": capacity, "remaining_ticket": capacity}
        with self.engine.begin() as connection:
            connection.execute(insert(events).values(**row, price_cents=5000))
            for seat_no in seat_names:
                connection.execute(
                    insert(seats).values(
                        event_id=self.event_id, seat_no=seat_no, status="available"
                    )
                )

    def build(self, info: StrategyInfo, *, skew_s: float = 0.0, **options: Any) -> Strategy:
        """Make a strategy, as on an application server whose clock is `skew_s` ahead."""
        unknown = set(options) - set(info.defaults)
        assert not unknown, f"{info.name} has no option {sorted(unknown)}"
        stores = replace(self.stores, clock=self.clock.skewed(skew_s))
        strategy = info.build(stores, {**info.defaults, **options})
        strategy.open_sale(self.event_id)
        return strategy

    def ask(self, hold_id: str, quantity: int = 1, seat_names: Sequence[str] = ()) -> HoldRequest:
        """Word a buyer's request; the buyer is named after the hold."""
        return HoldRequest(
            hold_id=hold_id,
            event_id=self.event_id,
            customer_id=f"buyer-{hold_id}",
            quantity=len(seat_names) or quantity,
            seats=tuple(seat_names),
        )

    def pay(self, hold: Hold, key: str | None = None) -> CheckoutRequest:
        """Word a checkout; its key is the hold's unless given."""
        return CheckoutRequest(
            hold=hold,
            idempotency_key=key or f"key-{hold.hold_id}",
            amount_cents=5000 * hold.quantity,
        )

    def remaining(self) -> int:
        """Read the database's counter."""
        return self._scalar(select(events.c.remaining_ticket).where(events.c.id == self.event_id))

    def sold(self) -> int:
        """Count the tickets in orders."""
        return self._scalar(select(func.coalesce(func.sum(orders.c.quantity), 0)))

    def order_count(self) -> int:
        """Count the orders."""
        return self._scalar(select(func.count()).select_from(orders))

    def sold_seats(self) -> list[str]:
        """List the seats in order items."""
        with self.engine.connect() as connection:
            return list(
                connection.execute(
                    select(order_items.c.seat_no).order_by(order_items.c.id)
                ).scalars()
            )

    def seat_status(self, seat_no: str) -> str:
        """Read a seat's row."""
        return str(self._scalar(select(seats.c.status).where(seats.c.seat_no == seat_no)))

    def cart_status(self, hold_id: str) -> str:
        """Read a cart's status."""
        return str(self._scalar(select(carts.c.status).where(carts.c.id == hold_id)))

    def payment_status(self, key: str) -> str | None:
        """Read a payment row's status, or None."""
        query = select(payments.c.status).where(payments.c.idempotency_key == key)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _scalar(self, query: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(query).scalar_one()
