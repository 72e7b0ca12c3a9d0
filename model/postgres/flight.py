"""One statement in flight on a real connection, brought to its answer step by step."""

import select
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import psycopg
import simpy
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready, Wait

from model.database import DatabaseSettings

if TYPE_CHECKING:
    from model.postgres.client import VirtualConnection

PROBE_MS = 1.0
"""After so long without an answer it is asked whether the statement waits for a lock."""

_POLL = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
_AT_REST = frozenset({TransactionStatus.IDLE, TransactionStatus.INERROR, TransactionStatus.UNKNOWN})


class Flight:
    """psycopg's own generator for a statement, and what became of it.

    `answered` fires when somebody else has brought a waiting one to its answer. `alarm_s` is the
    next virtual moment at which its wait is bounded by something.
    """

    __slots__ = (
        "_deadlock_s",
        "_gen",
        "_lock_s",
        "_statement_s",
        "_wants",
        "answered",
        "connection",
        "error",
        "frees",
        "over",
        "pid",
        "result",
        "waited",
    )

    def __init__(
        self, connection: "VirtualConnection", gen: Generator[Any, Any, Any], *, frees: bool
    ) -> None:
        self.connection = connection
        self.pid = connection.pid
        self.frees = frees
        self.over = False
        self.waited = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.answered: simpy.Event
        self._gen = gen
        self._wants: Any = None
        self._lock_s = self._deadlock_s = self._statement_s = float("inf")

    def advance(self, timeout_ms: float) -> bool:
        """Go on as far as the server's answers allow; waits up to `timeout_ms` for each."""
        if self.over:
            return True
        poll = self.connection.poll
        fileno = self.connection.fileno_
        gen = self._gen
        try:
            wants = self._wants
            if wants is None:
                wants = gen.send(None)
            while True:
                poll.modify(fileno, _POLL[wants])
                found = poll.poll(timeout_ms)
                if not found:
                    self._wants = wants
                    return False
                came = found[0][1]
                ready = 0
                if came & _READABLE:
                    ready |= Ready.R
                if came & select.POLLOUT:
                    ready |= Ready.W
                wants = gen.send(Ready(ready))
        except StopIteration as stop:
            self.result = stop.value
        except psycopg.Error as error:
            self.error = error
        self.over = True
        return True

    def may_have_freed(self) -> bool:
        """Whether locks that others wait for may be free now."""
        return (
            self.frees
            or self.waited
            or self.error is not None
            or self.connection.pgconn.transaction_status in _AT_REST
        )

    def cancel(self) -> None:
        """Cancel it on the server and await its end, whatever it is."""
        if not self.over:
            self.connection.pgconn.get_cancel().cancel()
            while not self.advance(1000.0):
                self.connection.pgconn.get_cancel().cancel()

    def begin_wait(self, env: simpy.Environment, settings: DatabaseSettings) -> None:
        """It waits for a lock from now on."""
        self.answered = simpy.Event(env)
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
