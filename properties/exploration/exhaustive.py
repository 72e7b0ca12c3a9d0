"""Exhaustive search: every schedule of a small world, without walking twice through one state.

Depth first, by executing again up to a state whenever another choice is to be tried there. Three
reductions, each of which keeps every final state and every violation:

- *state matching*: a state whose choices were all searched is not searched again (Holzmann);
- *sleep sets* (Godefroid): of two moves that commute only one order is tried. With state matching,
  a state that is met again with fewer sleeping moves is searched for the difference;
- *sole movers*: an actor inside its write transaction, or at a crossing only it can ever see, moves
  alone: everybody else's moves commute with it, whenever they come (a persistent set of one).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model.exploring.kernel import BEGIN, Actor
from model.exploring.small_world import ON_REDIS, SmallWorld
from model.exploring.touching import PAY, Touched, conflict
from model.exploring.turn import GROUP, Turn
from model.exploring.world import World
from properties.exploration.execution import Executions
from properties.exploration.finding import COMPLETE, Exploration

Sleep = dict[str, Touched]
_OWNED = tuple(
    f"{each}:{PAY}" for each in ("payment", "db:payments", "db:orders", "db:(rows)payments")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a search stops: depth in turns, preemptions in a schedule, states, seconds."""

    depth: int | None = None
    preemptions: int | None = None
    states: int | None = None
    seconds: float | None = None


def _idle(world: World, touched: str) -> bool:
    """Whether nothing that is left to happen could break this session."""
    if touched == "db:(session)":
        return not world.left.get("db-restart")
    return touched == "redis:(session)" and not any(world.left.get(name) for name in ON_REDIS)


class Cut(Exception):
    """The search ends here; the message says what ended it."""


