"""The client's end of the real PostgreSQL: psycopg's connection, whose statements cross a link.

psycopg sends and awaits everything through `Connection.wait`, which is overridden here: what a
statement does happens in it, at one virtual instant or after a virtual wait for a lock. The legs of
the crossing are around it, in the cursor and in `commit` and `rollback`.

A crossing is what an application sees as one call. The BEGIN that psycopg sends before the first
statement of a transaction travels with it.
"""

import select
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from model.kernel import Places
from model.link import LinkCut, ReplyLost, TravelTime
from model.pool import VirtualTimePool
from model.postgres import sql
from model.postgres.flight import Flight

if TYPE_CHECKING:
    from model.postgres.server import PostgresServer

CLOSED = "server closed the connection unexpectedly"
LEVELS = {
    "read-committed": psycopg.IsolationLevel.READ_COMMITTED,
    "repeatable-read": psycopg.IsolationLevel.REPEATABLE_READ,
    "serializable": psycopg.IsolationLevel.SERIALIZABLE,
}
_NAMES = {level: name.replace("-", " ").upper() for name, level in LEVELS.items()}


class VirtualCursor(psycopg.Cursor[Any]):
    """A cursor whose statements travel."""

    def execute(self, query: Any, params: Any = None, **more: Any) -> Self:
        """Send one statement and take its answer home."""
        run = super().execute
        statement = sql.read(query)
        self._crossing(statement, lambda: run(statement.text, params, **more))
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], **more: Any) -> None:
        """Send one statement for many rows, as one crossing."""
        run = super().execute
        statement = sql.read(query)
        rows = 0

        def each() -> None:
            nonlocal rows
            for params in params_seq:
                run(statement.text, params, **more)
                rows += max(0, self._rowcount)

        self._crossing(statement, each)
        self._rowcount = rows

    def _crossing(self, statement: sql.Statement, effect: Callable[[], Any]) -> None:
        connection = self._conn
        assert isinstance(connection, VirtualConnection)
        connection.cross(statement.label, statement, effect)


