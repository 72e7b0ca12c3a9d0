"""A story is small, still breaks the same invariant, and is told in the order of time."""

from pathlib import Path

import pytest

from chaos.persistence import Persistence
from holdfast.cells import CellResult
from holdfast.shrink import BUYER, buyers_of, fails, shrink, small_world
from holdfast.stories import Story, StoryTask, choose, find_story, tell_lines
from model.history import FaultSpan, Operation, Outcome
from model.scenario_file import load_scenario
from model.spec import RunSpec
from tests.holdfast.made_up import MakeResults, MakeRun


@pytest.fixture
def losing() -> RunSpec:
    """A run whose holds are lost: Redis without a disk is killed."""
    return RunSpec(
        scenario=load_scenario("on-sale"),
        strategy="redis-hold",
        seed=1_000_003,
        fault="redis-kill",
        persistence=Persistence.NONE,
    )


def test_an_overbooking_needs_two_buyers(losing: RunSpec) -> None:
    """B08 shrinks to two buyers who hold the same tickets; neither can be left out."""
    failure = shrink(losing, "no-overbooking")
    assert failure is not None
    assert failure.spec.only_buyers is not None
    assert len(failure.spec.only_buyers) == 2
    assert failure.violation.invariant == "no-overbooking"
    assert {op.actor for op in failure.history.operations if op.actor.startswith(BUYER)} == {
        f"{BUYER}{number}" for number in failure.spec.only_buyers
    }


def test_shrinking_is_repeatable(losing: RunSpec) -> None:
    """The same comparison tells the same story: the bounds are runs, not seconds."""
    first, second = (shrink(losing, "hold-honoured") for _ in range(2))
    assert first == second


def test_what_never_fails_is_given_up(losing: RunSpec) -> None:
    """A strategy that does not break the invariant gives no story, after a bounded search."""
    sound = RunSpec(scenario=losing.scenario, strategy="db-cart", seed=1, fault="none")
    assert shrink(sound, "no-overbooking") is None


def test_a_small_world_changes_nothing_else(losing: RunSpec) -> None:
    """Only the number of buyers and of tickets differ from the scenario."""
    whole = losing.scenario
    small = small_world(whole, 3)
    assert (buyers_of(small), small.sale.capacity) == (3, max(whole.buyers.party_sizes))
    assert small.model_copy(update={"sale": whole.sale, "arrivals": whole.arrivals}) == whole


def test_the_shrunk_run_is_stored_and_fails_again(losing: RunSpec, tmp_path: Path) -> None:
    """The story's own history is written, and what it describes breaks the invariant."""
    story = find_story(
        StoryTask(invariant="hold-honoured", cell=0, spec=losing, seen=None, folder=tmp_path)
    )
    assert isinstance(story, Story), story
    assert story.path.parent == tmp_path
    assert story.path.exists()
    assert story.small
    assert story.conclusion


def test_without_a_small_failure_the_stored_run_is_told(losing: RunSpec, tmp_path: Path) -> None:
    """A violation that the bounded search cannot find again is told from its own history."""
    from model.history_file import write_history

    failure = shrink(losing, "hold-honoured")
    assert failure is not None
    stored = tmp_path / "stored.jsonl"
    write_history(failure.history, stored)
    sound = RunSpec(scenario=losing.scenario, strategy="db-cart", seed=1, fault="none")
    told = find_story(
        StoryTask(invariant="hold-honoured", cell=0, spec=sound, seen=stored, folder=tmp_path)
    )
    assert isinstance(told, Story), told
    assert (told.small, told.path) == (False, stored)


def test_lines_are_in_the_order_of_time() -> None:
    """A long call has a beginning and an end, and a fault stands between them."""
    pay = Operation(
        op_id=1,
        actor="buyer-1",
        kind="checkout",
        invoked_s=1.0,
        completed_s=9.0,
        quantity=2,
        outcome=Outcome.OK,
        order_id=4,
    )
    hold = Operation(op_id=2, actor="buyer-2", kind="hold", invoked_s=5.0, quantity=1)
    span = FaultSpan(fault="redis sigkill", started_s=4.0, ended_s=6.0)
    assert [(line.at_s, line.actor, line.text) for line in tell_lines([pay, hold], [span])] == [
        (1.0, "buyer-1", "pay for 2 tickets ..."),
        (4.0, "", "redis sigkill strikes"),
        (5.0, "buyer-2", "hold 1 ticket: never answered before the run ended"),
        (6.0, "", "redis sigkill is over"),
        (9.0, "buyer-1", "... pay for 2 tickets: ok, order 4"),
    ]


def test_a_strategy_not_known_to_be_bad_is_told_first(
    judged: MakeRun, results: MakeResults
) -> None:
    """A positive control proves the checker; the story should be about a real choice."""
    broken = [judged(run, ("no-overbooking",)) for run in range(4)]
    rarely = [judged(0, ("no-overbooking",)), *(judged(run) for run in range(1, 4))]
    cells: list[CellResult] = results(
        {
            "redis-hold-blind/none/none": broken,
            "redis-hold/none/none": rarely,
            "redis-hold/redis-kill/none": broken,
        }
    )
    assert choose(cells) == [("no-overbooking", 2)]
    assert choose(cells[:2]) == [("no-overbooking", 1)]
    assert choose(cells[:1]) == [("no-overbooking", 0)]


def test_invariants_that_hold_have_no_story(judged: MakeRun, results: MakeResults) -> None:
    """Nothing violated, nothing to tell."""
    assert choose(results({"db-cart/none/-": [judged(0)]})) == []
    assert (
        fails(
            RunSpec(scenario=load_scenario("small"), strategy="db-cart", seed=1), "no-overbooking"
        )
        is None
    )
