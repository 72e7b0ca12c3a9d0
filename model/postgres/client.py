"""The client's end of the real PostgreSQL: psycopg's connection, whose statements cross a link.

What a statement does happens at one virtual instant or after a virtual wait for a lock; the legs of
the crossing are around it. A crossing is what an application sees as one call. The BEGIN that
psycopg sends before the first statement of a transaction travels with it.
"""

import select
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import abc as psycopg_abc
from psycopg.adapt import Transformer
from psycopg.pq import TransactionStatus, abc
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from model.kernel import Places
from model.link import LinkCut, ReplyLost, TravelTime
from model.pool import VirtualTimePool
from model.postgres import sql
from model.postgres.cursor import VirtualCursor
from model.postgres.flight import Flight
from model.postgres.form import NAMED, Form

if TYPE_CHECKING:
    from model.postgres.server import PostgresServer

CLOSED = "server closed the connection unexpectedly"
LEVELS = {
    "read-committed": psycopg.IsolationLevel.READ_COMMITTED,
    "repeatable-read": psycopg.IsolationLevel.REPEATABLE_READ,
    "serializable": psycopg.IsolationLevel.SERIALIZABLE,
}
_NAMES = {level: name.replace("-", " ").upper() for name, level in LEVELS.items()}
_IDLE = int(TransactionStatus.IDLE)
_INERROR = int(TransactionStatus.INERROR)
_OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})
_NO_SNAPSHOT = frozenset({None, psycopg.IsolationLevel.READ_COMMITTED})


