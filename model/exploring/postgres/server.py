"""A real PostgreSQL whose waiting the chooser sees: who is blocked, who may go on, who is a victim.

As in `model.postgres.server` one backend executes at a time, and one that waits for a lock is
stopped. Here a waiting actor stands at a stop of its own: it can be chosen when PostgreSQL has
granted it the lock (who was granted it may still be overtaken by somebody who comes along, as on a
real server, until its process gets to run), or when it is in a cycle of waiters: then it is the one
whose deadlock check comes first, and PostgreSQL makes it the victim. So every victim is tried.

A server at a URL is not ours to stop: there, whoever is woken runs on to its answer in the turn
that woke it, and who of several woken by one commit is first is not under control; a deadlock's
victim is cancelled and told what PostgreSQL would have told it.
"""

import signal
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from chaos.faults import Target
from model.database import DatabaseSettings
from model.exploring.database import TIMEOUT_S, TRAVEL
from model.exploring.kernel import ChoosingKernel, ChoosingLink, Stop
from model.exploring.postgres.client import ExploredConnection
from model.exploring.postgres.contents import Contents
from model.exploring.postgres.locking import WAITING
from model.exploring.postgres.waiting import Waiting
from model.exploring.postgres.work import Work
from model.postgres.flight import PROBE_MS, Flight
from model.postgres.server import GIVE_UP_MS, LOOK_MS, PostgresServer
from model.postgres.stock import RESET
from model.scenario import Isolation

DEADLOCK_CHECK_MS = 60
"""When a waiting process looks for a deadlock: long after it was stopped, soon when continued."""


