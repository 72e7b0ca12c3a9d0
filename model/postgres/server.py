"""A real PostgreSQL as the database of one run, its concurrency driven by virtual time.

Only one session of a run executes at any real moment: a statement is sent at the virtual instant of
its effect and its answer is awaited before virtual time goes on. So everything the server does is
in an order that the simulator has chosen. What is left is waiting:

- A statement without an answer after `PROBE_MS` may be slow, or wait for a lock (`SOON_MS`, if
  others do). Its backend is stopped (SIGSTOP), and the monitor's connection asks pg_locks whether
  it waits. If it does not, it is continued and awaited. If it does, it stays stopped: its request
  waits in virtual time.
- Whenever locks may have been freed (a transaction ended or failed), those who wait no longer are
  continued one after the other, the longest waiting first, each to its answer or its next wait.
  Left to themselves, all those woken by one commit would race for the row, and the operating
  system would decide who is next.
- A wait of `deadlock_timeout_s` (virtual) is when PostgreSQL looks for a deadlock. If there is one
  by then, the backend is continued, looks, and is the victim, as on a real server: the one whose
  wait reaches the timeout first while the cycle exists. Its own timer (200 ms) cannot look earlier,
  because it is stopped long before.

A server at a URL is not ours to stop: there, those woken together race, and only runs in which
nobody does are surely repeatable.
"""

import os
import select
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import simpy
from psycopg import errors
from psycopg.pq import TransactionStatus, abc
from sqlalchemy import Engine

from model.database import DatabaseSettings
from model.kernel import EPOCH_S, Kernel, Places
from model.link import Link
from model.postgres.flight import PROBE_MS, SOON_MS, Flight
from model.postgres.sql import AFTER_A_WAIT
from model.postgres.stock import stock_of

if TYPE_CHECKING:
    from model.postgres.client import VirtualConnection

HANGS_MS = 20.0
GIVE_UP_MS = 1_000.0
LOOK_MS = 5.0
GRAPH = "SELECT pid, pg_catalog.pg_blocking_pids(pid) FROM unnest(%s::int[]) AS pid"
OUT_OF_RESOURCES = "53"


