"""The floor: the same requests, called directly, one after the other, on the same libraries.

No kernel, no links, no journal, no history: stock fakeredis and stock pysqlite on a WAL file with
the same pragmas. What a simulation costs above this is what Holdfast itself costs.
"""

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
from sqlalchemy import create_engine, event, insert

from model.buyers import EVENT_ID, Counter, seat_names
from model.run import _given_options
from model.spec import RunSpec
from reservation.api import AdmissionKind, PaymentStatus, Stores, Strategy
from reservation.catalogue import find, resolve_options
from reservation.errors import ReservationError
from reservation.tables import events, metadata, seats

Call = Callable[[Strategy], Any]


class InstantProvider:
    """Captures everything at once."""

    def capture(self, _key: str, _amount_cents: int) -> PaymentStatus:
        """Yes."""
        return PaymentStatus.CAPTURED

    def refund(self, _key: str) -> PaymentStatus:
        """Yes."""
        return PaymentStatus.REFUNDED

    def lookup(self, _key: str) -> PaymentStatus:
        """Captured."""
        return PaymentStatus.CAPTURED


class WallClock:
    """The real clock."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, _seconds: float) -> None:
        """No."""


class NoTasks:
    """Drops delayed tasks."""

    def schedule(self, _at: float, _name: str, _argument: str) -> None:
        """No."""


def recorded_calls(spec: RunSpec, simulate: Callable[[RunSpec], Any]) -> list[Call]:
    """The calls a simulation makes, in the order in which it makes them."""
    calls: list[Call] = []
    perform = Counter.perform

    def recording(
        self: Counter, operation: Any, kind: str, draw: Any, server: Any, call: Call
    ) -> Any:
        calls.append(call)
        return perform(self, operation, kind, draw, server, call)

    Counter.perform = recording  # type: ignore[method-assign]
    try:
        simulate(spec)
    finally:
        Counter.perform = perform  # type: ignore[method-assign]
    return calls


def direct_seconds(spec: RunSpec, calls: list[Call]) -> float:
    """CPU seconds for the calls, made directly, with the set-up of stores and tables."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        engine = create_engine(f"sqlite:///{Path(folder) / 'shop.db'}")
        event.listen(engine, "connect", _pragmas)
        strategy = _direct_strategy(spec, engine)
        for call in calls:
            with contextlib.suppress(ReservationError):
                call(strategy)
        seconds = time.process_time() - started
        engine.dispose()
    return seconds


def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")


def _direct_strategy(spec: RunSpec, engine: Any) -> Strategy:
    info = find(spec.strategy)
    sale = spec.scenario.sale
    metadata.create_all(engine)
    row = {
        "id": EVENT_ID,
        "capacity": sale.capacity,
        "remaining_ticket": sale.capacity,
        "price_cents": sale.price_cents,
    }
    with engine.begin() as connection:
        connection.execute(insert(events), [row])
        if sale.kind is AdmissionKind.SEATS:
            names = seat_names(sale.capacity, sale.row_length)
            rows = [{"event_id": EVENT_ID, "seat_no": n, "status": "available"} for n in names]
            connection.execute(insert(seats), rows)
    redis = fakeredis.FakeRedis(server=fakeredis.FakeServer()) if info.uses_redis else None
    stores = Stores(
        engine=engine,
        redis=redis,
        payments=InstantProvider(),
        clock=WallClock(),
        tasks=NoTasks(),
    )
    strategy = info.build(stores, resolve_options(info, _given_options(spec)))
    strategy.open_sale(EVENT_ID)
    return strategy


__all__ = ["direct_seconds", "recorded_calls"]
