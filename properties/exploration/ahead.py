"""Executing ahead of a search, on other processes, without changing what it finds.

The search itself stays in one process and goes its one way: depth first, with its visited states
and sleep sets. What it needs to know of a choice (what it touches, the node it leads to) is the
same whoever executes it. So others execute the choices that still wait at the search's open nodes,
those it will come to first, and go on from there as it would until they meet a node somebody has
been at; when the search arrives, the answers lie ready. Nothing depends on their number or on time.
"""

from collections import deque
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Protocol

from model.database import patiently
from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from properties.exploration.branching import Branching, Sleep, still_asleep
from properties.exploration.execution import Executions, NotDeterministic
from properties.exploration.finding import Judged, judge_history
from properties.exploration.node import Node, read_node

STATE_BYTES = 16
AT_HAND = 2  # errands a worker has, so that it need not wait for the next one
MOST_AHEAD = 20_000  # choices made ahead of the search: they are kept in memory
Edge = tuple[bytes, str]  # a state and a choice made there


@dataclass(frozen=True, slots=True)
class Step:
    """A turn to be made again: its choice, and how it went."""

    choice: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Go along a path, make a choice (none: judge its history), and go on to where others were.

    `met` are states, joined, that have been met since this worker's last errand.
    """

    path: tuple[Step, ...]
    choice: str | None
    sleep: Sleep
    met: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an errand found: the turns beyond its path, each with the node it led to."""

    turns: tuple[tuple[Turn, Node], ...]
    judged: Judged | None
    replayed: int
    differs: tuple[int, str, str] | None = None


class Crew(Protocol):
    """Workers, each of which runs its errands one after the other, with a `Walker` of its own."""

    size: int

    def ready(self) -> bool:
        """Whether somebody can be sent."""

    def send(self, worker: int, errand: Errand) -> None:
        """Give a worker another errand."""

    def receive(self, *, wait: bool) -> list[tuple[int, Report]]:
        """Reports that have come; with `wait` at least one."""

    def close(self) -> None:
        """Send everybody home."""


class Walker:
    """Runs errands; lives in a worker's process."""

    def __init__(self, small: SmallWorld, *, reduce: bool, histories: bool) -> None:
        self._reduce = reduce
        self._executions = Executions(small, reduce=reduce, histories=histories)
        self._met: set[bytes] = set()

    def __call__(self, errand: Errand) -> Report:
        """Run one errand."""
        met = errand.met
        self._met.update(met[at : at + STATE_BYTES] for at in range(0, len(met), STATE_BYTES))
        before = self._executions.replayed
        try:
            walked = patiently(lambda: self._walk(errand), self._executions.put_away)
        except NotDeterministic as error:
            differs = (error.number, error.first, error.second)
            return Report(turns=(), judged=None, replayed=0, differs=differs)
        turns, judged = walked
        self._met.update(node.state for _, node in turns)
        replayed = self._executions.replayed - before
        return Report(turns=tuple(turns), judged=judged, replayed=replayed)

    def _walk(self, errand: Errand) -> tuple[list[tuple[Turn, Node]], Judged | None]:
        executions = self._executions
        world = executions.again(errand.path)
        meaning, choice, sleep = executions.meaning(world), errand.choice, errand.sleep
        turns: list[tuple[Turn, Node]] = []
        met: set[bytes] = set()
        try:
            while choice is not None:
                turn = executions.take(world, choice)
                node = read_node(executions, world)
                turns.append((turn, node))
                if node.state in self._met or node.state in met:
                    return turns, None
                met.add(node.state)
                sleep = still_asleep(sleep, turn) if node.meaning == meaning else {}
                meaning = node.meaning
                choice = branch(node, sleep, reduce=self._reduce).next()
            judged = judge_history(world.settle()) if world.over and not world.crashed else None
        finally:
            world.close()
        return turns, judged


@dataclass(slots=True, kw_only=True)
class _Place:
    """A node to branch at, and the way there."""

    path: tuple[Step, ...]
    branching: Branching


