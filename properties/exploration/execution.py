"""One execution after the other of the same small world, and the fence around non-determinism."""

from collections.abc import Sequence
from typing import Protocol

from model.exploring.digest import digest
from model.exploring.prepared import prepared_ground
from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from model.exploring.world import World
from properties.exploration.precedence import ENDED, ENDINGS, precedence

_INTERRUPTING = ("lost-reply", "app-kill", "db-restart", "expire")


class Made(Protocol):
    """As much of a turn as it takes to make it again: its choice, and how it went."""

    @property
    def choice(self) -> str:
        """What was chosen."""

    @property
    def line(self) -> str:
        """What it touched, and what came of it."""


class NotDeterministic(Exception):
    """The same choices led elsewhere: the code under test looks at something not under control."""

    def __init__(self, number: int, first: str, second: str) -> None:
        self.number, self.first, self.second = number, first, second
        super().__init__(
            f"the same schedule went two ways, first at turn {number}:\n  once:  {first}\n"
            f"  again: {second}\nThe code under test reads something that is not in its Stores: the"
            " wall clock, a random number or uuid, the order of a set, another thread. Give it"
            " through Stores, or sort"
        )

    def __reduce__(self) -> tuple[type["NotDeterministic"], tuple[int, str, str]]:
        """As it crosses from a worker process to its parent."""
        return NotDeterministic, (self.number, self.first, self.second)


def _tasks(world: World) -> int:
    return sum(actor.kind == "task" for actor in world.actors)


def first_divergence(once: Sequence[str], again: Sequence[str]) -> NotDeterministic | None:
    """Compare two executions, turn by turn; returns the first difference."""
    for number, (one, other) in enumerate(zip(once, again, strict=False), start=1):
        if one != other:
            return NotDeterministic(number, one, other)
    if len(once) != len(again):
        number = min(len(once), len(again))
        longer = once if len(once) > number else again
        words = (longer[number], "(ended)")
        first, second = words if longer is once else (words[1], words[0])
        return NotDeterministic(number + 1, first, second)
    return None


class Executions:
    """Makes worlds, brings them to where a schedule leads, and checks that it leads there again.

    With `histories` two worlds are in one state only if their calls came and went in one order too.
    """

    def __init__(self, small: SmallWorld, *, reduce: bool = True, histories: bool = False) -> None:
        self.small = small
        self.reduce = reduce
        self.histories = histories
        self.ground = prepared_ground(small)
        self.replayed = 0
        self._latest: World | None = None
        self._callers: list[str] = []  # of its calls

    def close(self) -> None:
        """Close the database."""
        self._latest = None
        self.ground.close()

    def whole(self, world: World) -> bool:
        """Whether a write transaction may count as one move here.

        It may when nothing can strike inside it: nobody else can see or change anything between
        its first write, which takes the only lock, and its commit.
        """
        return self.reduce and not any(world.left.get(name) for name in _INTERRUPTING)

    def meaning(self, world: World) -> tuple[bool, bool]:
        """What a move stands for here: how much of an actor's code it carries out."""
        return self.whole(world), world.begins_alone()

    def take(self, world: World, choice: str) -> Turn:
        """Carry out one choice."""
        if not self.histories:
            return world.take(choice, whole=self.whole(world))
        struck = len(world.history.faults)
        turn = world.take(choice, whole=self.whole(world))
        if len(world.history.operations) > len(self._callers):
            self._callers.append(turn.actor)
            turn.reads |= {ENDINGS}
        if len(world.history.faults) > struck:
            turn.writes |= {ENDINGS}
        elif turn.told:
            turn.writes |= {f"{ENDED}{turn.actor}"}
        return turn

    def state(self, world: World) -> bytes:
        """What tells this world from others."""
        state = world.state()
        return digest(state, precedence(world.history, self._callers)) if self.histories else state

    def fresh(self) -> World:
        """A world at its beginning."""
        self._callers = []
        self._latest = None  # whatever is left of it ends before the next one begins
        world = self._latest = World(self.ground)
        return world

    def put_away(self) -> None:
        """Close the latest world, closed or not."""
        if self._latest is not None:
            self._latest.close()

    def again(self, turns: Sequence[Made]) -> World:
        """A world after these turns.

        Raises:
            NotDeterministic: the choices led elsewhere this time.
        """
        world = self.fresh()
        for number, turn in enumerate(turns, start=1):
            self.check_possible(world, number, turn)
            now = self.take(world, turn.choice)
            if now.line != turn.line:
                raise NotDeterministic(number, turn.line, now.line)
        self.replayed += len(turns)
        return world

    @staticmethod
    def check_possible(world: World, number: int, turn: Made) -> None:
        """Make sure that a choice exists.

        Raises:
            NotDeterministic: it did when it was made.
        """
        possible = world.choices()
        if turn.choice not in possible:
            raise NotDeterministic(number, turn.line, f"(possible: {', '.join(possible)})")

    def expand(self, schedule: Sequence[str]) -> tuple[str, ...]:
        """Spell out moves that were whole transactions, crossing by crossing."""
        world = self.fresh()
        spelled = []
        for choice in schedule:
            whole = self.whole(world) and choice not in self.small.happenings
            tasks = _tasks(world)
            spelled.append(choice)
            world.take(choice)
            while whole and world.inside(world.actor(choice)) and _tasks(world) == tasks:
                spelled.append(choice)
                world.take(choice)
        world.close()
        return tuple(spelled)