class VirtualConnection(psycopg.Connection[Any]):
    """A real connection, lent to one run; `bind` says whose it is."""

    server: "PostgresServer"
    transformer: psycopg_abc.Transformer
    ended = True  # until it is bound
    pid = 0
    poll: "select.poll"
    began_s = 0.0
    flight: Flight | None = None
    only_read = False  # the open transaction has, and holds no snapshot: nobody sees its end
    owes = False  # such a transaction's rollback, which goes with what is asked next
    was_stopped = False  # for as long as it waited for a lock

    def bind(self, server: "PostgresServer") -> None:
        """Belong to a run."""
        self.server = server
        self.ended = False
        self.isolation_level = LEVELS[server.settings.isolation]
        self.autocommit = False
        if not self.pid:
            self.pid = self.pgconn.backend_pid
            self.poll = select.poll()
            self.poll.register(self.pgconn.socket, select.POLLIN)
            self.transformer = Transformer(self)
            self._forms: dict[tuple[str, bool], Form] = {}
            self._schema = server.stock.schema
            for command, name in NAMED.items():
                self.pgconn.prepare(name, command)

    def plan_anew(self) -> None:
        """Let every statement be planned as if it had never been sent (see `Form`)."""
        self.was_stopped = False
        for form in self._forms.values():
            form.asked = 0

    def leave(self) -> None:
        """Close the real connection."""
        super().close()

    def wait(self, gen: Any, *args: Any, **more: Any) -> Any:
        """What psycopg does by itself (a setting of this connection), after what is still owed."""
        if not self.ended:
            self.server.pay_debt()
            self.pay()
        return super().wait(gen, *args, **more)

    def pay(self) -> None:
        """Execute the rollback that was left, if one was."""
        if self.owes:
            self.owes = False
            self.roll_back()

    def roll_back(self) -> None:
        """Undo what is open, without crossing anything."""
        if self.pgconn.transaction_status in _OPEN:
            self.server.at_once(self, b"ROLLBACK")

    def cursor(self, name: str = "", **_more: Any) -> Any:
        """A cursor.

        Raises:
            StatementRefused: one of the server's own was asked for.
        """
        if name:
            raise sql.StatementRefused("a server-side cursor does not run in virtual time")
        return VirtualCursor(self)

    def form(self, statement: sql.Statement, *, plain: bool) -> Form:
        """What this connection knows about a statement; `plain`: it has no parameters at all."""
        stock = self.server.stock
        if statement.defines:
            self.server.schema_asks_time |= statement.asks_time
            stock.schema += 1
            stock.hides |= statement.hides
        if self._schema != stock.schema:  # results may have other columns now
            self._schema = stock.schema
            self._forms = {}
        key = (statement.text, plain)
        found = self._forms.get(key)
        if found is None:
            found = self._forms[key] = Form(self.transformer)
        return found

    def cross(
        self,
        label: str,
        statement: sql.Statement | None = None,
        form: Form | None = None,
        parameters: Iterable[Any] = (None,),
    ) -> list[abc.PGresult]:
        """One call: there, what it does (once for each of `parameters`), and back.

        Without a statement, the label is the command.
        """
        server = self.server
        settings = server.settings
        if statement is not None:
            request = server.kernel.current
            if request is not None:
                server.statements += 1
                server.reclaim_statements += request.kind == "sweeper"
        leg_s = self._go(label, settings.commit if label == "COMMIT" else settings.statement)
        try:
            if statement is None or form is None:
                results = self._command(label)
            else:
                if statement.asks_time or (self._autocommit and server.schema_asks_time):
                    self._tell_time()
                results = [self._ask(statement, form, each) for each in parameters]
        except psycopg.Error as error:
            server.must_live(self, error)
            if not self.ended:
                self._come_back(label, leg_s)
            raise
        finally:
            self.flight = None
        self._come_back(label, leg_s)
        return results

    def _ask(self, statement: sql.Statement, form: Form, parameters: Any) -> abc.PGresult:
        """Send one statement, with the BEGIN it may need, and await its answer.

        A session that was stopped while others made and dropped many tables has lost its plans:
        so that it need not be known whether it has, they are made anew after each wait. To discard
        them takes the transaction's snapshot, so it must not go before what takes none, such as
        LOCK TABLE or SET TRANSACTION: before a statement that has a plan, and so one itself.
        """
        form.fill(statement.text, parameters)
        begins = self.at_rest and not self._autocommit
        before = self._begin() if begins else ()
        planned = statement.of_rows or form.has_parameters
        well = begins or self.pgconn.transaction_status != _INERROR
        if self.was_stopped and planned and well:
            self.was_stopped = False
            before = (*before, b"DISCARD PLANS")
        if not statement.of_rows:
            self.server.pay_readers()
        if self.owes:
            self.owes = False
            before = (b"ROLLBACK", *before)
        if self.server.debtor is not None:
            before = self._settle_debt(before)
        self.only_read = (begins or self.only_read) and statement.reads
        sending = form.send(self.pgconn, before)
        flight = self.flight = Flight(
            self, frees=statement.frees, piped=sending.piped, asks_time=statement.asks_time
        )
        try:
            return self.server.drive(flight)
        finally:
            form.learn(sending, flight.results)

    def _command(self, verb: str) -> list[abc.PGresult]:
        """COMMIT or ROLLBACK.

        Nobody can see when a rollback is executed if nobody waits and nobody asks: it is left until
        somebody does. Most often this connection asks next, and both go in one message. If it has
        only read, others may ask before: under READ COMMITTED it keeps nothing they could miss but
        the right to read its tables (`pay_readers`).
        """
        server = self.server
        if verb == "ROLLBACK" and not server.waiting:
            if self.only_read and self._keeps_no_snapshot() and not server.stock.hides:
                self.owes = True
                return []
            server.pay_debt()
            server.debtor = self
            return []
        server.pay_debt()
        self.pgconn.send_query(verb.encode())
        self.flight = Flight(self, frees=True)
        return [server.drive(self.flight)]

    def _settle_debt(self, before: tuple[bytes, ...]) -> tuple[bytes, ...]:
        server = self.server
        if server.debtor is not self:
            server.pay_debt()
            return before
        server.debtor = None
        return (b"ROLLBACK", *before)

    @property
    def at_rest(self) -> bool:
        """Whether no transaction is open, or only one whose rollback is still to be sent."""
        idle = self.pgconn.transaction_status == _IDLE
        return idle or self.owes or self.server.debtor is self

    def _keeps_no_snapshot(self) -> bool:
        return self.isolation_level in _NO_SNAPSHOT

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
        self.server.pay_debt()
        self.pay()
        now_s = self.server.now_s
        began_s = now_s if self.at_rest else self.began_s
        told = (
            f"SELECT set_config('{sql.CLOCK}', '{now_s!r}', false),"
            f" set_config('{sql.TRANSACTION}', '{began_s!r}', false)"
        )
        self.server.at_once(self, told.encode())

    def _begin(self) -> tuple[bytes, ...]:
        """BEGIN, and what now() will say until the end, if some table's default may ask."""
        now_s = self.began_s = self.server.now_s
        level = _NAMES[self.isolation_level or LEVELS["read-committed"]]
        begin = f"BEGIN ISOLATION LEVEL {level}".encode()
        if not self.server.schema_asks_time:
            return (begin,)
        settings = (sql.TRANSACTION, sql.CLOCK)
        return (begin, *(f"SET LOCAL {name}='{now_s!r}'".encode() for name in settings))

    def commit(self) -> None:
        """End the transaction; the effect happens between the two legs."""
        self._finish("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction; on a broken connection the server did it already."""
        if self.ended:
            return
        request = self.server.kernel.current
        if request is not None and request.dying:
            self.server.end_session(self)
            return
        self._finish("ROLLBACK")

    def _finish(self, verb: str) -> None:
        if self.ended:
            raise psycopg.OperationalError(CLOSED)
        if not self.at_rest:
            self.cross(verb)

    def close(self) -> None:
        """Leave the server; one that has ended is closed, or lent to the next run."""
        if not self.ended:
            self.server.end_session(self)


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
