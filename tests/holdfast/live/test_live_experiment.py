"""The runs of a live comparison, on an arm that is made up."""

from pathlib import Path
from typing import Any, cast

import pytest

from chaos.persistence import Persistence
from chaos.stacks.contract import StackBroken, StackMissing
from holdfast import interrupts
from holdfast.choices import parse_strategies
from holdfast.comparison import INTERRUPTED
from holdfast.errors import WrongCommand
from holdfast.experiment import plan_experiment
from holdfast.live import experiment as subject
from model.live.run import Arm, RunCut, run_live
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunResult, RunSpec


class MadeUp:
    """A stack whose Redis can be asked how it keeps its data while it lives."""

    name = "made up"
    gone = False

    def keeps(self) -> Persistence:
        """As it was started, by somebody else."""
        if self.gone:
            raise StackMissing("redis: gone")
        return Persistence.NONE

    def renew(self, _persistence: Persistence | None) -> None:
        """It has died."""
        raise StackBroken("redis: gone")

    def check(self) -> None:
        """It is not there."""
        raise StackBroken("redis: gone")


ARM = Arm(
    stack=cast("Any", MadeUp()),
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


def test_a_persistence_that_is_not_there_is_told_before_the_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of the last cell; nothing is written."""
    monkeypatch.setattr(subject, "check_live", lambda _spec, _arm: None)
    planned = plan_experiment(
        load_scenario("small"),
        strategies=parse_strategies("redis-counter"),
        faults=["none"],
        persistence=[Persistence.NONE, Persistence.RDB],
    )
    with pytest.raises(WrongCommand, match="keeps its data by none, not rdb"):
        subject.run_live_experiment(planned, ARM, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stack_that_goes_between_two_runs_cuts_the_second() -> None:
    """It is no wrong command by then: what was finished before is still told."""
    stack = MadeUp()
    stack.gone = True
    arm = Arm(stack=cast("Any", stack), nursery=cast("Any", None), factor=30.0)
    spec = RunSpec(
        scenario=load_scenario("small"),
        strategy="redis-counter",
        seed=1,
        persistence=Persistence.NONE,
    )
    with pytest.raises(RunCut) as raised:
        run_live(spec, arm)
    assert isinstance(raised.value.__cause__, StackBroken)
