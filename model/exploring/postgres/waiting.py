"""Who waits for a lock in an explored world, and for whom: PostgreSQL's own view of it."""

from collections.abc import Iterable, Sequence
from typing import Any

from model.exploring.kernel import Actor
from model.postgres.flight import Flight
from model.postgres.server import GRAPH, in_a_cycle
from model.postgres.stock import Stock


class LeftOpen(Exception):
    """The code under test never ended a transaction, and others wait for its locks."""


class Waiting:
    """The actors that wait, the longest waiting first; `sessions` are everybody's connections."""

    def __init__(self, stock: Stock, sessions: Iterable[Any]) -> None:
        self._stock = stock
        self._sessions = sessions
        self._flights: dict[str, Flight] = {}
        self._promised: dict[str, str] = {}  # how their crossings are to go on: lost, dies
        self._edges: dict[int, list[int]] | None = None

    def changed(self) -> None:
        """Locks were taken or freed: ask again."""
        self._edges = None

    def join(self, actor: str, flight: Flight, how: str) -> None:
        """An actor waits; a second time keeps its place."""
        self._flights[actor] = flight
        self._promised[actor] = how
        self.changed()

    def leave(self, actor: str) -> None:
        """It waits no longer."""
        self._flights.pop(actor, None)
        self.changed()

    def clear(self) -> None:
        """Nobody waits."""
        self._flights.clear()
        self.changed()

    def edges(self) -> dict[int, list[int]]:
        """The processes that wait, each with those it waits for."""
        if self._edges is None:
            pids = [flight.pid for flight in self._flights.values() if not flight.over]
            found = self._stock.ask(GRAPH, [pids]) if pids else []
            self._edges = dict(found)
        return self._edges

    def in_a_cycle(self, pid: int) -> bool:
        """Whether a process waits, in the end, for itself."""
        return in_a_cycle(pid, self.edges())

    def blockers(self, actor: str) -> list[str]:
        """Whom an actor waits for; nobody if it has been granted what it waited for."""
        owners = {connection.pid: connection.owner for connection in self._sessions}
        pids = self.edges().get(self._flights[actor].pid, ())
        return sorted({owners.get(pid, f"process {pid}") for pid in pids})

    def movers(self, actors: Sequence[Actor]) -> list[str]:
        """Those who stand at a crossing and wait for nobody, or are a deadlock's next victim.

        If there are none, somebody has left without ending a transaction: the code is at fault.
        """
        standing = [actor for actor in actors if actor.stop is not None]
        found = [actor.actor for actor in standing if self._may_move(actor.actor)]
        if standing and not found:
            first = standing[0]
            names = " and ".join(self.blockers(first.actor))
            first.crash = LeftOpen(f"{first.actor} waits for {names}, whose code has ended")
        return found

    def _may_move(self, actor: str) -> bool:
        flight = self._flights.get(actor)
        if flight is None or flight.over:
            return True
        return not self.edges().get(flight.pid) or self.in_a_cycle(flight.pid)

    def state(self) -> list[tuple[str, str, str, str]]:
        """Who waits, how they are to go on, for whom they wait, and what has come of it."""
        found = []
        for actor, flight in self._flights.items():
            answer = _answer(flight) if flight.over else ""
            names = [] if flight.over else self.blockers(actor)
            found.append((actor, self._promised[actor], " ".join(names), answer))
        return found


def _answer(flight: Flight) -> str:
    """What a statement was answered before its actor heard of it."""
    if flight.error is not None:
        return repr(flight.error)
    result = flight.result
    cells = [
        result.get_value(row, column)
        for row in range(result.ntuples)
        for column in range(result.nfields)
    ]
    return repr((result.command_tuples, cells))
