"""The reduced search finds exactly what the unreduced one finds: final states and violations."""

import pytest

from model.exploring.small_world import SmallWorld
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.finding import Exploration
from reservation.catalogue import STRATEGIES

WITH_FAULTS = [
    ("db-cart", ("pay", "leave"), {"lost-reply": 1}),
    ("db-cart", ("pay", "pay"), {"expire": 1}),
    ("db-cart", ("leave",), {"sweep": 1, "expire": 1}),
    ("db-cart-row-lock", ("pay", "leave"), {"app-kill": 1}),
    ("db-derived", ("leave", "leave"), {"db-restart": 1}),
    ("redis-hold", ("pay", "leave"), {"expire": 1}),
    ("redis-hold-recheck", ("pay", "leave"), {"redis-kill": 1}),
    ("redis-hold-recheck", ("leave", "release"), {"lost-reply": 1}),
    ("redis-counter", ("leave", "leave"), {"redis-kill": 1}),
    ("redis-counter", ("pay", "leave"), {"sweep": 1}),
    ("seat-setnx", ("leave", "leave"), {"redis-kill": 1}),
    ("seat-setnx", ("release", "leave"), {"app-kill": 1}),
]


def found_out(found: Exploration) -> tuple[frozenset[bytes], list[str], list[str], list[str]]:
    """What a search must agree on: final states, what is violated, what held, what was seen."""
    assert found.complete, found.cut
    assert not found.crash, found.crash
    held = [name for name, claim in found.claims.items() if claim.held]
    return frozenset(found.finals), sorted(found.breaches), held, sorted(found.seen)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_reduction_loses_nothing_without_faults(strategy: str) -> None:
    """Two buyers for one ticket: same final states and violations, in fewer moves."""
    small = SmallWorld(strategy=strategy)
    reduced, whole = Search(small).run(), Search(small, reduce=False).run()
    assert found_out(reduced) == found_out(whole)
    assert 2 * reduced.turns < whole.turns


@pytest.mark.parametrize(("strategy", "visits", "happenings"), WITH_FAULTS)
def test_reduction_loses_nothing_under_faults(
    strategy: str, visits: tuple[str, ...], happenings: dict[str, int]
) -> None:
    """The same with one of everything that may strike."""
    small = SmallWorld(strategy=strategy, visits=visits, happenings=happenings)
    reduced, whole = Search(small).run(), Search(small, reduce=False).run()
    assert found_out(reduced) == found_out(whole)
    assert reduced.turns < whole.turns


@pytest.mark.parametrize("strategy", ["db-cart-naive", "redis-hold", "seat-setnx", "redis-counter"])
def test_state_matching_loses_nothing(strategy: str) -> None:
    """Against plain enumeration of every schedule, where that is possible at all."""
    small = SmallWorld(strategy=strategy, visits=("leave", "leave"))
    matched = Search(small).run()
    enumerated = Search(small, reduce=False, match=False).run()
    assert found_out(matched) == found_out(enumerated)
    assert enumerated.turns >= matched.turns


def test_a_cut_search_says_nothing() -> None:
    """Depth, preemptions, states and seconds cut a search, and a cut one holds nothing."""
    small = SmallWorld(strategy="db-cart")
    for bounds in (
        Bounds(depth=3),
        Bounds(preemptions=0),
        Bounds(states=5),
        Bounds(seconds=1e-6),
    ):
        found = Search(small, bounds).run()
        assert not found.complete
        assert found.status == "inconclusive"
        assert "holds" not in {status.value for status in found.statuses().values()}


def test_few_preemptions_suffice_for_a_lost_update() -> None:
    """The naive cart breaks with one preemption, and never without."""
    small = SmallWorld(strategy="db-cart-naive")
    assert not Search(small, Bounds(preemptions=0)).run().breaches
    assert "no-overbooking" in Search(small, Bounds(preemptions=1)).run().breaches
