"""A claim about the order of calls is judged in every order, and proved by nothing less."""

from dataclasses import replace
from typing import Any

import pytest

from model.exploring.small_world import SmallWorld
from properties import judge
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Search
from properties.exploration.finding import Judged, judge_history
from properties.exploration.precedence import precedence
from properties.invariants import linearizable
from properties.verdicts import Invariant, Status, inconclusive

NAME = "linearizable"
BY_ORDER_ALONE = SmallWorld(strategy="redis-hold", visits=("pay>again", "leave"), capacity=2)
"""Here one final state holds or is violated, whatever the order of the calls that led to it was."""

WORLDS = [
    SmallWorld(strategy="db-cart", visits=("leave", "leave")),
    SmallWorld(strategy="db-cart-naive", visits=("leave", "leave")),
    SmallWorld(strategy="redis-hold-racy", visits=("leave", "leave")),
    SmallWorld(strategy="redis-counter", visits=("release", "leave")),
    SmallWorld(strategy="seat-setnx", visits=("pay", "leave")),
    SmallWorld(strategy="seat-setnx", visits=("release>again", "leave")),
    SmallWorld(strategy="redis-counter", visits=("release>again", "leave")),
    BY_ORDER_ALONE,
    SmallWorld(
        strategy="seat-setnx",
        visits=("release",),
        options={"recognise_own": False},
        happenings={"lost-reply": 1},
    ),
    SmallWorld(strategy="redis-hold", visits=("leave", "leave"), happenings={"redis-kill": 1}),
]


def verdict(judged: Judged) -> Status:
    """What one history says to the order of its calls."""
    return judged.verdicts[NAME].status


def every_schedule(small: SmallWorld) -> set[tuple[bytes, Status]]:
    """Execute and judge every schedule there is: the final state, and what its order says."""
    executions = Executions(small, reduce=False)
    found: set[tuple[bytes, Status]] = set()
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        schedule = waiting.pop()
        world = executions.fresh()
        for choice in schedule:
            world.take(choice)
        while not world.over:
            made = tuple(turn.choice for turn in world.turns)
            choices = world.choices()
            waiting += [(*made, other) for other in choices[1:]]
            world.take(choices[0])
        made = tuple(turn.choice for turn in world.turns)
        waiting += [(*made, other) for other in world.choices()]  # what strikes afterwards
        state = world.state()
        found.add((state, verdict(judge_history(world.settle()))))
        world.close()
    executions.close()
    return found


def judged_by(search: Search, monkeypatch: pytest.MonkeyPatch) -> set[tuple[bytes, Status]]:
    """What a search judges: each final state, and what the order of its calls says."""
    told: set[tuple[bytes, Status]] = set()
    here: Any = search._here
    judged = here.judged

    def noted(path: Any) -> Judged:
        state = here._at(path).state()
        answer: Judged = judged(path)
        told.add((state, verdict(answer)))
        return answer

    monkeypatch.setattr(here, "judged", noted)
    assert search.run().complete
    return told


@pytest.mark.parametrize("small", WORLDS, ids=lambda small: f"{small.strategy}-{small.visits[0]}")
def test_every_order_of_the_calls_is_judged(
    small: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reduced, matched, and told apart by order: the same verdicts as of every single schedule."""
    search = Search(small, histories=True)
    every = every_schedule(small)
    assert judged_by(search, monkeypatch) == every
    violated = any(status is Status.VIOLATED for _, status in every)
    assert (search.found.statuses()[NAME] is Status.VIOLATED) == violated


Order = tuple[bytes, frozenset[tuple[Any, Any]], tuple[Any, ...]]


def orders(search: Search, monkeypatch: pytest.MonkeyPatch) -> set[Order]:
    """Each final state with which call ended before which began, and when faults struck."""
    found: set[Order] = set()
    here: Any = search._here
    judged = here.judged

    def noted(path: Any) -> Judged:
        world = here._at(path)
        calls = precedence(world.history, here.executions._callers)
        before = frozenset((other, call) for call, ended, _, _ in calls for other in ended)
        faults = tuple((call, begin, end) for call, _, begin, end in calls)
        found.add((world.state(), before, faults))
        answer: Judged = judged(path)
        return answer

    monkeypatch.setattr(here, "judged", noted)
    assert search.run().complete
    return found


@pytest.mark.parametrize(
    "small",
    [*WORLDS, SmallWorld(strategy="db-cart", visits=("leave",) * 2, happenings={"lost-reply": 1})],
    ids=lambda small: f"{small.strategy}-{small.visits[0]}",
)
def test_reduction_loses_no_order(small: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves that commute for the stores but not for the order of calls are tried both ways.

    What may be left out is a history whose calls overlap more than those of one that is there: it
    asks for less.
    """
    reduced = orders(Search(small, histories=True), monkeypatch)
    whole = orders(Search(small, histories=True, reduce=False), monkeypatch)
    assert reduced <= whole
    for state, before, faults in whole:
        assert any(
            (other, others) == (state, faults) and before <= more for other, more, others in reduced
        )


@pytest.mark.parametrize("strategy", ["redis-hold-recheck", "redis-counter", "seat-setnx"])
def test_a_released_hold_may_be_held_again(strategy: str) -> None:
    """Who gives a hold back and gets it again has it: others are refused, in every order."""
    found = Search(
        SmallWorld(strategy=strategy, visits=("release>again", "leave")), histories=True
    ).run()
    assert found.statuses()[NAME] is Status.HOLDS
    assert found.seen["refused-sold-out"]


def test_a_hold_taken_again_counts() -> None:
    """Its neighbour: after such a repeat, a shop that counts no holds gives two the last ticket."""
    small = SmallWorld(strategy="redis-hold-blind", visits=("release>again", "leave"))
    found = Search(small, histories=True).run()
    assert found.claims[NAME].violated == len(found.finals)


def test_one_history_of_each_state_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a search that does not tell orders apart misses verdicts."""
    assert judged_by(Search(BY_ORDER_ALONE), monkeypatch) < every_schedule(BY_ORDER_ALONE)


def test_a_complete_search_of_every_order_holds() -> None:
    """HOLDS if every order of the calls was judged; open, with the repair, if one of each was."""
    small = SmallWorld(strategy="db-cart")
    every = Search(small, histories=True).run()
    one = Search(small).run()
    assert every.statuses()[NAME] is Status.HOLDS
    assert one.statuses()[NAME] is Status.INCONCLUSIVE
    assert len(every.finals) > len(one.finals)


@pytest.mark.parametrize("breaks_down", [False, True])
def test_a_checker_that_cannot_decide_leaves_it_open(
    monkeypatch: pytest.MonkeyPatch, *, breaks_down: bool
) -> None:
    """One history whose check was cut, or crashed, is enough: the search does not hold."""
    asked: list[object] = []

    def examine(evidence: object) -> object:
        asked.append(evidence)
        if len(asked) > 1:
            return linearizable.examine(evidence)  # type: ignore[arg-type]
        assert not breaks_down
        return inconclusive(NAME, "was cut", examined=1, undecided=True)

    changed: Invariant = replace(linearizable.INVARIANT, examine=examine)  # type: ignore[arg-type]
    monkeypatch.setitem(judge.INVARIANTS, NAME, changed)
    found = Search(SmallWorld(strategy="db-cart"), histories=True).run()
    assert len(asked) > 1
    assert found.complete
    assert found.claims[NAME].held
    assert found.statuses()[NAME] is Status.INCONCLUSIVE
    assert ("crashed" if breaks_down else "was cut") in found.claims[NAME].undecided
