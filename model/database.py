"""Which database a run is played on: the simulated SQLite, or a real PostgreSQL in virtual time."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Engine

from model.kernel import Kernel, Places
from model.link import Link, TravelTime
from model.scenario import Isolation

SQLITE = "sqlite"
POSTGRES = "postgres"
URL_SCHEMES = ("postgresql://", "postgres://")
_SECRET = re.compile(r"(ssl)?password=", re.IGNORECASE)


class DatabaseUnavailable(Exception):
    """The database asked for cannot serve this run: the message says what is missing, and where."""


class TooSlow(DatabaseUnavailable):
    """This machine came too late to drive a real server as a run's seed has it: play it again."""


TRIES = 4
"""How often a run, or a move of a search, is made on a server that is driven too slowly."""

T = TypeVar("T")


def patiently(attempt: Callable[[], T], put_away: Callable[[], None] = lambda: None) -> T:
    """Make an attempt; again, after putting away what it left, if this machine was too slow for it.

    Raises:
        TooSlow: it was so each time, for a real server whose waits it has to see in time.
    """
    for _ in range(TRIES - 1):
        with suppress(TooSlow):
            return attempt()
        with suppress(TooSlow):  # it is said again when a world is put away
            put_away()
    return attempt()


class UnknownDatabase(ValueError):
    """A name that is no database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """What a scenario says about its database; every time is virtual.

    `statement_timeout_s` 0 is none. `isolation` is the level of every transaction that asks for no
    other.
    """

    statement: TravelTime
    commit: TravelTime
    lock_timeout_s: float
    statement_timeout_s: float = 0.0
    deadlock_timeout_s: float = 1.0
    isolation: Isolation = "read-committed"


class Database(Protocol):
    """One database server of one run; `statements` and so on are totals for the run's metrics.

    `reclaim_statements` are those of sweepers and delayed tasks. `lock_waits_s` has the length of
    each wait for a lock, in the order in which they ended.
    """

    alive: bool
    clock_offset_s: float
    statements: int
    reclaim_statements: int
    lock_waits_s: list[float]
    deadlocks: int
    serialization_failures: int

    def make_engine(self, places: Places, timeout_s: float) -> Engine:
        """An engine of one application server, whose pool has so many places."""

    def stop(self) -> None:
        """The server ends: what is open is rolled back, every session is gone."""

    def start(self) -> None:
        """The server is back, with everything that was committed."""

    def close(self) -> None:
        """The run is over."""


def check_database(name: str) -> None:
    """Refuse what is no database.

    Raises:
        UnknownDatabase: naming what there is.
    """
    if name not in {SQLITE, POSTGRES} and not name.startswith(URL_SCHEMES):
        raise UnknownDatabase(
            f"--db: {name!r} is unknown (allowed: {SQLITE}, {POSTGRES}, or a server: "
            "postgresql://user@host:port/database)"
        )


def prepare(name: str) -> None:
    """Find or start a database's server now, once for all processes of a command.

    Raises:
        UnknownDatabase, DatabaseUnavailable: as `open_database`.
    """
    check_database(name)
    if name != SQLITE:
        from model.postgres.address import address_of

        address_of(name)  # says what is missing before psycopg is imported
        from model.postgres.stock import stock_of

        stock_of(name)


def open_database(name: str, kernel: Kernel, link: Link, settings: DatabaseSettings) -> Database:
    """Open the database of one run.

    Raises:
        UnknownDatabase: the name is none. DatabaseUnavailable: it cannot be had, or cannot do what
            the scenario asks for.
    """
    check_database(name)
    if name != SQLITE:
        from model.postgres.address import address_of

        address_of(name)
        from model.postgres.server import PostgresServer

        return PostgresServer(name, kernel, link, settings)
    if settings.isolation != "read-committed":
        raise DatabaseUnavailable(
            f"servers.isolation = {settings.isolation!r}: the simulated SQLite is READ COMMITTED "
            "and cannot express it; run it with --db postgres"
        )
    from model.sqlite.client import SQLiteWithEngines

    return SQLiteWithEngines(
        kernel,
        link,
        statement=settings.statement,
        commit=settings.commit,
        lock_timeout_s=settings.lock_timeout_s,
    )


def shown(name: str) -> str:
    """A database's name or URL without its password, for files and messages."""
    place, _, query = re.sub(r"(//[^/?:]*):[^/?]*@", r"\1@", name).partition("?")
    kept = [each for each in query.split("&") if not _SECRET.match(each)]
    return "?".join(filter(None, (place, "&".join(kept))))
