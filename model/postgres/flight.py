"""One statement in flight on a real connection, brought to its answer step by step."""

import select
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import simpy
from psycopg.pq import ExecStatus, TransactionStatus, abc

from model.database import DatabaseSettings

if TYPE_CHECKING:
    from model.postgres.client import VirtualConnection

PROBE_MS = 1.0
"""After so long without an answer it is asked whether the statement waits for a lock."""
SOON_MS = 0.1
"""The same while somebody else waits: then it is likely."""

_AT_REST = frozenset({TransactionStatus.IDLE, TransactionStatus.INERROR, TransactionStatus.UNKNOWN})
_SYNC = int(ExecStatus.PIPELINE_SYNC)
_WELL = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})
_LOST_A_CONFLICT = "40"
_FD_SETSIZE = 1024  # of select()
_COPYING = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


class Flight:
    """A statement that has been given to libpq, and what became of it.

    `answered` fires when a waiting one has been brought to its answer; `began_s` is when its wait
    began, `alarm_s` the next virtual moment at which it is bounded by something. `results` are the
    answers to all that was sent with it; `piped` says that they end with that to a Sync (libpq's
    pipeline mode).
    """

    __slots__ = (
        "_deadlock_s",
        "_lock_s",
        "_piped",
        "_sent",
        "_statement_s",
        "answered",
        "asks_time",
        "began_s",
        "connection",
        "error",
        "frees",
        "over",
        "pid",
        "results",
        "waited",
    )

    def __init__(
        self,
        connection: "VirtualConnection",
        *,
        frees: bool,
        piped: bool = False,
        asks_time: bool = False,
    ) -> None:
        self.connection = connection
        self.pid = connection.pid
        self.frees = frees
        self.asks_time = asks_time
        self.over = False
        self.waited = False
        self.results: list[abc.PGresult] = []
        self.error: BaseException | None = None
        self.answered: simpy.Event
        self.began_s = 0.0
        self._piped = piped
        self._sent = False
        self._lock_s = self._deadlock_s = self._statement_s = float("inf")

    def advance(self, timeout_ms: float) -> bool:
        """Go on as far as the server's answers allow; waits up to `timeout_ms` for each."""
        if self.over:
            return True
        try:
            if not self._sent and not self._send(timeout_ms):
                return False
            if not self._receive(timeout_ms):
                return False
            self._look()
        except psycopg.Error as error:
            self.error = error
        self.over = True
        return True

    def _receive(self, timeout_ms: float) -> bool:
        """Collect the answers that have come; whether they are complete."""
        pgconn = self.connection.pgconn
        while True:
            while pgconn.is_busy():
                if not self._readable(timeout_ms):
                    return False
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                if not self._piped:
                    return True
            elif result.status == _SYNC:
                pgconn.exit_pipeline_mode()
                return True
            else:
                self.results.append(result)
                if result.status in _COPYING:
                    return True

    def _readable(self, timeout_ms: float) -> bool:
        """Await something to read; poll() counts whole milliseconds."""
        number = self.connection.pgconn.socket
        if timeout_ms < 1.0 and number < _FD_SETSIZE:
            return bool(select.select([number], [], [], timeout_ms / 1000.0)[0])
        return bool(self.connection.poll.poll(timeout_ms))

    def _send(self, timeout_ms: float) -> bool:
        """Hand everything to the system; what it does not take at once must wait for room."""
        pgconn = self.connection.pgconn
        if pgconn.flush():
            poll = self.connection.poll
            poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            try:
                while pgconn.flush():
                    found = poll.poll(timeout_ms)
                    if not found:
                        return False
                    if found[0][1] & ~select.POLLOUT:
                        pgconn.consume_input()
            finally:
                poll.modify(pgconn.socket, select.POLLIN)
        self._sent = True
        return True

    def _look(self) -> None:
        """Keep the first error among the answers."""
        for result in self.results:
            status = result.status
            if status in _WELL:
                continue
            if status in _COPYING:
                raise psycopg.NotSupportedError("COPY does not run in virtual time")
            raise _comparable(psycopg.errors.error_from_result(result))
        if not self.results:
            raise psycopg.InternalError("got no result from the query")

    @property
    def result(self) -> abc.PGresult:
        """The statement's own answer: what went before it in a pipe answers first."""
        return self.results[-1 if self._piped else 0]

    def may_have_freed(self) -> bool:
        """Whether locks that others wait for may be free now."""
        return (
            self.frees
            or self.waited
            or self.error is not None
            or self.connection.pgconn.transaction_status in _AT_REST
        )

    def cancel(self, go_on: Callable[[], None]) -> None:
        """Cancel it on the server and await its end; `go_on` continues it if it is stopped.

        In this order, a stopped process finds the order to cancel before it looks at its lock.
        """
        while not self.over:
            self.connection.pgconn.get_cancel().cancel()
            go_on()
            self.advance(1000.0)

    def begin_wait(self, env: simpy.Environment, settings: DatabaseSettings) -> None:
        """It waits for a lock from now on."""
        self.answered = simpy.Event(env)
        self.began_s = env.now
        if settings.statement_timeout_s:
            self._statement_s = env.now + settings.statement_timeout_s
        self.wait_again(env.now, settings)

    def wait_again(self, now_s: float, settings: DatabaseSettings) -> None:
        """It got what it waited for, and waits for another lock."""
        self.waited = True
        self._lock_s = now_s + settings.lock_timeout_s
        self._deadlock_s = now_s + settings.deadlock_timeout_s

    @property
    def alarm_s(self) -> float:
        """When the wait must be looked at, if nobody has ended it before."""
        return min(self._lock_s, self._deadlock_s, self._statement_s)

    def due(self, now_s: float) -> str:
        """Which bound has been reached: `statement`, `lock`, `deadlock` or none."""
        if now_s >= self._statement_s:
            return "statement"
        if now_s >= self._lock_s:
            return "lock"
        if now_s >= self._deadlock_s:
            self._deadlock_s = float("inf")  # PostgreSQL looks once a wait
            return "deadlock"
        return ""


def primary(error: psycopg.Error) -> str:
    """What a server's error says, without its details."""
    return error.diag.message_primary or str(error)


def _comparable(error: psycopg.Error) -> psycopg.Error:
    """As it is told in every run: a lost conflict's details number processes and transactions."""
    if error.sqlstate is None or not error.sqlstate.startswith(_LOST_A_CONFLICT):
        return error
    return type(error)(primary(error))
