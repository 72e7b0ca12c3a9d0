"""Hypothesis strategies for the explorer: small worlds, what may go wrong in them, and schedules.

For property tests over code of your own, where a search of everything would take too long. What is
drawn shrinks towards few buyers, nothing that strikes and few changes of who moves:

    @given(worlds(["my-strategy"]), schedules())
    def test_nothing_is_sold_twice(world: SmallWorld, schedule: Schedule) -> None:
        assert not play(world, schedule).violations("no-overbooking")

Needs the extra `hypothesis`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from chaos.persistence import Persistence
from model.exploring.kernel import BEGIN
from model.exploring.small_world import EVENTS, MOST_BUYERS, ON_REDIS, SmallWorld
from model.exploring.turn import Turn
from model.exploring.world import World
from model.history import History
from properties.exploration.execution import Executions
from properties.exploration.shrinking import Counterexample
from properties.judge import INVARIANTS
from properties.verdicts import Violation
from reservation.catalogue import find

_grounds: dict[str, Executions] = {}
MOST_GROUNDS = 32
CALLS = ("pay", "leave", "release")
KEEPS_ALL_FIRST = (Persistence.AOF_ALWAYS, Persistence.NONE)
MISSING = st.sampled_from((1, 0, 2))  # tickets; it stays the same while buyers are left out
MOST_SWITCHES = 8
LONGEST_STAY = 24  # crossings between two switches: more than most actors have


@dataclass(frozen=True, slots=True)
class Switch:
    """After `after` crossings of one actor, perhaps something strikes, and another one goes on.

    `strike` numbers what may strike there (None: nothing does), `to` the others who can move.
    """

    after: int
    strike: int | None = None
    to: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everybody goes on to their end, one after the other, but for these switches.

    It fits any world: a switch to what is not possible there takes what is.
    """

    switches: tuple[Switch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A schedule carried out, and the history it made; `crash` is an error nobody caught."""

    world: SmallWorld
    turns: tuple[Turn, ...]
    history: History | None
    crash: BaseException | None

    @property
    def choices(self) -> tuple[str, ...]:
        """The schedule as the explorer's own tools take it."""
        return tuple(turn.choice for turn in self.turns)

    def violations(self, invariant: str) -> tuple[Violation, ...]:
        """What breaks an invariant; nothing if it holds, or had nothing to judge.

        Raises:
            KeyError: there is no invariant of this name.
            BaseException: the crash, if the code under test crashed.
        """
        if self.crash is not None:
            raise self.crash
        assert self.history is not None
        return INVARIANTS[invariant].check(self.history).violations

    def counterexample(self, invariant: str) -> Counterexample | None:
        """As `properties.exploration.trace.trace_text` stores it, to be replayed; None if none."""
        found = self.violations(invariant)
        if not found:
            return None
        assert self.history is not None
        return Counterexample(
            world=self.world,
            invariant=invariant,
            schedule=self.choices,
            turns=self.turns,
            history=self.history,
            violation=found[0],
        )


def schedules(most_switches: int = MOST_SWITCHES) -> st.SearchStrategy[Schedule]:
    """Draw a schedule; the one without switches is simplest, and an early switch simpler."""
    strike = st.none() | st.integers(0, len(EVENTS))
    switch = st.builds(Switch, st.integers(0, LONGEST_STAY), strike, st.integers(0, MOST_BUYERS))
    return st.lists(switch, max_size=most_switches).map(lambda drawn: Schedule(tuple(drawn)))


def happenings(names: Sequence[str], most: int = 1) -> st.SearchStrategy[dict[str, int]]:
    """Draw what may happen how often, at most `most` in all; nothing is simplest.

    `names` are of `model.exploring.small_world.EVENTS`; earlier ones are simpler.
    """
    if not names:
        return st.just({})
    drawn = st.lists(st.sampled_from(tuple(names)), max_size=most)
    return drawn.map(lambda found: dict(sorted(Counter(found).items())))


@st.composite
def worlds(
    draw: st.DrawFn,
    strategies: Sequence[str],
    *,
    options: Mapping[str, Any] | None = None,
    most_buyers: int = 3,
    calls: Sequence[str] = CALLS,
    events: Sequence[str] | None = None,
    most_events: int = 1,
    persistences: Sequence[Persistence] = KEEPS_ALL_FIRST,
) -> SmallWorld:
    """Draw a small world of one of `strategies`; in every sequence, earlier is simpler.

    `events` are what may strike; by default, all that can strike this strategy.

    Raises:
        UnknownStrategy, BadOption, WorldError: no such world can be.
    """
    strategy = draw(st.sampled_from(tuple(strategies)))
    uses_redis = find(strategy).uses_redis
    possible = [name for name in events or EVENTS if uses_redis or name not in ON_REDIS]
    visits = draw(st.lists(st.sampled_from(tuple(calls)), min_size=1, max_size=most_buyers))
    return SmallWorld(
        strategy=strategy,
        options=dict(options or {}),
        visits=tuple(visits),
        capacity=max(1, len(visits) - draw(MISSING)),
        happenings=draw(happenings(possible, most_events)),
        persistence=draw(st.sampled_from(tuple(persistences))) if uses_redis else None,
    )


def play(small: SmallWorld, schedule: Schedule) -> Played:
    """Carry a schedule out; it goes the same way every time."""
    world = _executions(small).fresh()
    _walk(world, schedule)
    turns = tuple(world.turns)
    crash = next((actor.crash for actor in world.actors if actor.crash is not None), None)
    history = None if crash is not None else world.settle()
    world.close()
    return Played(world=small, turns=turns, history=history, crash=crash)


def _executions(small: SmallWorld) -> Executions:
    """The ground of a world, kept for the next schedule on it: shrinking tries many."""
    key = repr(small)
    known = _grounds.pop(key, None)
    _grounds[key] = found = Executions(small, reduce=False) if known is None else known
    if len(_grounds) > MOST_GROUNDS:
        _grounds.pop(next(iter(_grounds))).close()
    return found


def _walk(world: World, schedule: Schedule) -> None:
    switches, stayed, mover = list(schedule.switches), 0, ""
    while not world.over and not world.crashed:
        moves = world.moves()
        if mover not in moves:
            mover, stayed = moves[0], 0
        if switches and stayed >= switches[0].after:
            mover = _switch(world, mover, switches.pop(0))
            stayed = 0
            continue
        began = world.take(mover).crossing.startswith(f"{BEGIN} ")
        stayed += not began  # that a call begins is a move only where something may strike


def _switch(world: World, mover: str, switch: Switch) -> str:
    """Let something strike, if the switch says so and it can; returns who goes on."""
    moves = world.moves()
    strikes = [choice for choice in world.choices() if choice not in moves]
    if switch.strike is not None and strikes:
        world.take(strikes[switch.strike % len(strikes)])
        moves = world.moves()
    others = [*(move for move in moves if move != mover), mover]
    return others[switch.to % len(others)]