class Search:
    """One exhaustive search; `run` it once."""

    def __init__(
        self,
        small: SmallWorld,
        bounds: Bounds = Bounds(),
        *,
        reduce: bool = True,
        match: bool = True,
        twice: bool = False,
        until: Callable[[Exploration], bool] = lambda _found: False,
    ) -> None:
        """`reduce` and `match` can be switched off to see what they save; `until` ends it early.

        With `twice` every path is executed again when it comes to its end, and must go the same
        way. (A path is also checked, up to where another choice is tried, whenever it is taken
        again.)
        """
        self.small = small
        self.bounds = bounds
        self.reduce = reduce and bounds.preemptions is None
        self.match = match
        self.twice = twice
        self.until = until
        self.found = Exploration(world=small, search="exhaustive")
        self._executions = Executions(small, reduce=self.reduce)
        self._sleeping: dict[object, frozenset[str]] = {}
        self._sole: dict[object, str] = {}
        self._turns: list[Turn] = []
        self._world: World | None = None
        self._bounded = ""

    def run(self) -> Exploration:
        """Search.

        Raises:
            NotDeterministic: executing the same choices again led elsewhere.
        """
        found, began = self.found, time.perf_counter()
        self._began = began
        try:
            self._world = self._executions.fresh()
            self._visit({}, 0)
            found.cut = self._bounded or COMPLETE
        except Cut as cut:
            found.cut = str(cut)
        except KeyboardInterrupt:
            found.cut = "interrupted"
        finally:
            self._leave()
            found.replayed = self._executions.replayed
            found.seconds = time.perf_counter() - began
            self._executions.close()
        return found

    def _leave(self) -> None:
        if self._world is not None:
            self._world.close()
            self._world = None

    def _come_back(self) -> World:
        """The world at the end of the current path."""
        if self._world is None or len(self._world.turns) != len(self._turns):
            self._leave()
            self._world = self._executions.again(self._turns)
        return self._world

    def _visit(self, sleep: Sleep, preempted: int) -> None:
        world = self._come_back()
        found = self.found
        state = world.state()
        new = state not in found.visited
        found.visited.add(state)
        found.depth = max(found.depth, len(self._turns))
        key: object = state
        if self.bounds.preemptions is not None:
            last = self._turns[-1].actor if self._turns else ""
            key = (state, last, preempted)
        choices = world.choices()
        if world.crashed:
            self._crash(world)
        if world.over:
            self._end(world, state, new=new)
        self._check()
        todo = self._todo(key, choices, sleep)
        if not todo:
            found.schedules += 1
            if self.twice:
                self._leave()
                self._come_back()
            return
        if self.bounds.depth is not None and len(self._turns) >= self.bounds.depth:
            self._bounded = f"the depth bound of {self.bounds.depth} turns"
            return
        self._search(key, todo, dict(sleep), preempted)

    def _todo(self, key: object, choices: list[str], sleep: Sleep) -> list[str]:
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
            and (sole is None or choice.partition(GROUP)[0] == sole)
        ]

    def _search(self, key: object, todo: list[str], sleep: Sleep, preempted: int) -> None:
        world = self._come_back()
        mover = self._candidate(world) if self.reduce else None
        alone = mover is not None
        if mover is not None:
            todo.sort(key=lambda choice: choice.partition(GROUP)[0] != mover)
            alone = self._sleeps_alone(world, mover, sleep)
        for choice in todo:
            mine = choice.partition(GROUP)[0] == mover
            if alone and not mine:
                break
            again = preempted + self._preempts(choice)
            if self.bounds.preemptions is not None and again > self.bounds.preemptions:
                self._bounded = f"the bound of {self.bounds.preemptions} preemptions"
                continue
            world = self._come_back()
            was_inside = mine and world.inside(world.actor(choice))
            meaning = self._executions.meaning(world)
            turn = self._executions.take(world, choice)
            self.found.turns += 1
            touched = (turn.reads, turn.writes)
            if mine and not self._only_mine(world, choice, touched, inside=was_inside):
                alone = False
            depth = len(self._turns)
            self._turns.append(turn)
            same = self._executions.meaning(world) == meaning
            below = self._still_asleep(sleep, choice, touched) if same else {}
            self._visit(below, again)
            del self._turns[depth:]
            if self.reduce:
                sleep[choice] = touched
        if alone and mover is not None:
            self._sole[key] = mover

    def _sleeps_alone(self, world: World, mover: str, sleep: Sleep) -> bool:
        """Whether what sleeps of the mover's choices would have been nobody else's business."""
        inside = world.inside(world.actor(mover))
        return all(
            self._only_mine(world, choice, touched, inside=inside)
            for choice, touched in sleep.items()
            if choice.partition(GROUP)[0] == mover
        )

    @staticmethod
    def _still_asleep(sleep: Sleep, choice: str, touched: Touched) -> Sleep:
        name = choice.partition(GROUP)[0]
        return {
            other: theirs
            for other, theirs in sleep.items()
            if other.partition(GROUP)[0] != name and not conflict(*touched, theirs)
        }

    def _candidate(self, world: World) -> str | None:
        """Somebody who may turn out to be a sole mover: look at what stands before them."""
        if world.left.get("db-restart"):
            return None
        for actor in world.actors:
            if world.inside(actor):  # what it writes is seen by nobody, up to its commit
                publishes = actor.stop is not None and actor.stop.label == "COMMIT"
                return None if publishes else actor.actor
        for actor in world.actors:
            stop = actor.stop
            if stop is None or stop.store == BEGIN or actor.kind != "buyer":
                continue
            reads, writes = stop.touched
            breaks_off = stop.locks and not self._executions.whole(world)
            if not breaks_off and self._owned(world, actor, reads | writes):
                return actor.actor
        return None

    def _only_mine(self, world: World, choice: str, touched: Touched, *, inside: bool) -> bool:
        """Whether nobody else's move could ever fail to commute with this one."""
        both = touched[0] | touched[1]
        if world.left.get("expire") and "clock" in both:
            return False
        if inside:
            return True
        return "acks" not in both and self._owned(world, world.actor(choice), both)

    @staticmethod
    def _owned(world: World, actor: Actor, touched: frozenset[str]) -> bool:
        """Whether all of this is about the actor's own payment, and nobody else's business."""
        name = actor.actor
        if any(
            other is not actor
            and not other.ended
            and (
                other.kind != "buyer"
                or other.actor.startswith(name)
                or name.startswith(other.actor)
            )
            for other in world.actors
        ):
            return False
        mine = tuple(f"{owned}{name}" for owned in _OWNED)
        rest = {
            each for each in touched if each not in {"clock", "db:lock"} and not _idle(world, each)
        }
        return bool(rest) and all(each in mine or each.startswith("left:") for each in rest)

    def _preempts(self, choice: str) -> int:
        """One if this takes the turn from somebody who could have gone on."""
        if not self._turns or self.bounds.preemptions is None:
            return 0
        world = self._come_back()
        last = self._turns[-1].actor
        if not last or choice in self.small.happenings or choice.partition(GROUP)[0] == last:
            return 0
        return int(last in world.moves())

    def _end(self, world: World, state: bytes, *, new: bool) -> None:
        """Everybody has ended: settle, audit and judge, once for each such state."""
        if not new or state in self.found.finals:
            return
        self.found.finals.add(state)
        self.found.judge(world.settle(), tuple(turn.choice for turn in self._turns))
        self._leave()
        if self.until(self.found):
            raise Cut("what was looked for was found")

    def _crash(self, world: World) -> None:
        if not self.found.crash:
            error = next(actor.crash for actor in world.actors if actor.crash is not None)
            self.found.crash = f"{type(error).__name__}: {error}"
            self.found.crash_schedule = tuple(turn.choice for turn in self._turns)

    def _check(self) -> None:
        bounds = self.bounds
        if bounds.states is not None and self.found.states >= bounds.states:
            raise Cut(f"the bound of {bounds.states} states")
        if bounds.seconds is not None and time.perf_counter() - self._began > bounds.seconds:
            raise Cut(f"the budget of {bounds.seconds:g} s")
