"""The real connections of this process: opened once, lent to one run after the other.

Each process has a database of its own, so that runs in several processes meet in nothing but the
server's processors; it is emptied before each run. Connections carry nothing from run to run
either, except the names of texts (`model.postgres.form`): `RESET` removes what a session keeps.
"""

import atexit
import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn
from sqlalchemy import CheckConstraint, Table, UniqueConstraint

from model.database import DatabaseUnavailable, TooSlow, shown
from model.postgres.address import Address, address_of
from model.postgres.processor import Processor
from model.postgres.sql import FUNCTIONS
from reservation.tables import metadata

if TYPE_CHECKING:
    from model.postgres.client import VirtualConnection
    from model.postgres.server import PostgresServer

OLDEST = 130000
# DISCARD ALL without DEALLOCATE ALL: what a name stands for is a text alone.
RESET = (
    b"CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *;"
    b" SELECT pg_catalog.pg_advisory_unlock_all();"
    b" DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP"
)
WAITING = b"SELECT pid FROM pg_catalog.pg_locks WHERE NOT granted"
_NAME_OF_WAITING = b"waiting"
KEEP_PLANS = b"SET plan_cache_mode = force_generic_plan"
"""For the monitor's connection, and those of runs (see `model.postgres.form.Form`)."""
_PREFIX = "holdfast_"
_OF_A_COMMAND = f"^{_PREFIX}[0-9a-f]{{8}}_[0-9]+$"
"""What databases of commands are called (`new_token`, a process): no database of the user's."""
IN_EACH_DATABASE = (
    "search_path = public, pg_catalog",
    "client_encoding = 'UTF8'",
    # Also at a URL: a plan depends on the data alone, and real time ends nothing.
    "plan_cache_mode = force_custom_plan",
    "jit = off",
    "synchronize_seqscans = off",
    "max_parallel_workers_per_gather = 0",
    "lock_timeout = 0",
    "statement_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
)
_SHUT_DOWN = frozenset({"57P01", "57P02", "57P03"})  # no simulated fault is told in this way
_SHAPES = """
SELECT relname, relnatts, relchecks,
    ARRAY(SELECT i.relname::text COLLATE "C" FROM pg_catalog.pg_index JOIN pg_catalog.pg_class i
        ON i.oid = indexrelid WHERE indrelid = t.oid ORDER BY 1),
    relhasrules
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = t.oid AND attisdropped)
        OR EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = t.oid AND NOT tgisinternal)
FROM pg_catalog.pg_class t
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
"""


def _shape(table: Table) -> tuple[int, int, list[str], bool]:
    """As `_SHAPES` tells it: columns, checks, indexes, and whether there is more to know."""
    uniques = [str(each.name) for each in table.constraints if isinstance(each, UniqueConstraint)]
    checks = sum(isinstance(each, CheckConstraint) for each in table.constraints)
    indexes = [f"{table.name}_pkey", *uniques, *(str(each.name) for each in table.indexes)]
    return len(table.columns), checks, sorted(indexes), False


_OURS = {name: _shape(table) for name, table in metadata.tables.items()}


