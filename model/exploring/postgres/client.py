"""The PostgreSQL clients of explored worlds: they say what they ask, and note what they heard."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from model.exploring.kernel import Stop
from model.exploring.postgres.locking import Access, access_of
from model.exploring.postgres.work import Work
from model.postgres.client import VirtualConnection, VirtualCursor
from model.postgres.sql import Statement

if TYPE_CHECKING:
    from model.exploring.postgres.server import ChoosingServer

OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.ACTIVE})


class ExploredCursor(VirtualCursor):
    """A cursor that announces its statement and notes what came back."""

    _given: Any = None

    def execute(self, query: Any, params: Any = None, **more: Any) -> Self:
        """Send one statement and take its answer home."""
        self._given = params
        return super().execute(query, params, **more)

    def executemany(self, query: Any, params_seq: Iterable[Any], **more: Any) -> None:
        """Send one statement for many rows, as one crossing."""
        self._given = None
        super().executemany(query, params_seq, **more)

    def _crossing(self, statement: Statement, effect: Callable[[], Any]) -> None:
        connection: Any = self._conn
        kernel: Any = connection.server.kernel
        actor = kernel.current
        if actor is None:
            super()._crossing(statement, effect)
            return
        access = connection.announce(statement, self._given)

        def noted() -> None:
            connection.begin(access)
            effect()

        try:
            super()._crossing(statement, noted)
        except psycopg.Error as error:
            actor.learn(f"{type(error).__name__}: {primary(error)}")
            raise
        finally:
            kernel.intent = None
        if self.description is None:
            actor.learn(f"{self.rowcount} row{'' if self.rowcount == 1 else 's'}")
            return
        rows = self.fetchall()
        if rows:
            self.scroll(0, mode="absolute")
        actor.learn(rows)


class ExploredConnection(VirtualConnection):
    """A real connection, lent to one actor of one execution."""

    server: "ChoosingServer"
    owner = ""  # the actor's name
    work: Work | None = None
    asked: Access | None = None
    label = ""

    def bind(self, server: Any) -> None:
        """Belong to an execution, and there to whoever runs now."""
        super().bind(server)
        self.cursor_factory = ExploredCursor
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

    def cross(self, label: str, statement: Statement | None, effect: Callable[[], Any]) -> None:
        """One call: there, what it does, and back; a transaction may be over with it."""
        try:
            super().cross(label, statement, effect)
        finally:
            if self.ended or self.pgconn.transaction_status not in OPEN:
                self.end_work()

    def end_work(self) -> None:
        """The transaction is over, one way or the other: its locks are free."""
        work, self.work = self.work, None
        if work is not None:
            self.server.note_end(self, work)

    def _finish(self, verb: str, effect: Callable[[], None]) -> None:
        kernel = self.server.choosing
        actor: Any = kernel.current
        if verb != "COMMIT" or actor is None:
            super()._finish(verb, effect)
            return
        work = self.work
        kernel.intent = Stop(
            "database", verb, touched=(frozenset(), frozenset()) if work is None else work.ending
        )

        def published() -> None:
            self.server.note_effect(self, verb)
            effect()
            if work is not None:
                self.server.note_commit(self, work)

        try:
            super()._finish(verb, published)
        except psycopg.Error as error:
            actor.learn(f"{type(error).__name__}: {primary(error)}")
            raise
        finally:
            kernel.intent = None
        actor.learn("committed")


def primary(error: psycopg.Error) -> str:
    """What a server's error says, without the process numbers of its details."""
    return error.diag.message_primary or str(error)
