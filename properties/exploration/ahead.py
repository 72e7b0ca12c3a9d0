"""Executing ahead of a search, on other processes, without changing what it finds.

The search itself stays in one process and goes its one way: depth first, with its visited states
and sleep sets. What it needs to know of a choice (what it touches, the node it leads to) is the
same whoever executes it. So others execute the choices that still wait at the search's open nodes,
those it will come to first, and go on from there as it would until they meet a node somebody has
been at; when the search arrives, the answers lie ready. Nothing depends on their number or on time.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from properties.exploration.branching import Branching, Sleep
from properties.exploration.execution import Executions, NotDeterministic
from properties.exploration.finding import Judged, judge_history
from properties.exploration.node import Node, read_node

STATE_BYTES = 16
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
    met: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an errand found: the turns beyond its path, each with the node it led to."""

    turns: tuple[tuple[Turn, Node], ...]
    judged: Judged | None
    replayed: int
    differs: tuple[int, str, str] | None = None


class Crew(Protocol):
    """Workers, each of which runs one errand at a time with a `Walker` of its own."""

    size: int

    def ready(self) -> bool:
        """Whether somebody can be sent."""

    def send(self, worker: int, errand: Errand) -> None:
        """Send a worker who is idle."""

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
            turns, judged = self._walk(errand)
        except NotDeterministic as error:
            differs = (error.number, error.first, error.second)
            return Report(turns=(), judged=None, replayed=0, differs=differs)
        replayed = self._executions.replayed - before
        return Report(turns=tuple(turns), judged=judged, replayed=replayed)

    def _walk(self, errand: Errand) -> tuple[list[tuple[Turn, Node]], Judged | None]:
        executions = self._executions
        world = executions.again(errand.path)
        node, choice, sleep = read_node(executions, world), errand.choice, errand.sleep
        turns: list[tuple[Turn, Node]] = []
        try:
            while choice is not None:
                branching = Branching(node, [choice], sleep, reduce=self._reduce)
                turn = executions.take(world, choice)
                node = read_node(executions, world)
                turns.append((turn, node))
                if node.state in self._met:
                    return turns, None
                self._met.add(node.state)
                sleep = branching.took(turn, node)
                awake = [each for each in node.choices if each not in sleep]
                choice = Branching(node, awake, sleep, reduce=self._reduce).next()
            judged = judge_history(world.settle()) if node.over else None
        finally:
            world.close()
        return turns, judged


class Ahead:
    """Steps of a search whose executions a crew makes, as far as it can before they are needed."""

    def __init__(self, crew: Crew, open_nodes: Sequence[Branching], met: Sequence[bytes]) -> None:
        """`open_nodes` is the search's own stack, as it is at any time, the deepest last.

        Its length is that of the search's path, but for a node the search has not branched at yet.
        """
        self.replayed = 0
        self._crew = crew
        self._open = open_nodes
        # by depth: the open node, and how far one gets there with the edges that are known
        self._beyond: dict[int, tuple[Branching, Branching]] = {}
        self._edges: dict[Edge, tuple[Turn, Node]] = {}
        self._taken: set[Edge] = set()
        self._judged: dict[tuple[str, ...], Judged] = {}
        self._running: dict[int, tuple[bytes, Errand]] = {}
        self._in_flight: set[Edge] = set()
        self._met = list(met)
        self._told = [0] * crew.size
        self._wanted: deque[tuple[bytes, Errand]] = deque()

    def take(self, path: Sequence[Turn], node: Node, choice: str) -> tuple[Turn, Node]:
        """See `Steps`.

        Raises:
            NotDeterministic: executing the same choices again led elsewhere.
        """
        edge = (node.state, choice)
        asked = False
        while edge not in self._edges:
            if not asked and edge not in self._in_flight:
                sleep = self._open[-1].sleep
                self._taken.discard(edge)
                self._wanted.append((node.state, _errand(path, choice, sleep)))
                asked = True
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
            self._wanted.append((b"", _errand(path, None, {})))
        while schedule not in self._judged:
            self._turn_over(path, wait=True)
        return self._judged.pop(schedule)

    def close(self) -> None:
        """See `Steps`."""
        self._crew.close()

    def _turn_over(self, path: Sequence[Turn], *, wait: bool) -> None:
        """Send whoever is idle, and take in what has come."""
        idle = [worker for worker in range(self._crew.size) if worker not in self._running]
        for worker in idle:
            found = self._wanted.popleft() if self._wanted else self._next_errand(path)
            if found is None:
                break
            self._send(worker, *found)
        for worker, report in self._crew.receive(wait=wait and bool(self._running)):
            self._take_in(worker, report)

    def _send(self, worker: int, state: bytes, errand: Errand) -> None:
        if errand.choice is not None:
            self._in_flight.add((state, errand.choice))
        news = b"".join(self._met[self._told[worker] :])
        self._told[worker] = len(self._met)
        self._running[worker] = (state, errand)
        self._crew.send(
            worker,
            Errand(path=errand.path, choice=errand.choice, sleep=errand.sleep, met=news),
        )

    def _take_in(self, worker: int, report: Report) -> None:
        if report.differs is not None:
            raise NotDeterministic(*report.differs)
        state, errand = self._running.pop(worker)
        if errand.choice is not None:
            self._in_flight.discard((state, errand.choice))
        self.replayed += report.replayed
        schedule = [step.choice for step in errand.path]
        for turn, node in report.turns:
            edge = (state, turn.choice)
            if edge not in self._taken:
                self._edges.setdefault(edge, (turn, node))
            schedule.append(turn.choice)
            state = node.state
            self._met.append(state)
        if report.judged is not None:
            self._judged[tuple(schedule)] = report.judged

    def _next_errand(self, path: Sequence[Turn]) -> tuple[bytes, Errand] | None:
        """The choice the search will come to first among those nobody has made or is making."""
        for depth in range(len(self._open) - 1, -1, -1):
            beyond = self._beyond_of(depth)
            while (choice := beyond.next()) is not None:
                edge = (beyond.node.state, choice)
                if edge in self._in_flight:
                    break
                known = self._edges.get(edge)
                if known is None:
                    return edge[0], _errand(path[:depth], choice, beyond.sleep)
                beyond.took(*known)
        return None

    def _beyond_of(self, depth: int) -> Branching:
        here = self._open[depth]
        of, beyond = self._beyond.get(depth, (None, here))
        if of is not here:
            beyond = here.copy()
            self._beyond[depth] = (here, beyond)
        return beyond


def _errand(path: Sequence[Turn], choice: str | None, sleep: Sleep) -> Errand:
    steps = tuple(Step(turn.choice, turn.line) for turn in path)
    return Errand(path=steps, choice=choice, sleep=dict(sleep), met=b"")