class Stock:
    """One server as this process sees it: a database, idle connections, and the monitor's."""

    def __init__(self, database: str) -> None:
        self.shown = shown(database)
        self.address: Address = address_of(database)
        self.owner = os.getpid()
        self.name = f"{_PREFIX}{self.address.token}_{self.owner}"
        self._idle: list[VirtualConnection] = []
        self.processor = Processor(self.address.folder)
        self.schema = 0  # grows with each change of the tables
        self.hides = False  # whether something may run in what only seems to read, such as a view
        self.explored: list[VirtualConnection] = []  # idle, of `model.exploring`
        self.tenant: PostgresServer | None = None  # one run at a time
        self.lost: DatabaseUnavailable | None = None  # what ends this run, whoever swallows it
        self.admin = self._connect_admin()
        try:
            self._check()
            if not self.address.private:
                self._remove_leftovers()
            self._make_database()
        except DatabaseUnavailable:
            self.admin.close()
            raise
        self.monitor = psycopg.connect(
            self.address.conninfo, dbname=self.name, autocommit=True, prepare_threshold=None
        )
        self.monitor.execute("SET lock_timeout = '60s'")  # a defect of ours is no endless wait
        self.monitor.pgconn.exec_(KEEP_PLANS)
        self.monitor.pgconn.prepare(_NAME_OF_WAITING, WAITING)
        self.version: int = self.monitor.info.server_version

    def _connect_admin(self) -> psycopg.Connection:
        try:
            return psycopg.connect(
                self.address.conninfo,
                autocommit=True,
                connect_timeout=10,
                client_encoding="utf8",  # else names come as bytes from a server in SQL_ASCII
            )
        except psycopg.Error as error:
            if self.address.private:
                raise self.unavailable("the private server went away", error) from error
            said = " ".join(str(error).split())
            raise DatabaseUnavailable(
                f"--db {self.shown}: no connection: {said}; give "
                "postgresql://user@host:port/database of a running server (the password by "
                "PGPASSWORD), or --db postgres for a private one"
            ) from error

    def _check(self) -> None:
        version = self.admin.info.server_version
        if version < OLDEST:
            raise DatabaseUnavailable(
                f"--db {self.shown}: the server is PostgreSQL {version // 10_000}; "
                f"{OLDEST // 10_000} or newer is needed, or --db postgres for a private one"
            )
        try:
            self.admin.execute("SELECT pg_blocking_pids(pg_backend_pid()) FROM pg_locks LIMIT 1")
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"--db {self.shown}: the role {self.admin.info.user!r} may not see who waits for "
                f"whom ({_first_line(error)}); GRANT EXECUTE ON FUNCTION "
                "pg_catalog.pg_blocking_pids(integer) and SELECT ON pg_catalog.pg_locks to it"
            ) from error

    def _remove_leftovers(self) -> None:
        """Drop the databases of commands that were killed: nobody is connected to them.

        Another process of this command may just be making its own.
        """
        rows = self.admin.execute(
            "SELECT datname FROM pg_database WHERE datname ~ %s AND datname !~ %s"
            " AND datname NOT IN"
            " (SELECT datname FROM pg_stat_activity WHERE datname IS NOT NULL)",
            [_OF_A_COMMAND, f"^{_PREFIX}{self.address.token}_"],
        ).fetchall()
        for (name,) in rows:
            with contextlib.suppress(psycopg.Error):  # somebody else's, or just being made
                self.admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(str(name))))

    def drop_all(self, token: str) -> None:
        """Drop the databases of one command, in whichever of its processes they were made."""
        rows = self.admin.execute(
            "SELECT datname FROM pg_database WHERE datname ~ %s", [f"^{_PREFIX}{token}_[0-9]+$"]
        ).fetchall()
        for (name,) in rows:
            dropped = sql.Identifier(str(name))
            self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(dropped))

    def _make_database(self) -> None:
        name = sql.Identifier(self.name)
        try:
            self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
            self.admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
            for setting in IN_EACH_DATABASE:
                self.admin.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(name))
            with self._plain() as connection:
                connection.execute(FUNCTIONS)
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"--db {self.shown}: cannot make a database for this command: "
                f"{_first_line(error)} (the role needs CREATEDB, the disk some 10 MB)"
            ) from error

    def ask(
        self, query: str | sql.Composed, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """What the monitor's connection is answered; a command has no rows.

        Raises:
            DatabaseUnavailable: the server went away.
        """
        try:
            cursor = self.monitor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.must_live(self.monitor.pgconn, error)
            raise

    def ask_who_waits(self) -> None:
        """Ask the monitor's connection which processes wait for a lock: after each silence.

        Raises:
            DatabaseUnavailable: the server went away.
        """
        try:
            self.monitor.pgconn.send_query_prepared(_NAME_OF_WAITING, None)
        except psycopg.Error as error:
            raise self.unavailable("the real server went away", error) from None

    def told_who_waits(self) -> set[int]:
        """The answer.

        Raises:
            DatabaseUnavailable: the server went away, or is out of resources.
        """
        found: set[int] = set()
        said = ""
        while (result := self.monitor.pgconn.get_result()) is not None:  # to the end, also then
            if result.status != ExecStatus.TUPLES_OK:
                said = result.error_message.decode(errors="replace")
            found |= {int(result.get_value(row, 0) or 0) for row in range(result.ntuples)}
        if said:
            gone = self.monitor.pgconn.status == ConnStatus.BAD
            what = "went away" if gone else "does not say who waits"
            raise self.unavailable(f"the real server {what}", said)
        return found

    def who_waits(self) -> set[int]:
        """Both, where nobody can keep the answer from coming."""
        self.ask_who_waits()
        return self.told_who_waits()

    def must_live(self, pgconn: PGconn, error: object) -> None:
        """Nobody but a real end takes a connection from us.

        Raises:
            DatabaseUnavailable: the server, or the process behind this connection, really ended.
        """
        state = getattr(error, "sqlstate", None)
        # A server's error has a state; libpq's own, of a connection that broke, has none.
        broke = state is None and type(error) in {psycopg.DatabaseError, psycopg.OperationalError}
        if broke or state in _SHUT_DOWN or pgconn.status == ConnStatus.BAD:
            raise self.unavailable("the real server went away", error) from None

    def unavailable(self, what: str, error: object) -> DatabaseUnavailable:
        """The server cannot go on: what the command ends with."""
        said = " ".join(str(error).split())
        self.lost = DatabaseUnavailable(f"--db {self.shown}: {what}: {said}{self.short_of_room()}")
        return self.lost

    def too_slow(self) -> TooSlow:
        """A process looked for a deadlock before it was told to: what only a new run repairs."""
        self.lost = TooSlow(
            f"--db {self.shown}: this machine is too busy: a process of the server looked for a"
            " deadlock before it could be stopped, in each try; run again with fewer --jobs"
        )
        return self.lost

    def must_go_on(self) -> None:
        """Say again what was said to code under test, which may have kept it to itself.

        Raises:
            DatabaseUnavailable: the server cannot go on, or did not in this run.
        """
        lost, self.lost = self.lost, None
        if lost is not None:
            raise lost

    def _plain(self) -> psycopg.Connection:
        return psycopg.connect(self.address.conninfo, dbname=self.name, autocommit=True)

    def empty(self) -> None:
        """Leave no row, no sequence value and no change of the tables of the last run.

        Raises:
            DatabaseUnavailable: the server could not (a full disk).
        """
        try:
            self._empty()
        except psycopg.Error as error:
            raise DatabaseUnavailable(
                f"--db {self.shown}: cannot empty the tables of the last run: {_first_line(error)}"
                + self.short_of_room()
            ) from error

    def _empty(self) -> None:
        found = {str(name): tuple(shape) for name, *shape in self.monitor.execute(_SHAPES)}
        if not found:
            return
        listed = sql.SQL(", ").join(map(sql.Identifier, found))
        if all(_OURS.get(name) == shape for name, shape in found.items()):
            self.monitor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(listed))
        else:
            self.monitor.execute(sql.SQL("DROP TABLE {} CASCADE").format(listed))
            self.schema += 1

    def short_of_room(self) -> str:
        """What to add to a message if the private server's disk is as good as full."""
        if self.address.folder is None:
            return ""
        from model.postgres.cluster import short_of_room

        return short_of_room(str(self.address.folder))

    def lend(self) -> "VirtualConnection":
        """A connection without a past."""
        from model.postgres.client import VirtualConnection

        if self._idle:
            return self._idle.pop()
        try:
            connection = VirtualConnection.connect(
                self.address.conninfo, dbname=self.name, prepare_threshold=None
            )
            connection.pgconn.exec_(KEEP_PLANS)
        except psycopg.Error as error:  # no verdict about a strategy: its pool is the scenario's
            what = "no further connection; lower servers.database_pool or --jobs"
            raise self.unavailable(what, _first_line(error)) from error
        return connection

    def take_back(self, connection: "VirtualConnection") -> None:
        """Keep a connection, outside any transaction, for the next run."""
        if not connection.closed:
            connection.pgconn.exec_(RESET + b"; " + KEEP_PLANS)
            self._idle.append(connection)

    def close(self) -> None:
        """Close everything and drop the databases of this command."""
        if self.owner != os.getpid():
            return
        with contextlib.suppress(psycopg.Error, OSError):
            for connection in (*self._idle, *self.explored):
                connection.leave()
            self.monitor.close()
            if not self.address.private:
                self.drop_all(self.address.token)
            self.admin.close()


_stocks: dict[str, Stock] = {}


def stock_of(database: str) -> Stock:
    """The stock of a database in this process.

    Raises:
        DatabaseUnavailable: the server cannot be used; the message says why.
    """
    found = _stocks.get(database)
    if found is None or found.owner != os.getpid():
        found = _stocks[database] = Stock(database)
        atexit.register(close_all)
    return found


def close_all() -> None:
    """Close every stock of this process; the next run opens new ones."""
    while _stocks:
        _stocks.popitem()[1].close()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
