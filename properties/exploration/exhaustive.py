"""Exhaustive search: every schedule of a small world, without walking twice through one state.

Depth first, by executing again up to a state whenever another choice is to be tried there. A state
whose choices were all searched is not searched again (state matching; Holzmann); with sleep sets, a
state that is met again with fewer sleeping moves is searched for the difference. What is left out
at a node is decided in `properties.exploration.branching`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from properties.exploration.ahead import Ahead, Crew
from properties.exploration.branching import Branching, Sleep, mover_of
from properties.exploration.finding import COMPLETE, INTERRUPTED, SWEPT_ALONG, Exploration
from properties.exploration.node import Node
from properties.exploration.privacy import Privacy, Shared
from properties.exploration.steps import Here, Steps

ALONE_S = 2.0
"""A search that ends sooner needs no crew: starting one takes about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a search stops: depth in turns, preemptions in a schedule, states, seconds.

    `share` says whose seconds they are, if they are a part of what the user asked for.
    """

    depth: int | None = None
    preemptions: int | None = None
    states: int | None = None
    seconds: float | None = None
    share: str = ""


class Cut(Exception):
    """The search ends here; the message says what ended it."""


class Search:
    """One exhaustive search; `run` it once."""

    def __init__(  # noqa: PLR0913 - each is a switch of its own
        self,
        small: SmallWorld,
        bounds: Bounds = Bounds(),
        *,
        reduce: bool = True,
        match: bool = True,
        twice: bool = False,
        histories: bool = False,
        until: Callable[[Exploration], bool] = lambda _found: False,
        crew: Callable[[], Crew] | None = None,
        alone_s: float = ALONE_S,
    ) -> None:
        """`reduce` and `match` can be switched off to see what they save; `until` ends it early.

        With `twice` every path is executed again when it comes to its end, and must go the same
        way. (A path is also checked, up to where another choice is tried, whenever it is taken
        again.) With `histories` every order of the calls is a state of its own. A search that has
        taken `alone_s` lets a `crew` execute ahead of it, except with `twice`, without `match`, and
        with a bound on preemptions.
        """
        self.small = small
        self.bounds = bounds
        self.reduce = reduce and bounds.preemptions is None
        self.match = match
        self.twice = twice
        self.until = until
        self.found = Exploration(
            world=small, search="exhaustive", histories=histories, reduced=self.reduce
        )
        self._here = Here(small, reduce=self.reduce, histories=histories)
        self._steps: Steps
        alone = twice or not match or bounds.preemptions is not None
        self._new_crew = self._make_crew = None if alone else crew
        self._crew: Crew | None = None
        self._alone_s = alone_s
        self._owning = True
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet."""
        self._steps = self._here
        self._sleeping: dict[object, frozenset[str]] = {}
        self._sole: dict[object, str] = {}
        self._turns: list[Turn] = []
        self._open: list[Branching] = []
        self._bounded = ""
        self._privacy = Privacy()

    def run(self) -> Exploration:
        """Search.

        Raises:
            NotDeterministic: executing the same choices again led elsewhere.
        """
        self._began = time.perf_counter()
        try:
            try:
                self._visit(self._here.root(), {}, 0)
            except Shared:
                self._start_over()
                self._visit(self._here.root(), {}, 0)
            self.found.cut = self._bounded or COMPLETE
        except Cut as cut:
            self.found.cut = str(cut)
        except KeyboardInterrupt:
            self.found.cut = INTERRUPTED
        finally:
            self._close()
            self.found.seconds = time.perf_counter() - self._began
        return self.found

    def _start_over(self) -> None:
        """Some lone move was not its actor's own business: search all again without such moves."""
        if self._crew is not None:
            self._crew.close()
            self._crew, self._new_crew = None, self._make_crew
        self._here.leave()
        self.found = Exploration(
            world=self.small,
            search=self.found.search,
            histories=self.found.histories,
            reduced=self.reduce,
        )
        self._owning = False
        self._begin()

    def _close(self) -> None:
        self.found.replayed = self._here.replayed
        if self._steps is not self._here:
            self.found.replayed += self._steps.replayed
        if self._crew is not None:
            self._crew.close()
        self._here.close()

    def _visit(self, node: Node, sleep: Sleep, preempted: int) -> None:
        found, state = self.found, node.state
        new = state not in found.visited
        found.visited.add(state)
        found.depth = max(found.depth, len(self._turns))
        key: object = state
        if self.bounds.preemptions is not None:
            last = self._turns[-1].actor if self._turns else ""
            key = (state, last, preempted)
        if self.bounds.depth is not None:  # what was cut here may go on from fewer turns
            key = (key, len(self._turns))
        if node.crash:
            self._crash(node)
        elif node.over:
            self._end(state, new=new)
        self._check()
        new_here = not self.match or key not in self._sleeping
        todo = self._todo(key, node.choices, sleep)
        if not todo:
            found.schedules += 1
            if self.twice:
                self._here.check(self._turns)
            return
        if self.bounds.depth is not None and len(self._turns) >= self.bounds.depth:
            self._bounded = f"the depth bound of {self.bounds.depth} turns"
            return
        lone = new_here or key in self._sole  # else nobody was: what is awake is everybody's
        branching = Branching(node, todo, sleep, reduce=self.reduce, lone=lone, owning=self._owning)
        self._search(key, branching, preempted)

    def _todo(self, key: object, choices: tuple[str, ...], sleep: Sleep) -> list[str]:
        """What is to be tried here: all that does not sleep, or on a revisit what it adds."""
        asleep = frozenset(sleep)
        known = self._sleeping.get(key) if self.match else None
        if known is None:
            self._sleeping[key] = asleep
            return [choice for choice in choices if choice not in asleep]
        self._sleeping[key] = known & asleep
        sole = self._sole.get(key)
        return [
            choice
            for choice in choices
            if choice in known
            and choice not in asleep
            and (sole is None or mover_of(choice) == sole)
        ]

    def _search(self, key: object, branching: Branching, preempted: int) -> None:
        depth = len(self._turns)
        self._open.append(branching)
        while (choice := branching.next()) is not None:
            again = preempted + self._preempts(branching.node, choice)
            if self.bounds.preemptions is not None and again > self.bounds.preemptions:
                self._bounded = f"the bound of {self.bounds.preemptions} preemptions"
                branching.skip()
                continue
            turn, child = self._steps.take(self._turns, branching.node, choice)
            self.found.turns += 1
            self._turns.append(turn)
            if turn.swept_along:
                self._bounded = SWEPT_ALONG
            below = branching.took(turn, child)
            if self._owning and self.reduce and turn.actor:
                touched = (turn.reads, turn.writes)
                lone = branching.alone and branching.mover is not None
                self._privacy.note(branching.node, turn.actor, touched, alone=lone)
            self._visit(child, below, again)
            del self._turns[depth:]
        self._open.pop()
        if branching.alone and branching.mover is not None:
            self._sole[key] = branching.mover

    def _preempts(self, node: Node, choice: str) -> int:
        """One if this takes the turn from somebody who could have gone on."""
        if not self._turns or self.bounds.preemptions is None:
            return 0
        last = self._turns[-1].actor
        if not last or choice in self.small.happenings or mover_of(choice) == last:
            return 0
        return int(last in node.moves)

    def _end(self, state: bytes, *, new: bool) -> None:
        """Everybody has ended: settle, audit and judge, once for each such state."""
        if not new or state in self.found.finals:
            return
        self.found.finals.add(state)
        self.found.judge(self._steps.judged(self._turns), state, self._schedule())

    def _crash(self, node: Node) -> None:
        if not self.found.crash:
            self.found.crash = node.crash
            self.found.crash_schedule = self._schedule()

    def _schedule(self) -> tuple[str, ...]:
        return tuple(turn.choice for turn in self._turns)

    def _check(self) -> None:
        bounds, took_s = self.bounds, time.perf_counter() - self._began
        if self.until(self.found):
            raise Cut("what was looked for was found")
        if bounds.states is not None and self.found.states >= bounds.states:
            raise Cut(f"the bound of {bounds.states} states")
        if bounds.seconds is not None and took_s > bounds.seconds:
            raise Cut(bounds.share or f"the budget of {bounds.seconds:g} s")
        if self._new_crew is not None and took_s > self._alone_s:
            self._crew, self._new_crew = self._new_crew(), None
        if self._crew is not None and self._steps is self._here and self._crew.ready():
            self._here.leave()
            self._steps = Ahead(self._crew, self._open, self.found.visited)
