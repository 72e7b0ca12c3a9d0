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
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from chaos.faults import Target
from model.database import DatabaseSettings, DatabaseUnavailable
from model.exploring.database import TIMEOUT_S, TRAVEL
from model.exploring.kernel import Actor, ChoosingKernel, ChoosingLink, Stop
from model.exploring.postgres.client import ExploredConnection, primary
from model.exploring.postgres.contents import Contents
from model.exploring.postgres.locking import WAITING
from model.exploring.postgres.work import Work
from model.postgres.flight import PROBE_MS, Flight
from model.postgres.server import GIVE_UP_MS, GRAPH, PostgresServer
from model.postgres.stock import RESET
from model.scenario import Isolation

DEADLOCK_CHECK_MS = 60
"""When a waiting process looks for a deadlock: long after it was stopped, soon when continued."""

LOOK_MS = 5.0
_LOST_A_CONFLICT = "40"


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
        self.flights: dict[str, Flight] = {}  # of those who wait, the longest waiting first
        self.order: list[str] = []  # effects since somebody has a transaction open
        self._left: list[ExploredConnection] = []
        self._graph: dict[int, list[int]] | None = None

    def serve(self, kernel: ChoosingKernel) -> None:
        """Belong to another execution."""
        self._abandon()
        if self.stock.tenant is not None and self.stock.tenant is not self:
            self.stock.tenant.close()
        self.stock.tenant = self
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
            raise DatabaseUnavailable(
                f"--db {self.stock.shown}: no further connection: {said}; lower --jobs"
            ) from error

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
        self.flights.clear()
        self.waiting.clear()

    def close(self) -> None:
        """No more executions."""
        self.alive = False
        self._abandon()
        if self.stock.tenant is self:
            self.stock.tenant = None

    # Transactions.

    def new_work(self) -> Work:
        """A transaction begins now."""
        snapshot = b"" if self.settings.isolation == "read-committed" else self.contents.all()
        return Work(snapshot)

    def note_effect(self, connection: ExploredConnection, label: str) -> None:
        """A statement or a commit is carried out."""
        self.order.append(f"{connection.owner} {label}")
        self.contents.numbered()

    def note_commit(self, connection: ExploredConnection, work: Work) -> None:
        """What a transaction wrote is there for all."""
        for other in self.sessions:
            if other is not connection and other.work is not None:
                other.work.changed_since |= work.published
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
        except psycopg.Error as error:
            if error.sqlstate is not None and error.sqlstate.startswith(_LOST_A_CONFLICT):
                # Its details name processes, which are others in every execution.
                raise type(error)(primary(error)) from None
            raise
        finally:
            self._graph = None

    def _park(self, flight: Flight) -> None:
        kernel = self.choosing
        actor: Any = kernel.current
        if actor is None:
            super()._park(flight)
        connection: Any = flight.connection
        how = kernel.how
        flight.waited = True
        self.waiting.append(flight)
        self.flights[actor.actor] = flight
        try:
            while not flight.over:
                self._graph = None
                names = " and ".join(self.blockers(actor.actor)) or "its turn"
                actor.results.append(f"waits for {names}")
                how = kernel.wait_for_the_chooser(self._stop(connection, how)) or how
                if not flight.over:
                    self._go_on(flight)
                connection.work.meet(connection.asked, self.contents)
        except BaseException:
            self.end_session(connection)
            raise
        finally:
            self._graph = None
            self.flights.pop(actor.actor, None)
            if flight in self.waiting:
                self.waiting.remove(flight)
        kernel.how = how

    @staticmethod
    def _stop(connection: ExploredConnection, how: str) -> Stop:
        access = connection.asked
        assert access is not None
        touched = (access.touched[0] | {WAITING}, access.touched[1])
        return Stop("database", connection.label, f"after a wait {how}".rstrip(), touched)

    def _go_on(self, flight: Flight) -> None:
        """Continue a statement that was granted its lock, or is a deadlock's victim."""
        if self._closes_a_cycle(flight.pid):
            self._make_victim(flight)
            return
        self._signal_on(flight)
        timeout_ms = PROBE_MS
        while not flight.advance(timeout_ms):
            if self._waits(flight):
                return
            timeout_ms = min(2.0 * timeout_ms, 50.0)

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
            self._graph = None
            if not self._closes_a_cycle(flight.pid):
                return
        self.interrupt(flight)
        flight.error = errors.DeadlockDetected("deadlock detected")

    def interrupt(self, flight: Flight) -> None:
        """Cancel a statement and await its end."""
        cancel = f"SELECT pg_cancel_backend({flight.pid})".encode()
        self.stock.monitor.pgconn.exec_(cancel)
        self._signal_on(flight)
        while not flight.advance(1000.0):
            self.stock.monitor.pgconn.exec_(cancel)
        self._graph = None

    def settle(self) -> None:
        """Nothing here: who was granted a lock goes on when chosen. At a URL, they go on now."""
        self._graph = None
        if self.stock.address.private or not self.waiting:
            return
        stuck = self._waiting_pids()
        for flight in self.waiting:
            if flight.over or flight.pid in stuck:
                continue
            connection: Any = flight.connection
            touched = connection.asked.touched
            shared, taken = self.choosing.freed
            self.choosing.freed = (shared | touched[0], taken | touched[1])
            while not flight.advance(PROBE_MS) and not self._waits(flight):
                pass

    # Who waits for whom.

    def _edges(self) -> dict[int, list[int]]:
        if self._graph is None:
            pids = [flight.pid for flight in self.flights.values() if not flight.over]
            found = self.stock.monitor.execute(GRAPH, [pids]).fetchall() if pids else []
            self._graph = dict(found)
        return self._graph

    def _closes_a_cycle(self, pid: int) -> bool:
        edges = self._edges()
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

    def blockers(self, name: str) -> list[str]:
        """Whom an actor waits for; nobody if it has been granted what it waited for."""
        flight = self.flights[name]
        owners = {connection.pid: connection.owner for connection in self.sessions}
        pids = self._edges().get(flight.pid, ())
        return sorted({owners.get(pid, f"process {pid}") for pid in pids})

    def movers(self, actors: Sequence[Actor]) -> list[str]:
        """Those who stand at a crossing and wait for nobody, or are a deadlock's next victim.

        Raises:
            RuntimeError: nobody can move; PostgreSQL never lets it come to that.
        """
        standing = [actor for actor in actors if actor.stop is not None]
        found = [actor.actor for actor in standing if self._may_move(actor.actor)]
        if standing and not found:
            raise RuntimeError(f"everybody waits, and nobody for somebody who does: {self.flights}")
        return found

    def _may_move(self, name: str) -> bool:
        flight = self.flights.get(name)
        if flight is None or flight.over:
            return True
        return not self._edges().get(flight.pid) or self._closes_a_cycle(flight.pid)

    def waits(self) -> list[tuple[str, str, str]]:
        """Who waits, the longest waiting first, for whom, and what has come of it."""
        found = []
        for name, flight in self.flights.items():
            answer = "" if not flight.over else f"{flight.error!r} {_answer(flight.result)}"
            names = [] if flight.over else self.blockers(name)
            found.append((name, " ".join(names), answer))
        return found

    def _signal_on(self, flight: Flight) -> None:
        import signal

        self._signal(flight, signal.SIGCONT)


def _answer(results: Any) -> str:
    """The rows of a statement that was answered before its actor heard of it."""
    if not isinstance(results, list):
        return repr(results)
    return repr(
        [
            [result.get_value(row, column) for row in range(result.ntuples)
             for column in range(result.nfields)] + [result.command_tuples]
            for result in results
        ]
    )  # fmt: skip