class ChoosingServer(PostgresServer):
    """The server of many executions, one after the other."""

    sessions: dict[Any, None]

    def __init__(self, database: str, isolation: Isolation) -> None:
        self.choosing = ChoosingKernel()
        link = ChoosingLink(self.choosing, Target.DATABASE, TIMEOUT_S)
        settings = DatabaseSettings(
            statement=TRAVEL, commit=TRAVEL, lock_timeout_s=TIMEOUT_S, isolation=isolation
        )
        super().__init__(database, self.choosing, link, settings)
        self.contents = Contents(self.stock)
        self.queue = Waiting(self.stock, self.sessions)
        self.order: list[str] = []  # effects since somebody has a transaction open
        self._left: list[ExploredConnection] = []

    def serve(self, kernel: ChoosingKernel) -> None:
        """Belong to another execution."""
        self._abandon()
        if self.stock.tenant is not None and self.stock.tenant is not self:
            self.stock.tenant.leave()
        self.stock.tenant = self
        self.stock.lost = None
        self.kernel = self.choosing = kernel
        self.link = ChoosingLink(kernel, Target.DATABASE, TIMEOUT_S)
        self.alive = True
        self.order.clear()
        self.lock_waits_s.clear()
        self.contents.put_back()

    # Sessions.

    def open_session(self) -> ExploredConnection:
        """A session of whoever runs now."""
        connection = self.stock.explored.pop() if self.stock.explored else self._connect()
        assert isinstance(connection, ExploredConnection)
        connection.bind(self)
        self.stock.processor.admit(connection.pid)
        self.sessions[connection] = None
        return connection

    def _connect(self) -> ExploredConnection:
        address = self.stock.address
        mine = f"-c deadlock_timeout={DEADLOCK_CHECK_MS}ms" if address.private else ""
        try:
            return ExploredConnection.connect(
                address.conninfo, dbname=self.stock.name, prepare_threshold=None, options=mine
            )
        except psycopg.Error as error:
            said = str(error).strip().split("\n")[0]
            raise self.stock.unavailable("no further connection; lower --jobs", said) from error

    def end_session(self, connection: Any) -> None:
        """The connection is gone: what it was doing is cancelled and rolled back, at once."""
        if connection.ended:
            return
        connection.ended = True
        self.sessions.pop(connection, None)
        flight = connection.flight
        if flight is not None and not flight.over:
            self.interrupt(flight)
            flight.error = errors.OperationalError("server closed the connection unexpectedly")
        if connection.pgconn.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }:
            connection.pgconn.exec_(b"ROLLBACK")
        connection.end_work()
        self._left.append(connection)
        self.settle()

    def put_back(self) -> None:
        """All code of the execution has been put away: its connections may be lent again."""
        for connection in list(self.sessions):
            self.end_session(connection)
        for connection in self._left:
            if connection.pgconn.transaction_status == TransactionStatus.IDLE:
                connection.pgconn.exec_(RESET)
                self.stock.explored.append(connection)
            else:
                connection.leave()
        self._left.clear()

    def _abandon(self) -> None:
        """An execution was left without an end: somebody may still have its connections."""
        for connection in list(self.sessions):
            self.end_session(connection)
        while self._left:
            self._left.pop().leave()
        self.queue.clear()
        self.waiting.clear()

    def leave(self) -> None:
        """No more executions."""
        self.alive = False
        self._abandon()
        self.stock.processor.leave()
        if self.stock.tenant is self:
            self.stock.tenant = None

    # Transactions.

    def new_work(self) -> Work:
        """A transaction begins now."""
        return Work(keeps_a_snapshot=self.settings.isolation != "read-committed")

    def note_effect(self, connection: ExploredConnection, label: str) -> None:
        """A statement or a commit is carried out."""
        self.order.append(f"{connection.owner} {label}")
        self.contents.numbered()

    def note_commit(self, connection: ExploredConnection, work: Work) -> None:
        """What a transaction wrote is there for all."""
        for other in self.sessions:
            seen = None if other is connection else other.work
            if seen is not None and seen.keeps_a_snapshot:
                seen.changed_since |= work.published
        self.contents.changed()

    def note_end(self, connection: ExploredConnection, work: Work) -> None:
        """A transaction is over, committed or not."""
        self.order.append(f"{connection.owner} ends")
        if all(each.work is None for each in self.sessions):
            self.order.clear()
        shared, taken = self.choosing.freed
        mine = work.locks
        self.choosing.freed = (shared | mine[0], taken | mine[1])

    # Statements.

    def drive(self, flight: Flight) -> Any:
        """Bring a statement to its answer; its actor stops if it has to wait for a lock."""
        try:
            return super().drive(flight)
        finally:
            self.queue.changed()

    def _park(self, flight: Flight) -> None:
        kernel = self.choosing
        actor: Any = kernel.current
        if actor is None:
            super()._park(flight)
        connection: Any = flight.connection
        how = kernel.how
        flight.waited = True
        self.waiting.append(flight)
        self.queue.join(actor.actor, flight, how)
        try:
            while not flight.over:
                names = " and ".join(self.queue.blockers(actor.actor)) or "its turn"
                actor.results.append(f"waits for {names}")
                how = kernel.wait_for_the_chooser(self._stop(connection)) or how
                if not flight.over:
                    self._go_on(flight)
                self.queue.join(actor.actor, flight, how)
                if connection.work is not None:  # a restart may have ended it
                    connection.work.meet(connection.asked, self.contents)
        except BaseException:
            self.end_session(connection)
            raise
        finally:
            self.queue.leave(actor.actor)
            if flight in self.waiting:
                self.waiting.remove(flight)
        kernel.how = how

    @staticmethod
    def _stop(connection: ExploredConnection) -> Stop:
        access = connection.asked
        assert access is not None
        touched = (access.touched[0] | {WAITING}, access.touched[1])
        return Stop("database", connection.label, "after a wait", touched)

    def _go_on(self, flight: Flight) -> None:
        """Continue a statement that was granted its lock, or is a deadlock's victim."""
        if self.queue.in_a_cycle(flight.pid):
            self._make_victim(flight)
            return
        with self.later(flight):
            self._signal_on(flight)
            self._brought_home(flight)

    def _make_victim(self, flight: Flight) -> None:
        """Let a process in a cycle look for a deadlock; one that does not is told what there is.

        Its check may also find that the queue can be rearranged; then it goes on waiting.
        """
        waited_ms = 0.0
        while self.stock.address.private and waited_ms < GIVE_UP_MS:
            self._signal_on(flight)
            while not flight.advance(LOOK_MS):
                waited_ms += LOOK_MS
                if self._waits(flight):
                    break
            if flight.over:
                return
            self.queue.changed()
            if not self.queue.in_a_cycle(flight.pid):
                return
        self.interrupt(flight)
        flight.error = errors.DeadlockDetected("deadlock detected")

    def interrupt(self, flight: Flight) -> None:
        """Cancel a statement and await its end; the monitor is quicker, but may have died."""
        with suppress(psycopg.Error):
            self.stock.monitor.pgconn.exec_(f"SELECT pg_cancel_backend({flight.pid})".encode())
        self._signal_on(flight)
        while not flight.advance(1000.0):
            flight.connection.pgconn.get_cancel().cancel()
        self.queue.changed()

    def settle(self) -> None:
        """Nothing here: who was granted a lock goes on when chosen. At a URL, they go on now."""
        self.queue.changed()
        if self.stock.address.private:
            return
        while True:
            stuck = self._waiting_pids() if self.waiting else set()
            woken = [each for each in self.waiting if not each.over and each.pid not in stuck]
            if not woken:
                return
            for flight in woken:
                self._run_on(flight)

    def _run_on(self, flight: Flight) -> None:
        """Bring a woken statement to its answer, or its next wait, in somebody else's turn."""
        connection: Any = flight.connection
        touched = connection.asked.touched
        self.choosing.swept_along = True
        shared, taken = self.choosing.freed
        self.choosing.freed = (shared | touched[0], taken | touched[1])
        while not flight.advance(PROBE_MS) and not self._waits(flight):
            pass

    def _signal_on(self, flight: Flight) -> None:
        self._signal(flight, signal.SIGCONT)
