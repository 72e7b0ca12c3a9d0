"""One run, simulated, judged and made small: what a worker process does and sends back.

A history of a big sale is megabytes; what the matrix needs of it is a few numbers. So the worker
judges where it ran, and keeps the history on disk only when it is asked for.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.errors import WRONG_INPUT, WrongCommand
from model.history_file import write_history
from model.run import simulate
from model.spec import RunSpec
from properties.assessment import assess
from properties.verdicts import Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run to be done.

    `stored` names the invariants whose violation is already kept from an earlier run of the cell;
    a history that violates another one is written to `history` (None: never).
    """

    cell: int
    run: int
    spec: RunSpec
    history: Path | None = None
    stored: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun:
    """What is left of a run: verdicts with their first violation, numbers, counts.

    `crash` is the traceback when the code under test, or a checker, broke in a way
    it never should; such a run has no verdicts and counts as inconclusive, never as a pass.
    """

    cell: int
    run: int
    seed: int
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    witnesses: Mapping[str, int] = field(default_factory=dict)
    trace_hash: str = ""
    history: Path | None = None
    crash: str = ""

    @property
    def violated(self) -> frozenset[str]:
        """The names of the invariants this run violated."""
        return frozenset(
            name for name, verdict in self.verdicts.items() if verdict.status is Status.VIOLATED
        )


def do_task(task: Task) -> JudgedRun:
    """Simulate and judge one run.

    Raises:
        WrongCommand: one of `holdfast.errors.WRONG_INPUT`, because the whole command is wrong
            then. Any other exception is reported as the run's crash.
    """
    try:
        return _do(task)
    except WRONG_INPUT as error:
        raise WrongCommand(str(error)) from error  # one that surely crosses between processes
    except Exception:  # noqa: BLE001 - a crash of the code under test is a result, not an end
        return JudgedRun(
            cell=task.cell, run=task.run, seed=task.spec.seed, crash=traceback.format_exc()
        )


def _do(task: Task) -> JudgedRun:
    result = simulate(task.spec)
    found = assess(result.history)
    judged = JudgedRun(
        cell=task.cell,
        run=task.run,
        seed=task.spec.seed,
        verdicts={name: first_only(verdict) for name, verdict in found.verdicts.items()},
        metrics={**result.metrics, **found.metrics},
        witnesses=found.witnesses,
        trace_hash=result.trace_hash,
    )
    if task.history is not None and judged.violated - task.stored:
        write_history(result.history, task.history)
        judged = replace(judged, history=task.history)
    return judged


def first_only(verdict: Verdict) -> Verdict:
    """Return the verdict with its first violation only (a bad run can have thousands)."""
    return replace(verdict, violations=verdict.violations[:1])
