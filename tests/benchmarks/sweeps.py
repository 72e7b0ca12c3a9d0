"""One sweep of flow 1 on a real PostgreSQL: how long it takes and how many pages it touches.

A shop that has made `carts` carts: a tenth are held, 20 of those have ended, the rest were paid.
The statements are those of `db-cart`, run directly (no virtual time); pages are PostgreSQL's own
counts of shared buffers, which do not depend on how busy this machine is.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from chaos.faults import Target
from model.database import DatabaseSettings
from model.kernel import Kernel, Places
from model.link import Link, TravelTime
from model.postgres.server import PostgresServer
from reservation.api import Stores
from reservation.cart_flow import EXPIRE_TASK
from reservation.catalogue import find, resolve_options
from reservation.tables import carts, metadata
from tests.benchmarks.floor import InstantProvider, NoTasks

NOW_S = 1_000_000.0
DUE = 20

FILL = """
INSERT INTO carts (id, event_id, customer_id, quantity, seats, status, created_at, expires_at)
SELECT 'c' || g, 1, 'b' || g, 1, '', CASE WHEN g % 10 = 0 OR g <= :due THEN 'held' ELSE 'paid' END,
       0, CASE WHEN g <= :due THEN :now - 1 ELSE :now + g END
FROM generate_series(1, :carts) g
"""
PAGES = "SELECT heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0)"
PAGES += " FROM pg_statio_user_tables WHERE relname = 'carts'"
INDEX = next(index for index in carts.indexes if index.name == "ix_carts_status_expires_at")


class StoppedClock:
    """The moment of the sweep."""

    def now(self) -> float:
        """Epoch seconds."""
        return NOW_S

    def sleep(self, _seconds: float) -> None:
        """Nobody sleeps here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What giving back the ended carts cost, once."""

    taken_ms: float
    pages: int
    returned: int


@contextmanager
def shop(number: int, *, indexed: bool) -> Iterator[Engine]:
    """An engine on a shop with so many carts, with or without the index on `expires_at`."""
    kernel = Kernel()
    instant = TravelTime(1.0, 1.0)
    server = PostgresServer(
        "postgres",
        kernel,
        Link(kernel, Target.DATABASE, timeout_s=5.0),
        DatabaseSettings(statement=instant, commit=instant, lock_timeout_s=10.0),
    )
    engine = server.make_engine(Places(kernel.env, 1), 30.0)
    metadata.create_all(engine)
    try:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO events VALUES (1, 2000000, 1000000, 1)"))
            filling = {"carts": number, "due": DUE, "now": NOW_S}
            connection.execute(text(FILL), filling)
            if not indexed:
                INDEX.drop(connection)
        with engine.begin() as connection:
            connection.execute(text("ANALYZE carts"))
        yield engine
    finally:
        with engine.begin() as connection:
            INDEX.create(connection, checkfirst=True)
        server.close()


def sweep_cost(reclaim: str, number: int, *, indexed: bool = True) -> Cost:
    """Sweep once by `cron-scan`, `indexed-batch` or `delayed-task`; see the module."""
    info = find("db-cart")
    options = resolve_options(info, {"reclaim": reclaim})
    with shop(number, indexed=indexed) as engine:
        world: Any = {"payments": InstantProvider(), "clock": StoppedClock(), "tasks": NoTasks()}
        strategy = info.build(Stores(engine=engine, redis=None, **world), options)
        _set(engine, "SET plan_cache_mode = auto")  # as a server plans a statement sent once
        _set(engine, "SET track_counts = on")
        before = _pages(engine)
        started = time.perf_counter()
        if reclaim == "delayed-task":
            for turn in range(1, DUE + 1):
                strategy.run_task(EXPIRE_TASK, f"c{turn}")
            returned = DUE
        else:
            returned = strategy.sweep().returned_tickets
        taken_ms = 1000.0 * (time.perf_counter() - started)
        pages = _pages(engine) - before
        _set(engine, "SET track_counts = off")
    return Cost(taken_ms=taken_ms, pages=pages, returned=returned)


def _set(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def _pages(engine: Engine) -> int:
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with engine.begin() as connection:
        return _read(connection)


def _read(connection: Connection) -> int:
    return int(connection.execute(text(PAGES)).scalar_one())
