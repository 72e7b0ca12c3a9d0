"""Many runs of a cell become one verdict that says how much they can carry."""

import pytest

from properties.statistics import interval_95, upper_bound_95, zero_bound_95
from properties.summary import CellVerdict, summarise
from properties.verdicts import Status, Verdict, Violation, inconclusive

NAME = "no-overbooking"
HELD = Verdict(invariant=NAME, status=Status.HOLDS, examined=10)
BROKEN = Verdict(
    invariant=NAME,
    status=Status.VIOLATED,
    examined=10,
    violations=(Violation(invariant=NAME, message="2 too many", at_s=1.0, amount=2),),
)
OPEN = inconclusive(NAME, "nobody came")


def _cell(*verdicts: Verdict) -> CellVerdict:
    return summarise([{NAME: verdict} for verdict in verdicts])[NAME]


def test_one_violated_run_violates_the_cell() -> None:
    """A single counterexample decides; the rate is over conclusive runs."""
    cell = _cell(HELD, BROKEN, HELD, OPEN)
    assert cell.status is Status.VIOLATED
    assert (cell.runs, cell.violated_runs, cell.inconclusive_runs) == (4, 1, 1)
    assert cell.rate == pytest.approx(1 / 3)
    assert cell.ci95 == interval_95(1, 3)
    assert cell.upper_bound_95 == upper_bound_95(1, 3)
    assert cell.examined == 30


def test_zero_violations_carry_the_bound_of_conclusive_runs_only() -> None:
    """Inconclusive runs do not make the bound tighter."""
    cell = _cell(*[HELD] * 20, *[OPEN] * 80)
    assert cell.status is Status.HOLDS
    assert (cell.rate, cell.upper_bound_95) == (0.0, zero_bound_95(20))
    assert cell.conclusive_runs == 20
    assert cell.reason == "nobody came"


def test_only_open_runs_leave_the_cell_open() -> None:
    """No conclusive run: no rate, no bound, and the commonest reason."""
    cell = _cell(OPEN, inconclusive(NAME, "cut short"), OPEN)
    assert cell.status is Status.INCONCLUSIVE
    assert (cell.rate, cell.ci95, cell.upper_bound_95) == (None, None, None)
    assert cell.reason == "nobody came (2 runs; 1 for other reasons)"


def test_a_run_without_verdicts_is_an_open_run() -> None:
    """A run that crashed counts as inconclusive, never as a pass."""
    cell = summarise([{NAME: HELD}, {}])[NAME]
    assert (cell.runs, cell.inconclusive_runs) == (2, 1)
    assert cell.reason == "the run gave no verdict"


def test_no_runs_give_no_verdicts() -> None:
    """An empty cell says nothing at all."""
    assert summarise([]) == {}
