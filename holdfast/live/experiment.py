"""Runs the cells of a comparison one after the other on one stack, and judges each run."""

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.servers.health import LOG_ENDS
from chaos.stacks.contract import StackError
from holdfast import interrupts
from holdfast.cells import CellResult, sum_up
from holdfast.comparison import INTERRUPTED, CompareResult, OnRun
from holdfast.errors import WrongCommand
from holdfast.experiment import Cell, Experiment
from holdfast.judged import JudgedRun, first_only
from holdfast.out_folder import OutFolder
from holdfast.stories import Story, StoryTask, choose, tell_stored
from model.history_file import write_history
from model.live.run import Arm, RunCut, check_live, lagged, run_live
from properties.assessment import assess

FAST_END = "holdfast: healing and stopping the servers; once more to stop at once\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """A comparison on real servers.

    `broken` says which component died, if one ended the command, and how its log ends. `notes` say
    what weakens the evidence, such as a generator that lagged, and where a cut run's history is.
    """

    result: CompareResult
    stack: str
    factor: float
    broken: str
    notes: Sequence[str]


class _Live:
    """The runs done so far, and why there are no more."""

    def __init__(self, experiment: Experiment, arm: Arm, folder: OutFolder) -> None:
        self.experiment = experiment
        self.arm = arm
        self.folder = folder
        self.runs: list[list[JudgedRun]] = [[] for _ in experiment.cells]
        self.cut_short = ""
        self.broken = ""
        self.notes: list[str] = []

    def do(self, index: int, cell: Cell, run: int) -> bool:
        """Hold and judge one run; says whether to go on."""
        path = self.folder.history(cell, run)
        spec = self.experiment.spec(cell, run)
        try:
            result = run_live(spec, self.arm)
        except RunCut as cut:
            write_history(cut.history, path)  # the history so far
            return self._cut(cut, index, run, path)
        write_history(result.history, path)
        found = assess(result.history)
        self._add(
            JudgedRun(
                cell=index,
                run=run,
                seed=spec.seed,
                verdicts={name: first_only(verdict) for name, verdict in found.verdicts.items()},
                metrics={**result.metrics, **found.metrics},
                witnesses=found.witnesses,
                history=path,
            )
        )
        return True

    def _cut(self, cut: RunCut, index: int, run: int, path: Path) -> bool:
        cause = cut.__cause__
        if isinstance(cause, KeyboardInterrupt):
            self.cut_short = INTERRUPTED
            self.notes.append(f"The history of the run that was cut so far is in {path}.")
            return False
        if isinstance(cause, StackError):
            self.broken = str(cause)
            what = self.broken.partition(LOG_ENDS)[0]
            self.cut_short = f"{what}; the history so far is in {path}"
            return False
        assert cause is not None
        crash = "".join(traceback.format_exception(cause))
        seed = self.experiment.run_seed(run)
        self._add(JudgedRun(cell=index, run=run, seed=seed, crash=crash, history=path))
        return True

    def _add(self, judged: JudgedRun) -> None:
        self.runs[judged.cell].append(judged)
        self.folder.add(judged)


def check_cells(experiment: Experiment, arm: Arm) -> None:
    """Refuse every cell that cannot be run on this stack, before the first one is.

    Raises:
        UnsupportedFault, and what else `model.live.run.check_live` raises.
        WrongCommand: the stack's Redis does not keep its data as a cell asks for.
    """
    kept = arm.stack.keeps()
    for cell in experiment.cells:
        check_live(experiment.spec(cell, 0), arm)
        if kept is not None and cell.persistence not in {None, kept}:
            raise WrongCommand(
                f"--persistence {cell.persistence}: Redis keeps its data by {kept}, not"
                f" {cell.persistence}; say --persistence {kept}, or set it with CONFIG SET"
            )


def run_live_experiment(
    experiment: Experiment,
    arm: Arm,
    *,
    out: Path,
    budget_s: float | None = None,
    on_run: OnRun | None = None,
) -> LiveResult:
    """Run, judge and tell; Ctrl-C, a dead server or a spent budget give what is finished."""
    check_cells(experiment, arm)
    total = experiment.runs * len(experiment.cells)
    with OutFolder(out, experiment, command="live") as folder:
        live = _Live(experiment, arm, folder)
        began_s = time.monotonic()
        with interrupts.patiently(FAST_END):
            for done, (run, index, cell) in enumerate(_in_turn(experiment)):
                if budget_s is not None and time.monotonic() - began_s > budget_s:
                    live.cut_short = f"the budget of {budget_s:g} s is spent"
                    break
                if not live.do(index, cell, run):
                    break
                if on_run is not None:
                    on_run(done + 1, total)
        if interrupts.asked():
            live.cut_short = live.cut_short or INTERRUPTED
        cells = sum_up(experiment.cells, live.runs)
        stories = list(_stories(cells, experiment, folder))
        return LiveResult(
            result=CompareResult(
                experiment=experiment,
                cells=tuple(cells),
                stories=tuple(story for _, story in stories if isinstance(story, Story)),
                untold={name: story for name, story in stories if isinstance(story, str)},
                out=out,
                cut_short=live.cut_short,
            ),
            stack=arm.stack.name,
            factor=arm.factor,
            broken=live.broken,
            notes=(*live.notes, *_notes(cells)),
        )


def _in_turn(experiment: Experiment) -> Iterator[tuple[int, int, Cell]]:
    """Go run by run through all cells, so that a comparison cut short is still balanced."""
    for run in range(experiment.runs):
        for index, cell in enumerate(experiment.cells):
            yield run, index, cell


def _stories(
    cells: Sequence[CellResult], experiment: Experiment, folder: OutFolder
) -> Iterator[tuple[str, Story | str]]:
    for invariant, index in choose(cells):
        result = cells[index]
        first = result.first_violation(invariant)
        assert first is not None
        task = StoryTask(
            invariant=invariant,
            cell=index,
            spec=experiment.spec(result.cell, first[0].run),
            seen=result.histories.get(invariant),
            folder=folder.stories,
        )
        yield invariant, tell_stored(task)


def _notes(cells: Sequence[CellResult]) -> Iterator[str]:
    late = [run for cell in cells for run in cell.runs if lagged(dict(run.metrics))]
    if late:
        worst_ms = max(run.metrics["lateness_ms_p99"] for run in late)
        yield (
            f"in {len(late)} runs the generator lagged (p99 up to {worst_ms:.0f} ms of wall time "
            "late): the servers met less load than the scenario asks for; a smaller --time-factor "
            "or a quieter machine helps"
        )
