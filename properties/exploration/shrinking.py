"""Make a counterexample small: fewer buyers, fewer strikes, fewer changes of who moves.

A schedule is repaired as it is executed: choices that have become impossible are skipped, and what
is missing at the end is filled in, each actor going on to its own end. So anything may be cut out
of a schedule, and what is left is still one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from model.database import patiently
from model.exploring.small_world import SmallWorld
from model.exploring.turn import GROUP, Turn
from model.exploring.world import World
from model.history import History
from properties.exploration.execution import Executions
from properties.judge import INVARIANTS
from properties.verdicts import Violation

MOST_TRIALS = 1500
TO_THE_END = 60  # moves, more than any actor has


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """A schedule that violates an invariant, crossing by crossing."""

    world: SmallWorld
    invariant: str
    schedule: tuple[str, ...]
    turns: tuple[Turn, ...]
    history: History
    violation: Violation

    @property
    def weight(self) -> tuple[int, int, int, int]:
        """What is small: buyers, strikes, changes of who moves, turns."""
        strikes = sum(_strikes(choice) for choice in self.schedule)
        return (len(self.world.visits), strikes, switches(self.schedule), len(self.schedule))


def switches(schedule: Sequence[str]) -> int:
    """How often somebody else moves than before."""
    movers = [choice.partition(GROUP)[0] for choice in schedule]
    return sum(one != other for one, other in pairwise(movers))


def _strikes(choice: str) -> bool:
    return GROUP in choice or "-" in choice or choice == "expire"


class Shrinker:
    """Shrinks one counterexample; executes at most `MOST_TRIALS` schedules for it.

    `pulse` is called before each of them, and may raise to end it.
    """

    def __init__(self, invariant: str, pulse: Callable[[], None] = lambda: None) -> None:
        self.invariant = invariant
        self.pulse = pulse
        self.trials = 0
        self._executions: Executions | None = None
        self._tried: set[tuple[str, ...]] = set()

    def shrink(self, world: SmallWorld, schedule: Sequence[str]) -> Counterexample:
        """Return the smallest one found from here.

        Raises:
            ValueError: the schedule does not violate the invariant to begin with.
        """
        best = self._fails(world, schedule)
        if best is None:
            self._put(None)
            raise ValueError(f"the schedule does not violate {self.invariant}")
        best = self._fewer_buyers(best)
        best = self._fewer_happenings(best)
        improved = True
        while improved and self.trials < MOST_TRIALS:
            improved = False
            for candidate in _smaller(best.schedule):
                found = self._fails(best.world, candidate)
                if found is not None and found.weight < best.weight:
                    best, improved = found, True
                    break
                if self.trials >= MOST_TRIALS:
                    break
        best = self._fewer_happenings(best)  # a strike that was shrunk away need not be allowed
        self._put(None)
        return best

    def _put(self, executions: Executions | None) -> None:
        if self._executions is not None:
            self._executions.close()
        self._executions = executions
        self._tried = set()

    def _fails(self, small: SmallWorld, schedule: Sequence[str]) -> Counterexample | None:
        if self._executions is None or self._executions.small != small:
            self._put(Executions(small, reduce=False))
        assert self._executions is not None
        key = tuple(schedule)
        if key in self._tried:
            return None
        self._tried.add(key)
        self.pulse()
        self.trials += 1
        made = self._executions
        executed = patiently(lambda: _executed(made, schedule), made.put_away)
        if executed is None:
            return None
        turns, history = executed
        violations = INVARIANTS[self.invariant].check(history).violations
        if not violations:
            return None
        return Counterexample(
            world=small,
            invariant=self.invariant,
            schedule=tuple(turn.choice for turn in turns),
            turns=turns,
            history=history,
            violation=violations[0],
        )

    def _fewer_buyers(self, best: Counterexample) -> Counterexample:
        """Leave the last buyers out, one by one; names go by order, so others keep theirs."""
        while len(best.world.visits) > 1:
            smaller = replace(best.world, visits=best.world.visits[:-1])
            found = self._any(smaller, _renamed(best))
            if found is None:
                return best
            best = found
        return best

    def _any(
        self, small: SmallWorld, schedules: Iterator[tuple[str, ...]]
    ) -> Counterexample | None:
        for schedule in schedules:
            found = self._fails(small, schedule)
            if found is not None:
                return found
        return None

    def _fewer_happenings(self, best: Counterexample) -> Counterexample:
        """Allow only what does happen, and then less."""
        used = dict(best.world.happenings)
        for name, most in best.world.happenings.items():
            for count in range(most):
                smaller = replace(best.world, happenings={**used, name: count})
                found = self._fails(smaller, best.schedule)
                if found is not None:
                    used, best = {**used, name: count}, found
                    break
        kept = {name: count for name, count in used.items() if count}
        found = self._fails(replace(best.world, happenings=kept), best.schedule)
        return best if found is None else found


def _renamed(best: Counterexample) -> Iterator[tuple[str, ...]]:
    """The schedule without one buyer's moves, the last buyer taking the missing one's name."""
    names = [chr(ord("A") + index) for index in range(len(best.world.visits))]
    for gone in reversed(names):
        mapping = dict(zip([n for n in names if n != gone], names[:-1], strict=True))

        def rename(choice: str, mapping: dict[str, str] = mapping) -> str:
            head = choice[0]
            is_buyer = head in mapping and (len(choice) == 1 or not choice[1].isalpha())
            return mapping[head] + choice[1:] if is_buyer else choice

        yield tuple(
            rename(choice)
            for choice in best.schedule
            if not (choice[0] == gone and (len(choice) == 1 or choice[1] in f"{GROUP}23"))
        )


def _smaller(schedule: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Schedules that may be smaller: without a strike, with blocks merged, moved or cut."""
    for index, choice in enumerate(schedule):
        if _strikes(choice):
            plain = choice.partition(GROUP)[0]
            rest = (plain,) if GROUP in choice else ()
            yield schedule[:index] + rest + schedule[index + 1 :]
    blocks = _blocks(schedule)
    for index in range(1, len(blocks)):
        yield _joined(blocks[:index])  # let everybody end after it
    for index, block in enumerate(blocks):
        name = block[0].partition(GROUP)[0]
        if not _strikes(block[0]):  # what becomes impossible is skipped: they go on to their end
            yield _joined([*blocks[:index], block + (name,) * TO_THE_END, *blocks[index + 1 :]])
        for other in range(index + 2, len(blocks)):
            if blocks[other][0].partition(GROUP)[0] == name:
                yield _joined(
                    [
                        *blocks[: index + 1],
                        blocks[other],
                        *blocks[index + 1 : other],
                        *blocks[other + 1 :],
                    ]
                )
                yield _joined([*blocks[:index], *blocks[index + 1 : other], block, *blocks[other:]])
                break
    for index in range(len(blocks) - 1):
        swapped = [*blocks]
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
        yield _joined(swapped)
    for index in range(len(blocks)):
        yield _joined([*blocks[:index], *blocks[index + 1 :]])


def _blocks(schedule: tuple[str, ...]) -> list[tuple[str, ...]]:
    blocks: list[list[str]] = []
    for choice in schedule:
        if blocks and blocks[-1][0].partition(GROUP)[0] == choice.partition(GROUP)[0]:
            blocks[-1].append(choice)
        else:
            blocks.append([choice])
    return [tuple(block) for block in blocks]


def _joined(blocks: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(choice for block in blocks for choice in block)


def _executed(
    executions: Executions, schedule: Sequence[str]
) -> tuple[tuple[Turn, ...], History] | None:
    """Execute a repaired schedule to its end; None if code under test crashed."""
    world = repaired(executions, schedule)
    turns = tuple(world.turns)
    history = None if world.crashed else world.settle()
    world.close()
    return None if history is None else (turns, history)


def repaired(executions: Executions, schedule: Sequence[str]) -> World:
    """Execute what is possible of a schedule, then let everybody go on to their end."""
    world = executions.fresh()
    for choice in schedule:
        if choice in world.choices():
            world.take(choice)
    while not world.over and (moves := world.moves()):
        world.take(moves[0])
    return world