class Ahead:
    """Steps of a search whose executions a crew makes, as far as it can before they are needed."""

    def __init__(
        self, crew: Crew, open_nodes: Sequence[Branching], visited: AbstractSet[bytes]
    ) -> None:
        """Take over a search's own stack and its visited states, as they are at any time.

        The open nodes are those along the search's path, the deepest last.
        """
        self._replayed = 0
        self._crew = crew
        self._open = open_nodes
        self._visited = visited
        # by depth: the open node, and how far one gets there with the edges that are known
        self._beyond: dict[int, tuple[Branching, Branching]] = {}
        self._likely: dict[bytes, _Place] = {}  # nodes that wait to be visited, the latest last
        self._edges: dict[Edge, tuple[Turn, Node]] = {}
        self._taken: set[Edge] = set()
        self._judged: dict[tuple[str, ...], Judged] = {}
        self._running: list[deque[tuple[Node | None, Errand]]] = [deque() for _ in range(crew.size)]
        self._in_flight: set[Edge] = set()
        self._met = sorted(visited)
        self._told = [0] * crew.size
        self._wanted: deque[tuple[Node | None, Errand]] = deque()

    @property
    def replayed(self) -> int:
        """See `Steps`."""
        return self._replayed

    def take(self, path: Sequence[Turn], node: Node, choice: str) -> tuple[Turn, Node]:
        """See `Steps`.

        Raises:
            NotDeterministic: executing the same choices again led elsewhere.
        """
        edge = (node.state, choice)
        if edge not in self._edges and edge not in self._in_flight:
            self._taken.discard(edge)
            errand = Errand(path=_steps(path), choice=choice, sleep=dict(self._open[-1].sleep))
            self._wanted.append((node, errand))
        while edge not in self._edges:
            self._turn_over(path, wait=True)
        self._turn_over(path, wait=False)
        beyond = self._beyond_of(len(self._open) - 1)
        if beyond.next() == choice:
            beyond.took(*self._edges[edge])
        self._taken.add(edge)
        return self._edges.pop(edge)

    def judged(self, path: Sequence[Turn]) -> Judged:
        """See `Steps`."""
        schedule = tuple(turn.choice for turn in path)
        if schedule not in self._judged:
            self._wanted.append((None, Errand(path=_steps(path), choice=None, sleep={})))
        while schedule not in self._judged:
            self._turn_over(path, wait=True)
        return self._judged.pop(schedule)

    def _turn_over(self, path: Sequence[Turn], *, wait: bool) -> None:
        """Send whoever is idle, and take in what has come."""
        for at_hand in range(AT_HAND):
            for worker, running in enumerate(self._running):
                if len(running) > at_hand:
                    continue
                found = self._wanted.popleft() if self._wanted else self._next_errand(path)
                if found is None:
                    break
                self._send(worker, *found)
        for worker, report in self._crew.receive(wait=wait and any(self._running)):
            self._take_in(worker, report)

    def _send(self, worker: int, node: Node | None, errand: Errand) -> None:
        if node is not None and errand.choice is not None:
            self._in_flight.add((node.state, errand.choice))
        news = b"".join(self._met[self._told[worker] :])
        self._told[worker] = len(self._met)
        self._running[worker].append((node, errand))
        self._crew.send(worker, replace(errand, met=news))

    def _take_in(self, worker: int, report: Report) -> None:
        if report.differs is not None:
            raise NotDeterministic(*report.differs)
        node, errand = self._running[worker].popleft()
        self._replayed += report.replayed
        steps, sleep = list(errand.path), errand.sleep
        if node is not None and errand.choice is not None:
            self._in_flight.discard((node.state, errand.choice))
            for turn, child in report.turns:
                if (node.state, turn.choice) not in self._taken:
                    self._edges.setdefault((node.state, turn.choice), (turn, child))
                sleep = still_asleep(sleep, turn) if child.meaning == node.meaning else {}
                steps.append(Step(turn.choice, turn.line))
                self._expect(child, tuple(steps), sleep)
                node = child
        if report.judged is not None:
            self._judged[tuple(step.choice for step in steps)] = report.judged

    def _expect(self, node: Node, path: tuple[Step, ...], sleep: Sleep) -> None:
        """Note a node that the search will most likely visit."""
        self._met.append(node.state)
        if node.state not in self._visited and node.state not in self._likely:
            branching = branch(node, sleep, reduce=self._reduces)
            self._likely[node.state] = _Place(path=path, branching=branching)

    @property
    def _reduces(self) -> bool:
        return self._open[0].reduce

    def _next_errand(self, path: Sequence[Turn]) -> tuple[Node, Errand] | None:
        """The choice the search will come to first among those nobody has made or is making."""
        for depth in range(len(self._open) - 1, -1, -1):
            branching = self._beyond_of(depth)
            choice = self._unmade(branching)
            if choice is not None:
                return _errand(_steps(path[:depth]), branching, choice)
        return self._likely_errand() if len(self._edges) < MOST_AHEAD else None

    def _likely_errand(self) -> tuple[Node, Errand] | None:
        """A choice at a node that was met on the way, and that the search has yet to visit."""
        for state in list(reversed(self._likely)):
            place = self._likely[state]
            choice = None if state in self._visited else self._unmade(place.branching)
            if choice is not None:
                return _errand(place.path, place.branching, choice)
            if state in self._visited or place.branching.next() is None:
                del self._likely[state]
        return None

    def _unmade(self, branching: Branching) -> str | None:
        """The next choice here that nobody has made; None too while somebody makes it."""
        while (choice := branching.next()) is not None:
            edge = (branching.node.state, choice)
            if edge in self._in_flight:
                return None
            known = self._edges.get(edge)
            if known is None:
                return choice
            branching.took(*known)
        return None

    def _beyond_of(self, depth: int) -> Branching:
        here = self._open[depth]
        of, beyond = self._beyond.get(depth, (None, here))
        if of is not here:
            beyond = here.copy()
            self._beyond[depth] = (here, beyond)
        return beyond


def branch(node: Node, sleep: Sleep, *, reduce: bool) -> Branching:
    """What is to be tried at a node that is visited for the first time."""
    awake = [choice for choice in node.choices if choice not in sleep]
    return Branching(node, awake, sleep, reduce=reduce)


def _steps(path: Sequence[Turn]) -> tuple[Step, ...]:
    return tuple(Step(turn.choice, turn.line) for turn in path)


def _errand(path: tuple[Step, ...], branching: Branching, choice: str) -> tuple[Node, Errand]:
    return branching.node, Errand(path=path, choice=choice, sleep=dict(branching.sleep))
