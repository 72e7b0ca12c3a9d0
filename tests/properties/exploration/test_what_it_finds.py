"""What exploration must show: counterexamples for the known bad, complete searches of the good."""

import pytest

from chaos.persistence import Persistence
from model.exploring.small_world import SmallWorld
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.sampling import Sampling
from properties.exploration.shrinking import Counterexample, Shrinker, switches
from properties.verdicts import Status

KILL = {"redis-kill": 1}
BAD = [
    ("db-cart-naive", {}, 2),
    ("redis-hold-blind", {}, 2),
    ("redis-hold-racy", {}, 2),
    ("redis-hold-read-check", KILL, 3),
    ("redis-hold", KILL, 3),
]
GOOD = [
    ("db-cart", None),
    ("redis-hold-recheck", Persistence.AOF_ALWAYS),
    ("redis-counter", Persistence.NONE),
    ("seat-setnx", Persistence.NONE),
]


def smallest(small: SmallWorld, invariant: str) -> Counterexample:
    """Search until the invariant breaks, and shrink what broke it."""
    found = Search(small, until=lambda found: invariant in found.breaches).run()
    executions = Executions(small)
    schedule = executions.expand(found.breaches[invariant].schedule)
    executions.close()
    return Shrinker(invariant).shrink(small, schedule)


@pytest.mark.parametrize(("strategy", "happenings", "changes"), BAD)
def test_the_known_bad_are_caught(strategy: str, happenings: dict[str, int], changes: int) -> None:
    """Three buyers shrink to two, one strike at most, and two or three changes of who moves."""
    small = SmallWorld(strategy=strategy, visits=("pay",) * 3, happenings=happenings)
    found = smallest(small, "no-overbooking")
    assert found.violation.invariant == "no-overbooking"
    assert found.world.visits == ("pay", "pay")
    assert dict(found.world.happenings) == happenings
    assert switches(found.schedule) == changes


@pytest.mark.parametrize(("strategy", "persistence"), GOOD)
def test_the_good_survive_every_schedule_of_a_kill(
    strategy: str, persistence: Persistence | None
) -> None:
    """Complete at two buyers and one kill of Redis: nothing is overbooked."""
    small = SmallWorld(
        strategy=strategy, happenings=KILL if persistence else {}, persistence=persistence
    )
    found = Search(small).run()
    assert found.complete
    assert found.statuses()["no-overbooking"] is Status.HOLDS


@pytest.mark.parametrize(("strategy", "persistence"), GOOD)
def test_the_good_survive_every_schedule_of_three(
    strategy: str, persistence: Persistence | None
) -> None:
    """Complete at three buyers without faults: nothing is overbooked."""
    found = Search(
        SmallWorld(strategy=strategy, visits=("pay",) * 3, persistence=persistence)
    ).run()
    assert found.complete
    assert found.statuses()["no-overbooking"] is Status.HOLDS
    assert {"sold-out", "refused-sold-out"} <= set(found.seen)


@pytest.mark.parametrize("how", ["random", "pct"])
def test_sampling_finds_a_race_and_proves_nothing(how: str) -> None:
    """Drawn schedules are the same every time, find the race, and never hold."""
    small = SmallWorld(strategy="redis-hold-racy")
    first = Sampling(small, Bounds(), how=how, schedules=40, twice=True)
    second = Sampling(small, Bounds(), how=how, schedules=40)
    one, other = first.run(), second.run()
    assert first.failed == second.failed
    assert one.finals == other.finals
    assert "no-overbooking" in one.breaches
    assert not one.complete


def test_drawn_schedules_do_not_depend_on_their_chunks() -> None:
    """PCT takes its estimate of the steps from undisturbed runs: schedule 20 is the same alone."""
    small = SmallWorld(strategy="redis-hold-racy")
    whole = Sampling(small, Bounds(), how="pct", schedules=40)
    second = Sampling(small, Bounds(), how="pct", schedules=20, first=20)
    found, part = whole.run(), second.run()
    assert second.failed == whole.failed[20:]
    assert whole._steps == second._steps > 20
    found.add(part)
    assert found.claims["no-overbooking"].broken
    for claim in found.claims.values():
        assert claim.broken <= found.finals


def test_sampling_a_good_strategy_is_inconclusive() -> None:
    """No violation in a sample is no proof."""
    found = Sampling(SmallWorld(strategy="db-cart"), Bounds(), how="random", schedules=5).run()
    assert found.status is Status.INCONCLUSIVE
    assert found.statuses()["no-overbooking"] is Status.INCONCLUSIVE
