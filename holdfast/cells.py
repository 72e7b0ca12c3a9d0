"""The runs of one cell, summed up: verdicts with bounds, means with intervals, what was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from holdfast.experiment import Cell
from holdfast.judged import JudgedRun
from properties.judge import INVARIANTS
from properties.statistics import Mean, mean_95, paired_difference_95
from properties.summary import CellVerdict, summarise
from properties.verdicts import Status, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """One row of the matrix.

    `runs` are the judged runs, in order; there are fewer than were asked for when the comparison
    was cut short. `histories` maps a violated invariant to the stored history of the lowest run
    that violated it. `over_no_fault` is how much each number grew against the same strategy, with
    the same persistence if that was run, without a fault: paired by seed.
    """

    cell: Cell
    runs: tuple[JudgedRun, ...]
    verdicts: Mapping[str, CellVerdict]
    metrics: Mapping[str, Mean]
    witnesses: Mapping[str, int]
    histories: Mapping[str, Path]
    over_no_fault: Mapping[str, Mean]

    @property
    def crashes(self) -> tuple[JudgedRun, ...]:
        """The runs in which the code under test broke."""
        return tuple(run for run in self.runs if run.crash)

    def first_violation(self, invariant: str) -> tuple[JudgedRun, Violation] | None:
        """Return the lowest run that violated an invariant, and how."""
        for run in self.runs:
            verdict = run.verdicts.get(invariant)
            if verdict is not None and verdict.status is Status.VIOLATED:
                return run, verdict.violations[0]
        return None


def sum_up(cells: Sequence[Cell], runs: Sequence[Sequence[JudgedRun]]) -> list[CellResult]:
    """Sum up every cell; `runs[i]` are those of `cells[i]`, in any order."""
    ordered = [tuple(sorted(found, key=lambda run: run.run)) for found in runs]
    return [
        CellResult(
            cell=cell,
            runs=found,
            verdicts=_verdicts(found),
            metrics=_means(found),
            witnesses=_witnesses(found),
            histories=_histories(found),
            over_no_fault=_over(found, ordered[quiet]) if quiet is not None else {},
        )
        for cell, found in zip(cells, ordered, strict=True)
        for quiet in [_quiet_twin(cell, cells)]
    ]


def _verdicts(runs: Sequence[JudgedRun]) -> dict[str, CellVerdict]:
    """Return a verdict for every invariant, also where no run gave one."""
    found = summarise([run.verdicts for run in runs])
    return {name: found.get(name) or _silent(name, runs) for name in INVARIANTS}


def _silent(name: str, runs: Sequence[JudgedRun]) -> CellVerdict:
    return CellVerdict(
        invariant=name,
        status=Status.INCONCLUSIVE,
        runs=len(runs),
        violated_runs=0,
        inconclusive_runs=len(runs),
        examined=0,
        rate=None,
        ci95=None,
        upper_bound_95=None,
        reason="every run crashed" if runs else "no run was finished",
    )


def _means(runs: Sequence[JudgedRun]) -> dict[str, Mean]:
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    means = {}
    for name in names:
        values = [
            run.metrics[name] for run in runs if isfinite(run.metrics.get(name, float("nan")))
        ]
        if values:
            means[name] = mean_95(values)
    return means


def _witnesses(runs: Sequence[JudgedRun]) -> dict[str, int]:
    names = dict.fromkeys(name for run in runs for name in run.witnesses)
    return {name: sum(run.witnesses.get(name, 0) for run in runs) for name in names}


def _histories(runs: Sequence[JudgedRun]) -> dict[str, Path]:
    """Return, per violated invariant, the history of the lowest run that violated it."""
    kept: dict[str, Path] = {}
    seen: set[str] = set()
    for run in runs:
        for name in sorted(run.violated - seen):
            if run.history is not None:
                kept[name] = run.history
        seen |= run.violated
    return kept


def _quiet_twin(cell: Cell, cells: Sequence[Cell]) -> int | None:
    """Find the cell that differs in the fault only; without a fault any persistence will do."""
    if cell.fault == "none":
        return None
    quiet = [
        index
        for index, other in enumerate(cells)
        if other.fault == "none" and other.strategy == cell.strategy
    ]
    same = [index for index in quiet if cells[index].persistence == cell.persistence]
    return next(iter(same or quiet), None)


def _over(runs: Sequence[JudgedRun], quiet: Sequence[JudgedRun]) -> dict[str, Mean]:
    """Pair the runs by their number (so by seed) and compare the numbers both have."""
    twins = {run.run: run for run in quiet}
    differences = {}
    for name in dict.fromkeys(name for run in runs for name in run.metrics):
        pairs = [
            (run.metrics[name], twins[run.run].metrics[name])
            for run in runs
            if run.run in twins and name in run.metrics and name in twins[run.run].metrics
        ]
        if pairs:
            differences[name] = paired_difference_95([a for a, _ in pairs], [b for _, b in pairs])
    return differences
