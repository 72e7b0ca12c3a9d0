"""Generated worlds and schedules break what is bad, in the smallest way, and nothing good."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from chaos.persistence import Persistence
from model.exploring.small_world import EVENTS, SmallWorld
from properties.exploration.execution import Executions
from properties.exploration.generation import Schedule, Switch, happenings, play, schedules, worlds
from properties.exploration.shrinking import repaired, switches
from reservation.catalogue import STRATEGIES

NONE = Persistence.NONE
BOUNDED = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
GOOD = ("db-cart", "db-cart-row-lock", "db-derived", "redis-hold-recheck", "redis-counter")
DATABASE = ("db-cart", "db-cart-row-lock", "db-derived")
KEEPS = ("no-overbooking", "seat-sold-once", "charged-once", "orders-durable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """What breaks, and what its smallest world and schedule come down to."""

    strategy: str
    invariant: str
    happens: dict[str, int] = field(default_factory=dict)
    changes: int = 2  # of who moves: to the other one, and back

    @property
    def events(self) -> Sequence[str]:
        """What may strike while it is looked for: also what is not needed."""
        return (*self.happens, "lost-reply")


SMALLEST = [
    Smallest(strategy="db-cart-naive", invariant="no-overbooking"),
    Smallest(strategy="redis-hold-blind", invariant="no-overbooking"),
    Smallest(strategy="redis-hold-racy", invariant="no-overhold"),
    Smallest(
        strategy="redis-hold", invariant="no-overbooking", happens={"redis-kill": 1}, changes=3
    ),
]


@pytest.mark.parametrize("known", SMALLEST, ids=lambda known: known.strategy)
def test_a_defect_comes_down_to_two_buyers_and_one_switch(known: Smallest) -> None:
    """Two buyers, one ticket, nothing that strikes in vain, and they change places once."""
    drawn = worlds([known.strategy], calls=("pay",), events=known.events, persistences=(NONE,))

    def broken(example: tuple[SmallWorld, Schedule]) -> bool:
        return bool(play(*example).violations(known.invariant))

    world, schedule = find(st.tuples(drawn, schedules()), broken, settings=BOUNDED)
    assert world.visits == ("pay", "pay")
    assert world.capacity == 1
    assert dict(world.happenings) == known.happens
    (switch,) = schedule.switches
    assert switch.to == 0
    assert switches(play(world, schedule).choices) == known.changes


@pytest.mark.parametrize("strategy", [*GOOD, "seat-setnx"])
def test_good_strategies_keep_everything(strategy: str) -> None:
    """No generated schedule overbooks, sells a seat twice, charges twice or loses an order."""

    @settings(BOUNDED, max_examples=60)
    @given(worlds([strategy], persistences=(Persistence.AOF_ALWAYS, NONE)), schedules())
    def check(world: SmallWorld, schedule: Schedule) -> None:
        played = play(world, schedule)
        assert not [name for name in KEEPS if played.violations(name)]
        if strategy in DATABASE:
            assert not played.violations("expiry-honoured")

    check()


def test_what_is_drawn_covers_what_there_is() -> None:
    """Two buyers, every event, both persistences, switches and strikes: each is drawn sometimes."""
    drawn = st.tuples(worlds(["redis-hold"]), schedules())
    wanted = [lambda world, _schedule, event=event: event in world.happenings for event in EVENTS]
    wanted += [
        lambda world, _: world.persistence is NONE,
        lambda world, _: world.capacity == 2 and len(world.visits) == 3,
        lambda world, schedule: any(each.strike is not None for each in schedule.switches),
    ]
    for want in wanted:
        assert find(drawn, lambda example, want=want: want(*example), settings=BOUNDED)
    assert find(happenings(("expire",), most=2), lambda found: found.get("expire") == 2)


def test_the_simplest_is_one_buyer_and_nothing_else() -> None:
    """What everything shrinks towards."""
    world, schedule = find(
        st.tuples(worlds(list(STRATEGIES)), schedules()), lambda _: True, settings=BOUNDED
    )
    assert world == SmallWorld(strategy=next(iter(STRATEGIES)), visits=("pay",))
    assert schedule == Schedule()


def test_a_schedule_goes_the_same_way_in_the_explorers_own_tools() -> None:
    """A drawn counterexample is one that can be shrunk, stored and replayed."""
    world = SmallWorld(strategy="db-cart-naive")
    played = play(world, Schedule((Switch(1),)))
    found = played.counterexample("no-overbooking")
    assert found is not None
    executions = Executions(world, reduce=False)
    again = repaired(executions, found.schedule)
    assert [turn.line for turn in again.turns] == [turn.line for turn in found.turns]
    again.close()
    executions.close()
    assert play(world, Schedule()).counterexample("no-overbooking") is None
