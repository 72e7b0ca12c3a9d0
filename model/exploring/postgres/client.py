"""The PostgreSQL clients of explored worlds: they say what they ask, and note what they heard."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.pq import TransactionStatus, abc

from model.exploring.kernel import Stop
from model.exploring.postgres.locking import Access, access_of
from model.exploring.postgres.work import Work
from model.postgres.client import VirtualConnection
from model.postgres.cursor import VirtualCursor
from model.postgres.flight import Flight, primary
from model.postgres.form import Form
from model.postgres.sql import Statement

if TYPE_CHECKING:
    from model.exploring.postgres.server import ChoosingServer

OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.ACTIVE})


class ExploredCursor(VirtualCursor):
    """A cursor whose actor learns what came back."""

    __slots__ = ()

    connection: "ExploredConnection"

    def execute(self, query: str, parameters: Any = None) -> Self:
        """Send one statement and take its answer home."""
        self.connection.given = parameters
        with _told(self.connection) as actor:
            super().execute(query, parameters)
        if actor is not None:
            actor.learn(self._heard() if self.description is None else self._rows)
        return self

    def executemany(self, query: str, parameters: Iterable[Any]) -> None:
        """Send one statement for many rows, as one crossing."""
        self.connection.given = None
        with _told(self.connection) as actor:
            super().executemany(query, parameters)
        if actor is not None:
            actor.learn(self._heard())

    def _heard(self) -> str:
        return f"{self.rowcount} row{'' if self.rowcount == 1 else 's'}"


@contextmanager
def _told(connection: "ExploredConnection") -> Iterator[Any]:
    """Whoever runs now learns of an error, too."""
    kernel: Any = connection.server.choosing
    actor = kernel.current
    try:
        yield actor
    except psycopg.Error as error:
        if actor is not None:
            actor.learn(f"{type(error).__name__}: {primary(error)}")
        raise
    finally:
        kernel.intent = None


class ExploredConnection(VirtualConnection):
    """A real connection, lent to one actor of one execution."""

    server: "ChoosingServer"
    owner = ""  # the actor's name
    work: Work | None = None
    asked: Access | None = None
    given: Any = None  # the parameters of the statement under way; None when there are many
    label = ""
    _to_begin: Access | None = None

    def bind(self, server: Any) -> None:
        """Belong to an execution, and there to whoever runs now."""
        super().bind(server)
        self.work = self.asked = None
        kernel: Any = server.kernel
        self.owner = "" if kernel.current is None else kernel.current.actor
        if kernel.current is not None:
            kernel.current.database_life = kernel.database_life

    @property
    def closed(self) -> bool:
        """Whether it is of no use any more, for who has it; the real one may be lent again."""
        return self.ended or self.pgconn.status == psycopg.pq.ConnStatus.BAD

    def leave(self) -> None:
        """Close the real connection."""
        self._closed = True
        self.pgconn.finish()

    def close(self) -> None:
        """Leave the server."""
        self.server.end_session(self)

    def announce(self, statement: Statement, parameters: Any) -> Access:
        """Say what is about to be asked."""
        first = self.pgconn.transaction_status == TransactionStatus.IDLE
        level = self.server.settings.isolation
        access = self.asked = access_of(statement, parameters, level, first=first)
        self.label = statement.label
        self.server.choosing.intent = Stop("database", statement.label, "", access.touched)
        return access

    def begin(self, access: Access) -> None:
        """The statement takes effect now."""
        if self.work is None:
            self.work = self.server.new_work()
        self.server.note_effect(self, self.label)
        self.work.note(access, self.server.contents)

    def cursor(self, name: str = "", **_more: Any) -> Any:
        """A cursor; see `VirtualConnection.cursor`."""
        return ExploredCursor(self) if not name else super().cursor(name)

    def cross(
        self,
        label: str,
        statement: Statement | None = None,
        form: Form | None = None,
        parameters: Iterable[Any] = (None,),
    ) -> list[abc.PGresult]:
        """One call: there, what it does, and back; a transaction may be over with it."""
        kernel: Any = self.server.choosing
        if kernel.current is not None and statement is not None:
            self._to_begin = self.announce(statement, self.given)
        elif label == "COMMIT":
            work = self.work
            ending = (frozenset(), frozenset()) if work is None else work.ending
            kernel.intent = Stop("database", label, touched=ending)
        try:
            return super().cross(label, statement, form, parameters)
        finally:
            self._to_begin = None
            if self.ended or self.pgconn.transaction_status not in OPEN:
                self.end_work()

    def _ask(self, statement: Statement, form: Form, parameters: Any) -> abc.PGresult:
        access, self._to_begin = self._to_begin, None
        if access is not None:
            self.begin(access)
        return super()._ask(statement, form, parameters)

    def _command(self, verb: str) -> list[abc.PGresult]:
        """COMMIT or ROLLBACK, at once: others may be chosen when it has freed their locks."""
        server, work = self.server, self.work
        commits = verb == "COMMIT" and server.choosing.current is not None
        if commits:
            server.note_effect(self, verb)
        self.pgconn.send_query(verb.encode())
        self.flight = Flight(self, frees=True, piped=False)
        result = server.drive(self.flight)
        if commits and work is not None:
            server.note_commit(self, work)
        return [result]

    def end_work(self) -> None:
        """The transaction is over, one way or the other: its locks are free."""
        work, self.work = self.work, None
        if work is not None:
            self.server.note_end(self, work)

    def commit(self) -> None:
        """End the transaction; whoever runs learns that it is committed."""
        open_before = not self.at_rest
        with _told(self) as actor:
            super().commit()
        if actor is not None and open_before:
            actor.learn("committed")
