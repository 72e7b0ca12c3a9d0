"""The client's end of the simulated database: a DBAPI connection whose statements cross a link.

SQLAlchemy is intercepted here and not by its events: the `commit` event fires before the commit
and so cannot lose a commit's reply.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, create_engine

from model.fetched import FetchedRows
from model.kernel import Kernel, Places
from model.link import LinkCut, ReplyLost, TravelTime
from model.pool import VirtualTimePool
from model.sqlite.dialect import FOR_UPDATE, REMEDY
from model.sqlite.server import LockTimeout, Session, SimulatedSQLite, classified, classify


class Disconnected(sqlite3.OperationalError):
    """The connection to the database is gone; what the server did last may be unknown."""

    disconnected = True


class StatementRefused(RuntimeError):
    """The simulated SQLite was sent what it cannot express; no server would send this error."""


class SimulatedDBConnection:
    """What SQLAlchemy takes for a `sqlite3.Connection`."""

    def __init__(self, server: SimulatedSQLite) -> None:
        self.server = server
        self.autocommit = False
        self.isolation_level: str | None = ""
        self.session = self._connect()

    def _connect(self) -> Session:
        server = self.server
        try:
            leg_s = server.link.request("CONNECT", server.statement_travel)
            if not server.alive:
                raise Disconnected("connection to server failed: Connection refused")
        except LinkCut as error:
            raise Disconnected("connection to server failed: timeout expired") from error
        session = server.open_session()
        try:
            server.link.reply("CONNECT", leg_s)
        except BaseException as error:  # the caller may also die here: nobody would end it
            session.end()
            if isinstance(error, ReplyLost):
                raise Disconnected("connection to server failed: timeout expired") from error
            raise
        if session.ended:
            raise Disconnected("server closed the connection unexpectedly")
        return session

    def cursor(self, *_args: Any) -> "SimulatedCursor":
        """A cursor."""
        return SimulatedCursor(self)

    def execute(self, sql: str, parameters: Any = ()) -> "SimulatedCursor":
        """A cursor on which `sql` was executed."""
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        """End the transaction; the effect happens between the two legs."""
        if self.session.in_transaction or self.session.ended:
            self._finish("COMMIT", self.server.commit_travel)

    def rollback(self) -> None:
        """Undo the transaction; on a broken connection the server did it already."""
        if self.session.in_transaction and not self.session.ended:
            request = self.server.kernel.current
            if request is not None and request.dying:
                self.session.end()
                return
            self._finish("ROLLBACK", self.server.statement_travel)

    def close(self) -> None:
        """Leave the server."""
        self.session.end()

    def cross(self, label: str, travel: TravelTime) -> float:
        """The request leg of one crossing, up to the instant of the effect; returns its length."""
        try:
            leg_s = self.server.link.request(label, travel)
        except LinkCut as error:
            self.session.end()
            raise Disconnected(
                "could not receive data from server: Connection timed out"
            ) from error
        if self.session.ended:
            raise Disconnected("server closed the connection unexpectedly")
        return leg_s

    def reply(self, label: str, leg_s: float) -> None:
        """The reply leg: the effect has happened, and its caller may not learn of it."""
        try:
            self.server.link.reply(label, leg_s)
        except ReplyLost as error:
            self.session.end()
            raise Disconnected("server closed the connection unexpectedly") from error
        if self.session.ended:
            raise Disconnected("server closed the connection unexpectedly")

    def _finish(self, verb: str, travel: TravelTime) -> None:
        leg_s = self.cross(verb, travel)
        self.session.finish(verb)
        self.reply(verb, leg_s)


class SimulatedCursor(FetchedRows):
    """A DBAPI cursor that has fetched everything when `execute` returns (no open read snapshot)."""

    def __init__(self, connection: SimulatedDBConnection) -> None:
        super().__init__()
        self.connection = connection
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, sql: str, parameters: Any = ()) -> "SimulatedCursor":
        """Send one statement; errors of the statement abort the transaction, as in PostgreSQL."""
        return self._cross(sql, parameters, many=False)

    def executemany(self, sql: str, parameters: Sequence[Any]) -> "SimulatedCursor":
        """Send one statement for many rows, as one crossing."""
        return self._cross(sql, parameters, many=True)

    def _cross(self, sql: str, parameters: Any, *, many: bool) -> "SimulatedCursor":
        connection = self.connection
        server = connection.server
        known = classified.get(sql)
        label, locks = classify(sql, _is_locking) if known is None else known
        server.count_statement()
        leg_s = connection.cross(label, server.statement_travel)
        session = connection.session
        if session.aborted and not sql.startswith("ROLLBACK TO"):
            raise sqlite3.OperationalError(
                "current transaction is aborted, commands ignored until end of transaction block"
            )
        session.in_transaction = True
        if locks and not session.writing:
            self._take_lock(session)
        try:
            raw = server.raw_for(session)
            cursor = raw.executemany(sql, parameters) if many else raw.execute(sql, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if self.description is not None else []
        except sqlite3.Error as error:
            self._abort(session, error)
            raise
        self._next = 0
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid
        if sql.startswith("ROLLBACK TO"):
            session.aborted = False
        if connection.autocommit:
            session.finish("COMMIT")
        connection.reply(label, leg_s)
        return self

    def _abort(self, session: Session, error: sqlite3.Error) -> None:
        """A statement failed: its transaction is over, as in PostgreSQL."""
        session.aborted = True
        if "no such function: pg_" in str(error):
            raise StatementRefused(
                f"the simulated SQLite has no PostgreSQL locks ({error}); {REMEDY}"
            ) from error
        if self.connection.autocommit:
            session.finish("ROLLBACK")

    def _take_lock(self, session: Session) -> None:
        try:
            session.begin_write()
        except LockTimeout:
            session.aborted = True
            if self.connection.autocommit:
                session.finish("ROLLBACK")
            raise sqlite3.OperationalError("canceling statement due to lock timeout") from None
        if session.ended:
            raise Disconnected("server closed the connection unexpectedly")


def _is_locking(sql: str) -> bool:
    return FOR_UPDATE in sql


def make_engine(
    kernel: Kernel,
    server: SimulatedSQLite,
    *,
    places: Places,
    timeout_s: float,
    connection: type[SimulatedDBConnection] = SimulatedDBConnection,
) -> Engine:
    """An engine of one application server, whose connections are of the class `connection`."""
    template = _template_engine()
    pool = VirtualTimePool(
        lambda: connection(server),
        kernel,
        places,
        timeout_s,
        dialect=template.dialect,
    )
    engine = Engine(pool, template.dialect, template.url)
    engine._compiled_cache = template._compiled_cache
    return engine


class SQLiteWithEngines(SimulatedSQLite):
    """The simulated SQLite as a `model.database.Database`."""

    def make_engine(self, places: Places, timeout_s: float) -> Engine:
        """See `make_engine`."""
        return make_engine(self.kernel, self, places=places, timeout_s=timeout_s)


_templates: list[Engine] = []


def _template_engine() -> Engine:
    """One dialect and one cache of compiled statements for all runs of this process.

    Compiling the statements anew for each engine would cost more than a short run.
    """
    if not _templates:
        engine = create_engine("sqlite+holdfast://")
        engine.dialect.server_version_info = sqlite3.sqlite_version_info
        engine.dialect.default_isolation_level = "READ COMMITTED"
        _templates.append(engine)
    return _templates[0]
