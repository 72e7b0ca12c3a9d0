"""The runs of a live comparison, on an arm that is made up."""

from pathlib import Path
from typing import Any, cast

import pytest

from holdfast import interrupts
from holdfast.choices import parse_strategies
from holdfast.comparison import INTERRUPTED
from holdfast.experiment import plan_experiment
from holdfast.live import experiment as subject
from model.live.run import Arm
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunResult, RunSpec

ARM = Arm(
    stack=cast("Any", type("Stack", (), {"name": "made up"})()),
    nursery=cast("Any", None),
    factor=30.0,
)


@pytest.mark.parametrize(("asked_in_run", "says"), [(None, ""), (1, INTERRUPTED)])
def test_an_end_asked_for_in_the_last_run_is_not_forgotten(
    asked_in_run: int | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may swallow the interrupt; the command is still told that its end was asked for."""
    heard: list[int] = []
    held: list[RunSpec] = []

    def run(spec: RunSpec, _arm: Arm) -> RunResult:
        if len(held) == asked_in_run:
            heard.append(2)  # what the handler writes down
        held.append(spec)
        return simulate(spec)

    monkeypatch.setattr(interrupts, "_asked", heard)
    monkeypatch.setattr(subject, "run_live", run)
    monkeypatch.setattr(subject, "check_live", lambda _spec, _arm: None)
    planned = plan_experiment(
        load_scenario("small"),
        strategies=parse_strategies("redis-counter"),
        faults=["none"],
        runs=2,
    )
    live = subject.run_live_experiment(planned, ARM, out=tmp_path / "out")
    assert len(held) == 2
    assert live.result.cut_short == says
    assert [len(cell.runs) for cell in live.result.cells] == [2]
