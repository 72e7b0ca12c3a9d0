"""Judged runs made by hand, and the `holdfast` command as other programs call it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.persistence import Persistence
from holdfast.cells import CellResult, sum_up
from holdfast.choices import StrategyChoice
from holdfast.cli import app
from holdfast.experiment import Cell
from holdfast.judged import JudgedRun
from properties.judge import INVARIANTS
from properties.verdicts import Status
from tests.holdfast.made_up import Command, MakeResults, MakeRun, clean_environment, verdict


@pytest.fixture
def judged() -> MakeRun:
    """Make a judged run: everything holds but what is named as violated or unclear."""

    def make(
        run: int,
        violated: tuple[str, ...] = (),
        unclear: tuple[str, ...] = ("seat-sold-once",),
        **numbers: float,
    ) -> JudgedRun:
        statuses = {
            **dict.fromkeys(INVARIANTS, Status.HOLDS),
            **dict.fromkeys(unclear, Status.INCONCLUSIVE),
            **dict.fromkeys(violated, Status.VIOLATED),
        }
        return JudgedRun(
            cell=0,
            run=run,
            seed=1000 + run,
            verdicts={name: verdict(name, status) for name, status in statuses.items()},
            metrics={"overbooked_tickets": 0.0, **numbers},
            witnesses={"hold-expired-unpaid": run},
            trace_hash=f"hash-{run}",
            history=Path(f"run-{run}.jsonl") if violated else None,
        )

    return make


@pytest.fixture
def results() -> MakeResults:
    """Sum up runs per cell; a cell is written `strategy/fault/persistence` (or `/-`)."""

    def make(cells: Mapping[str, list[JudgedRun]]) -> list[CellResult]:
        return sum_up([parse(text) for text in cells], list(cells.values()))

    def parse(text: str) -> Cell:
        name, fault, mode = text.split("/")
        persistence = None if mode == "-" else Persistence(mode)
        return Cell(strategy=StrategyChoice(name=name), fault=fault, persistence=persistence)

    return make


@pytest.fixture
def holdfast(tmp_path: Path) -> Command:
    """Run the command in an empty folder, its output piped, as a pipeline would."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *words],
            cwd=tmp_path,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process: as `holdfast`, much faster, without its own interpreter."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = CliRunner(env=variables).invoke(app, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    return run
