"""One factor between the scenario's seconds and wall time."""

import pytest

from model.live.timescale import LEAST_TIMEOUT_S, TimeScale
from model.run import SLACK_S, sweep_bound_s
from model.scenario import Holds, Scenario, Sweeper
from properties.invariants.sale_goes_on import BOUND_S


def test_moments_and_lengths_go_both_ways() -> None:
    """A moment of the scenario is one of the wall clock, and back."""
    scale = TimeScale(factor=30.0, opened_at=1_000_000.0)
    assert scale.wall(900.0) == pytest.approx(1_000_030.0)
    assert scale.scenario_s(1_000_030.0) == pytest.approx(900.0)
    assert scale.length(900.0) == pytest.approx(30.0)


def test_only_durations_of_a_strategy_are_scaled() -> None:
    """Options named in seconds shrink; sizes, names and switches do not."""
    given = {"ttl_s": 900.0, "doubtful_after_s": 300, "batch": 1000, "refund": True, "clock": "x"}
    assert TimeScale(factor=30.0).options(given) == {
        "ttl_s": 30.0,
        "doubtful_after_s": 10.0,
        "batch": 1000,
        "refund": True,
        "clock": "x",
    }


def test_timeouts_never_get_shorter_than_a_busy_machine_needs() -> None:
    """A client's timeout is scaled down to a floor."""
    scale = TimeScale(factor=30.0)
    assert scale.timeout(2.0) == LEAST_TIMEOUT_S
    assert scale.timeout(60.0) == pytest.approx(2.0)


def test_the_bounds_of_the_invariants_leave_real_machines_time() -> None:
    """At the default factor every bound that invariants use is over a second of wall time."""
    scenario = Scenario(name="x", hold=Holds(), sweeper=Sweeper())
    scale = TimeScale(factor=30.0)
    for bound_s in (sweep_bound_s(scenario), SLACK_S, BOUND_S):
        assert scale.length(bound_s) > 1.0