class PostgresServer:
    """One database server of one run; see the module."""

    def __init__(
        self, database: str, kernel: Kernel, link: Link, settings: DatabaseSettings
    ) -> None:
        self.kernel = kernel
        self.link = link
        self.settings = settings
        self.database = database
        self.stock = stock_of(database)
        if self.stock.tenant is not None:
            self.stock.tenant.leave()  # its run was left without an end
        self.stock.tenant = self
        self.stock.lost = None
        self.stock.processor.take([self.stock.monitor.info.backend_pid])
        self.stock.empty()
        self.alive = True
        self.clock_offset_s = 0.0
        self.schema_asks_time = False
        self.statements = 0
        self.reclaim_statements = 0
        self.lock_waits_s: list[float] = []
        self.deadlocks = 0
        self.serialization_failures = 0
        self.sessions: dict[VirtualConnection, None] = {}
        self.waiting: list[Flight] = []
        self._stuck: set[int] = set()
        self.debtor: VirtualConnection | None = None

    def make_engine(self, places: Places, timeout_s: float) -> Engine:
        """See `model.database.Database`."""
        from model.postgres.client import make_engine

        return make_engine(self, places, timeout_s)

    @property
    def now_s(self) -> float:
        """The server's clock: virtual time since the epoch, and its error."""
        return EPOCH_S + self.kernel.env.now + self.clock_offset_s

    # Sessions.

    def open_session(self) -> "VirtualConnection":
        """A session of this run, without crossing anything."""
        connection = self.stock.lend()
        connection.bind(self)
        connection.plan_anew()
        self.stock.processor.admit(connection.pid)
        self.sessions[connection] = None
        return connection

    def end_session(self, connection: "VirtualConnection") -> None:
        """The connection is gone: what it was doing is cancelled and rolled back, at once."""
        if connection.ended:
            return
        connection.ended = True
        self.pay_debt()
        self.sessions.pop(connection, None)
        flight = connection.flight
        if flight is not None and not flight.over:
            self.interrupt(flight)
            flight.error = _disconnected()
        connection.owes = False
        connection.roll_back()
        connection.leave()
        self.settle()

    def stop(self) -> None:
        """The server ends: every session is gone, what is open is rolled back."""
        self.alive = False
        for flight in list(self.waiting):  # first: who inherits a lock now would still go on
            self.interrupt(flight)
            flight.error = _disconnected()
        for connection in list(self.sessions):
            self.end_session(connection)

    def start(self) -> None:
        """The server is back, with everything that was committed."""
        self.alive = True

    def close(self) -> None:
        """The run is over.

        Raises:
            DatabaseUnavailable: it was not played to its end, whatever the code under test says.
        """
        self.leave()
        self.stock.must_go_on()

    def leave(self) -> None:
        """Give the connections back to the stock."""
        self.alive = False
        self.pay_debt()
        for connection in list(self.sessions):
            connection.pay()
            at_rest = connection.pgconn.transaction_status == TransactionStatus.IDLE
            if connection.flight is None and at_rest:
                connection.ended = True
                self.stock.take_back(connection)
            else:  # somebody may still have it in hand
                self.end_session(connection)
        self.sessions.clear()
        self.stock.processor.leave()
        if self.stock.tenant is self:
            self.stock.tenant = None

    def pay_debt(self) -> None:
        """Execute the rollback that was left (see `VirtualConnection`), before anybody asks."""
        debtor, self.debtor = self.debtor, None
        if debtor is not None:
            debtor.roll_back()

    def pay_readers(self) -> None:
        """Execute the rollbacks of those who have only read: somebody may want their tables."""
        for connection in self.sessions:
            connection.pay()

    def at_once(self, connection: "VirtualConnection", command: bytes) -> None:
        """Execute a command of our own, which waits for nobody.

        Raises:
            DatabaseUnavailable: as `must_live`.
        """
        result = connection.pgconn.exec_(command)
        self.must_live(connection, result.error_message.decode(errors="replace"))

    # Statements.

    def drive(self, flight: Flight) -> abc.PGresult:
        """Bring a statement to its answer, in no virtual time unless it has to wait for a lock."""
        if not self._brought_home(flight):
            self._park(flight)
        self._count(flight)
        if self.waiting and flight.may_have_freed():
            self.settle()
        if flight.error is not None:
            raise flight.error
        return flight.result

    def _brought_home(self, flight: Flight) -> bool:
        """Await a statement's answer; False if it waits for a lock (and its backend is stopped)."""
        timeout_ms = SOON_MS if self.waiting else PROBE_MS
        while not flight.advance(timeout_ms):
            if self._waits(flight):
                return False
            timeout_ms = min(2.0 * timeout_ms, 50.0)
        if self.stock.address.private and getattr(flight.error, "sqlstate", None) == "40P01":
            if flight in self.waiting:
                self.waiting.remove(flight)  # nothing answers it any more
            raise self.stock.too_slow()  # nobody told it to look
        return True

    def _count(self, flight: Flight) -> None:
        state = getattr(flight.error, "sqlstate", None)
        if state == "40P01":
            self.deadlocks += 1
        elif state == "40001":
            self.serialization_failures += 1
        elif state is not None and state.startswith(OUT_OF_RESOURCES):
            raise self.stock.unavailable("the server is out of resources", flight.error) from None

    def must_live(self, connection: "VirtualConnection", error: object) -> None:
        """No simulated fault takes a real connection from somebody who has it.

        Raises:
            DatabaseUnavailable: it is gone nevertheless: the server, or its process, really ended.
        """
        if self.alive and not connection.ended:
            self.stock.must_live(connection.pgconn, error)

    def _waits(self, flight: Flight) -> bool:
        """Whether a silent statement waits for a lock; if so, its backend is left stopped."""
        self._signal(flight, signal.SIGSTOP)
        self._stuck = self._waiting_pids(flight)
        if flight.pid in self._stuck:
            return True
        self._signal(flight, signal.SIGCONT)
        return False

    def _park(self, flight: Flight) -> None:
        """Let the statement's request wait until its answer is there, in virtual time."""
        kernel = self.kernel
        if kernel.current is None:
            self.interrupt(flight)
            raise RuntimeError("a statement of the set-up or the audit waits for a lock")
        flight.begin_wait(kernel.env, self.settings)
        flight.connection.was_stopped = True
        self.waiting.append(flight)
        self._watch(flight)
        try:
            kernel.wait(flight.answered)
        except BaseException:
            self.end_session(flight.connection)
            raise

    def _watch(self, flight: Flight) -> None:
        """Look at a wait when a time it is bound by comes, even while its client is paused."""
        env, alarm_s = self.kernel.env, flight.alarm_s

        def look(_event: simpy.Event) -> None:
            if not flight.over and flight.alarm_s == alarm_s:  # else another bell is set
                self._ring(flight)

        bell = env.timeout(alarm_s - env.now)
        bell.callbacks.append(look)

    def _ring(self, flight: Flight) -> None:
        """One of the times a waiting statement is bound by has come."""
        why = flight.due(self.kernel.env.now)
        if why == "deadlock":
            if self._in_a_cycle(flight.pid):
                self._let_it_look(flight)
        elif why:
            self.interrupt(flight)
            kind = errors.LockNotAvailable if why == "lock" else errors.QueryCanceled
            flight.error = kind(f"canceling statement due to {why} timeout")
        if flight.over:
            self._over(flight)
            self.settle()
        else:
            self._watch(flight)

    def _over(self, flight: Flight) -> None:
        """A wait has ended: its request goes on, unless it was given up."""
        if flight in self.waiting:
            self.waiting.remove(flight)
            self.lock_waits_s.append(self.kernel.env.now - flight.began_s)
            flight.answered.succeed()

    def _in_a_cycle(self, pid: int) -> bool:
        pids = [flight.pid for flight in self.waiting]
        return in_a_cycle(pid, dict(self.stock.ask(GRAPH, [pids])))

    def _let_it_look(self, flight: Flight) -> None:
        """Continue a backend in a cycle, so that its own deadlock check finds it.

        A check can also rearrange the queue; then there is no cycle any more, and somebody goes on.
        Out of the cycle and waiting no longer, it has only not told us yet what it found.
        One that has looked already (this machine was too busy to stop it in time) will not look
        again: it is told what it would have found.
        """
        self._signal(flight, signal.SIGCONT)
        waited_ms = 0.0
        while not flight.advance(LOOK_MS):
            waited_ms += LOOK_MS
            stuck = self._in_a_cycle(flight.pid)
            if not stuck and self._waits(flight):
                self.settle()
                return
            if stuck and waited_ms > GIVE_UP_MS:
                self.interrupt(flight)
                flight.error = errors.DeadlockDetected("deadlock detected")

    def interrupt(self, flight: Flight) -> None:
        """Cancel a statement and await its end; a lock it has been granted does not help it."""
        try:
            flight.cancel(lambda: self._signal(flight, signal.SIGCONT))
        except psycopg.Error as error:  # nobody is there to cancel it
            raise self.stock.unavailable("the real server went away", error) from None
        self._over(flight)

    def settle(self) -> None:
        """Go on with everybody who waits no longer, the longest waiting first.

        Afterwards each of them has its answer or waits again, and nobody runs.
        """
        known = False
        while self.waiting:
            if not known:
                self._stuck = self._waiting_pids()
            free = next((each for each in self.waiting if each.pid not in self._stuck), None)
            if free is None:
                return
            with self.later(free):
                self._signal(free, signal.SIGCONT)
                answered = self._brought_home(free)
            if answered:
                self._over(free)
            else:
                free.wait_again(self.kernel.env.now, self.settings)
                self._watch(free)
            known = not answered and self.stock.address.private  # `_waits` has asked just now

    @contextmanager
    def later(self, flight: Flight) -> Iterator[None]:
        """What has waited goes on now: `clock_timestamp()` says so if it looks again."""
        if not flight.asks_time or not self.stock.address.private:
            yield
            return
        moment = round(1e6 * self.now_s)
        self.stock.ask(f"SELECT setval('{AFTER_A_WAIT}', {moment})")
        try:
            yield
        finally:
            self.stock.ask(f"SELECT setval('{AFTER_A_WAIT}', 1, false)")

    def _waiting_pids(self, suspect: Flight | None = None) -> set[int]:
        """Who waits for a lock.

        A backend stopped just while it held one of the lock table's own latches would keep the
        monitor waiting: it is continued for a moment and stopped again.
        """
        if suspect is None or not self.stock.address.private:
            return self.stock.who_waits()
        patience_ms = HANGS_MS
        while True:
            self.stock.ask_who_waits()
            hangs = not _readable(self.stock.monitor.pgconn.socket, patience_ms)
            if hangs:
                self._signal(suspect, signal.SIGCONT)
            found = self.stock.told_who_waits()
            if not hangs:
                return found
            self._signal(suspect, signal.SIGSTOP)
            patience_ms *= 2.0  # it may be this machine that is slow

    def _signal(self, flight: Flight, number: int) -> None:
        if self.stock.address.private:
            try:
                os.kill(flight.pid, number)
            except ProcessLookupError:
                what = "a process of the private server died"
                raise self.stock.unavailable(what, f"number {flight.pid}") from None


def in_a_cycle(pid: int, edges: Mapping[int, Sequence[int]]) -> bool:
    """Whether a process waits, in the end, for itself; `edges` lead to whom each one waits for."""
    seen: set[int] = set()
    stack = list(edges.get(pid, ()))
    while stack:
        found = stack.pop()
        if found == pid:
            return True
        if found not in seen:
            seen.add(found)
            stack += edges.get(found, ())
    return False


def _readable(fileno: int, timeout_ms: float) -> bool:
    return bool(select.select([fileno], [], [], timeout_ms / 1000.0)[0])


def _disconnected() -> psycopg.OperationalError:
    return psycopg.OperationalError("server closed the connection unexpectedly")