class VirtualConnection(psycopg.Connection[Any]):
    """A real connection, lent to one run; `bind` says whose it is."""

    server: "PostgresServer"
    ended = True  # until it is bound
    pid = 0
    fileno_ = -1
    poll: "select.poll"
    began_s = 0.0
    flight: Flight | None = None
    _statement: sql.Statement | None = None
    _crossing = False

    def bind(self, server: "PostgresServer") -> None:
        """Belong to a run."""
        self.server = server
        self.ended = False
        self.cursor_factory = VirtualCursor
        self.isolation_level = LEVELS[server.settings.isolation]
        self.autocommit = False
        if not self.pid:
            self.pid = self.pgconn.backend_pid
            self.fileno_ = self.pgconn.socket
            self.poll = select.poll()
            self.poll.register(self.fileno_, select.POLLIN)

    def leave(self) -> None:
        """Close the real connection."""
        super().close()

    def wait(self, gen: Any, *args: Any, **more: Any) -> Any:
        """What psycopg does with the server: one virtual instant, or a wait for a lock."""
        if not self._crossing:
            return super().wait(gen, *args, **more)  # a setting of the client's own
        statement = self._statement
        self.flight = Flight(self, gen, frees=statement is not None and statement.frees)
        return self.server.drive(self.flight)

    def cross(self, label: str, statement: sql.Statement | None, effect: Callable[[], Any]) -> None:
        """One call: there, what it does, and back."""
        server = self.server
        request = server.kernel.current
        if request is not None and statement is not None:
            server.statements += 1
            server.reclaim_statements += request.kind == "sweeper"
        commits = label == "COMMIT"
        travel = server.settings.commit if commits else server.settings.statement
        leg_s = self._go(label, travel)
        try:
            self._statement, self._crossing = statement, True
            if statement is not None and statement.asks_time:
                server.schema_asks_time |= statement.defines
                self._tell_time()
            effect()
        except psycopg.Error:
            if not self.ended:
                self._come_back(label, leg_s)
            raise
        finally:
            self._statement, self._crossing = None, False
            self.flight = None
        self._come_back(label, leg_s)

    def _go(self, label: str, travel: TravelTime) -> float:
        try:
            leg_s = self.server.link.request(label, travel)
        except LinkCut as error:
            self.server.end_session(self)
            raise psycopg.OperationalError(
                "could not receive data from server: Connection timed out"
            ) from error
        if self.ended:
            raise psycopg.OperationalError(CLOSED)
        return leg_s

    def _come_back(self, label: str, leg_s: float) -> None:
        try:
            self.server.link.reply(label, leg_s)
        except ReplyLost as error:
            self.server.end_session(self)
            raise psycopg.OperationalError(CLOSED) from error
        if self.ended:
            raise psycopg.OperationalError(CLOSED)

    def _tell_time(self) -> None:
        now_s = self.server.now_s
        idle = self.pgconn.transaction_status == TransactionStatus.IDLE
        began_s = now_s if idle else self.began_s
        self.pgconn.exec_(
            f"SELECT set_config('{sql.CLOCK}', '{now_s!r}', false),"
            f" set_config('{sql.TRANSACTION}', '{began_s!r}', false)".encode()
        )

    def _start_query(self) -> Any:
        """BEGIN, and what now() will say until the end, if some table's default may ask."""
        if self._autocommit or self.pgconn.transaction_status != TransactionStatus.IDLE:
            return
        self.began_s = self.server.now_s
        told = f"{self.began_s!r}"
        begin = f"BEGIN ISOLATION LEVEL {_NAMES[self.isolation_level or LEVELS['read-committed']]}"
        if self.server.schema_asks_time:
            begin += f";SET LOCAL {sql.TRANSACTION}='{told}';SET LOCAL {sql.CLOCK}='{told}'"
        result = self.pgconn.exec_(begin.encode())
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
        yield from ()

    def commit(self) -> None:
        """End the transaction; the effect happens between the two legs."""
        self._finish("COMMIT", super().commit)

    def rollback(self) -> None:
        """Undo the transaction; on a broken connection the server did it already."""
        if self.ended:
            return
        request = self.server.kernel.current
        if request is not None and request.dying:
            self.server.end_session(self)
            return
        self._finish("ROLLBACK", super().rollback)

    def _finish(self, verb: str, effect: Callable[[], None]) -> None:
        if self.ended:
            raise psycopg.OperationalError(CLOSED)
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            self.cross(verb, None, effect)

    def close(self) -> None:
        """Leave the server."""
        if not self.ended:
            self.server.end_session(self)
        super().close()


def connect(server: "PostgresServer") -> VirtualConnection:
    """Open a session: a crossing of its own.

    Raises:
        psycopg.OperationalError: the server is down, or was not reached.
    """
    try:
        leg_s = server.link.request("CONNECT", server.settings.statement)
    except LinkCut as error:
        raise psycopg.OperationalError("connection to server failed: timeout expired") from error
    if not server.alive:
        raise psycopg.OperationalError("connection to server failed: Connection refused")
    connection = server.open_session()
    try:
        server.link.reply("CONNECT", leg_s)
    except BaseException as error:  # the caller may also die here: nobody would end it
        server.end_session(connection)
        if isinstance(error, ReplyLost):
            raise psycopg.OperationalError(
                "connection to server failed: timeout expired"
            ) from error
        raise
    if connection.ended:
        raise psycopg.OperationalError(CLOSED)
    return connection


def make_engine(server: "PostgresServer", places: Places, timeout_s: float) -> Engine:
    """An engine of one application server."""
    template = _template_engine(server)
    pool = VirtualTimePool(
        lambda: connect(server), server.kernel, places, timeout_s, dialect=template.dialect
    )
    engine = Engine(pool, template.dialect, template.url)
    engine._compiled_cache = template._compiled_cache
    return engine


_templates: dict[tuple[str, str], Engine] = {}


def _template_engine(server: "PostgresServer") -> Engine:
    """One dialect and one cache of compiled statements for all runs of this process."""
    key = (server.stock.name, server.settings.isolation)
    if key not in _templates:
        stock = server.stock
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(stock.address.conninfo, dbname=stock.name),
            poolclass=StaticPool,
            use_native_hstore=False,
        )
        engine.connect().close()
        engine.dispose()
        level: Any = _NAMES[LEVELS[server.settings.isolation]]
        engine.dialect.default_isolation_level = level
        _templates[key] = engine
    return _templates[key]
