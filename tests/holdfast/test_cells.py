"""Runs are summed up by cell: in order, paired by seed, a crash never counted as a pass."""

from dataclasses import replace
from pathlib import Path

from properties.statistics import mean_95, paired_difference_95
from properties.verdicts import Status
from tests.holdfast.made_up import MakeResults, MakeRun


def test_the_order_in_which_runs_arrive_does_not_matter(
    judged: MakeRun, results: MakeResults
) -> None:
    """Workers finish in any order; the result is the same."""
    runs = [judged(run, overbooked_tickets=float(run)) for run in range(5)]
    assert results({"db-cart/none/-": runs}) == results({"db-cart/none/-": runs[::-1]})


def test_numbers_have_means_with_intervals(judged: MakeRun, results: MakeResults) -> None:
    """Each number is the mean over the runs that have it, with its interval."""
    runs = [judged(0, refunds=2.0), judged(1, refunds=4.0), judged(2)]
    (cell,) = results({"db-cart/none/-": runs})
    assert cell.metrics["refunds"] == mean_95([2.0, 4.0])
    assert cell.witnesses == {"hold-expired-unpaid": 3}


def test_the_lowest_violating_run_is_the_example(judged: MakeRun, results: MakeResults) -> None:
    """One history per violated invariant is enough: that of the first run that broke it."""
    runs = [
        judged(2, ("no-overbooking", "no-leak")),
        judged(0),
        judged(1, ("no-overbooking",)),
    ]
    (cell,) = results({"db-cart/none/-": runs})
    assert cell.histories == {
        "no-overbooking": Path("run-1.jsonl"),
        "no-leak": Path("run-2.jsonl"),
    }
    example = cell.first_violation("no-overbooking")
    assert example is not None
    assert (example[0].run, example[1].message) == (1, "no-overbooking broke")
    assert cell.first_violation("hold-honoured") is None


def test_a_fault_is_compared_with_no_fault_on_the_same_seeds(
    judged: MakeRun, results: MakeResults
) -> None:
    """The difference is taken run by run, against the same persistence if that was run."""
    quiet = [judged(run, overbooked_tickets=1.0) for run in range(3)]
    hit = [judged(run, overbooked_tickets=5.0 + run) for run in range(3)]
    cells = results(
        {
            "redis-hold/none/none": quiet,
            "redis-hold/none/rdb": [judged(0, overbooked_tickets=9.0)],
            "redis-hold/redis-kill/none": hit,
            "redis-hold/redis-kill/aof-no": hit,
            "redis-counter/redis-kill/none": hit,
        }
    )
    grown = paired_difference_95([5.0, 6.0, 7.0], [1.0, 1.0, 1.0])
    assert cells[0].over_no_fault == {}
    assert cells[2].over_no_fault["overbooked_tickets"] == grown
    assert cells[3].over_no_fault["overbooked_tickets"] == grown
    assert cells[4].over_no_fault == {}, "another strategy is no reference"


def test_a_crashed_run_is_inconclusive(judged: MakeRun, results: MakeResults) -> None:
    """A crash says nothing about the invariants, and is counted."""
    crashed = replace(judged(1), verdicts={}, metrics={}, crash="Traceback ...\nKeyError: 'x'")
    (cell,) = results({"db-cart/none/-": [judged(0), crashed]})
    assert len(cell.crashes) == 1
    assert cell.verdicts["no-overbooking"].inconclusive_runs == 1
    (dead,) = results({"db-cart/none/-": [crashed]})
    assert dead.verdicts["no-overbooking"].status is Status.INCONCLUSIVE
    assert dead.verdicts["no-overbooking"].reason == "every run crashed"


def test_a_cell_without_runs_has_verdicts_all_the_same(results: MakeResults) -> None:
    """A comparison cut short says INCONCLUSIVE for what it never ran."""
    (cell,) = results({"db-cart/none/-": []})
    for verdict in cell.verdicts.values():
        assert verdict.status is Status.INCONCLUSIVE
        assert verdict.reason == "no run was finished"
    assert "no-overbooking" in cell.verdicts
