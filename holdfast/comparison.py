"""Compare strategies: run every cell on the same seeds, sum up, find the stories."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cells import CellResult, sum_up
from holdfast.choices import parse_names, parse_persistence, parse_strategies
from holdfast.errors import WorkersLost, WrongCommand
from holdfast.experiment import DEFAULT_RUNS, DEFAULT_SEED, Experiment, plan_experiment
from holdfast.judged import JudgedRun, Task, do_task
from holdfast.out_folder import DEFAULT_OUT, OutFolder
from holdfast.stories import Story, StoryTask, choose, find_story
from holdfast.workers import Workers, cores
from model.database import prepare
from model.scenario import Scenario
from model.scenario_file import load_scenario

INTERRUPTED = "interrupted"
UNTOLD = "cut short before one was found; failing histories are in the --out folder"
OnRun = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareResult:
    """The matrix and its stories. `cut_short` says why runs are missing (empty: none is).

    `workers_lost` marks the one reason that is a failure: a worker process died.
    `untold` says, per violated invariant without a story, what went wrong in finding one.
    """

    experiment: Experiment
    cells: tuple[CellResult, ...]
    stories: tuple[Story, ...]
    untold: Mapping[str, str]
    out: Path
    cut_short: str
    workers_lost: bool = False


def compare(  # noqa: PLR0913 - the options of the command, all by keyword
    scenario: str | Scenario = "on-sale",
    *,
    strategies: Sequence[str] | None = None,
    faults: Sequence[str] | None = None,
    persistence: Sequence[str] | None = None,
    runs: int = DEFAULT_RUNS,
    seed: int = DEFAULT_SEED,
    database: str = "sqlite",
    jobs: int | None = None,
    overrides: Mapping[str, str] | None = None,
    out: Path | str = DEFAULT_OUT,
) -> CompareResult:
    """Do what `holdfast compare` does; names and defaults are the command's.

    A strategy may carry options: `"db-cart:give_back=split"`.

    Raises:
        WrongCommand, ScenarioError, UnknownStrategy, BadOption, UnknownFault: a name or a value is
            wrong; the message says which, and what is allowed.
    """
    _check_types(jobs, strategies=strategies, faults=faults, persistence=persistence)
    if isinstance(scenario, str):
        scenario = load_scenario(scenario, overrides or {})
    elif overrides:
        raise WrongCommand("overrides: only for a scenario given by name; use model_copy instead")
    experiment = plan_experiment(
        scenario,
        strategies=None if strategies is None else parse_strategies(",".join(strategies)),
        faults=None if faults is None else parse_names("--faults", ",".join(faults)),
        persistence=None if persistence is None else parse_persistence(",".join(persistence)),
        runs=runs,
        seed=seed,
        database=database,
    )
    return run_experiment(experiment, out=Path(out), jobs=jobs)


def _check_types(jobs: int | None, **lists: Sequence[str] | None) -> None:
    """Refuse what the command line cannot say, but Python can."""
    for name, given in lists.items():
        if isinstance(given, str):
            raise WrongCommand(f"{name}: {given!r} is one text; give a list of texts: [{given!r}]")
    if jobs is not None and jobs < 1:
        raise WrongCommand(f"jobs: {jobs} is less than 1; leave it out for one per processor")


def run_experiment(
    experiment: Experiment,
    *,
    out: Path,
    jobs: int | None = None,
    budget_s: float | None = None,
    on_run: OnRun | None = None,
) -> CompareResult:
    """Run, judge and tell. Ctrl-C, a lost worker or a spent budget give what is finished.

    `on_run` hears of each finished run: how many are, and of how many. `budget_s` is in seconds of
    wall time; no run is started after it, so a result under a budget is not repeatable.
    """
    prepare(experiment.database)
    with OutFolder(out, experiment) as folder:
        progress = _Progress(experiment, folder, budget_s, on_run)
        stories: list[Story | str] = []
        chosen: list[tuple[str, int]] = []
        lost = False
        try:
            with Workers(min(jobs or cores(), len(experiment.cells) * experiment.runs)) as workers:
                for run in workers.each(do_task, progress.tasks()):
                    progress.add(run)
                cells = progress.sum_up()
                chosen = choose(cells)
                tasks = list(_story_tasks(chosen, cells, experiment, folder))
                stories = _in_order(workers.each(_numbered_story, enumerate(tasks)))
        except KeyboardInterrupt:
            progress.cut_short = INTERRUPTED
        except WorkersLost as error:
            progress.cut_short = str(error)
            lost = True
        told = dict(zip([name for name, _ in chosen], stories, strict=False))
        return CompareResult(
            experiment=experiment,
            cells=tuple(progress.sum_up()),
            stories=tuple(story for story in stories if isinstance(story, Story)),
            untold={
                name: story
                for name, _ in chosen
                if isinstance(story := told.get(name, UNTOLD), str)
            },
            out=out,
            cut_short=progress.cut_short,
            workers_lost=lost,
        )


class _Progress:
    """The tasks still to do and the runs already done."""

    def __init__(
        self,
        experiment: Experiment,
        folder: OutFolder,
        budget_s: float | None,
        on_run: OnRun | None,
    ) -> None:
        self.cut_short = ""
        self._experiment = experiment
        self._folder = folder
        self._budget_s = budget_s
        self._on_run = on_run
        self._runs: list[list[JudgedRun]] = [[] for _ in experiment.cells]
        self._stored: list[frozenset[str]] = [frozenset() for _ in experiment.cells]
        self._done = 0

    def tasks(self) -> Iterator[Task]:
        """Go run by run through all cells, so that a comparison cut short is still balanced."""
        started_s = time.monotonic()
        for run in range(self._experiment.runs):
            for index, cell in enumerate(self._experiment.cells):
                if self._budget_s is not None and time.monotonic() - started_s > self._budget_s:
                    self.cut_short = f"the budget of {self._budget_s:g} s is spent"
                    return
                yield Task(
                    cell=index,
                    run=run,
                    spec=self._experiment.spec(cell, run),
                    history=self._folder.history(cell, run),
                    stored=self._stored[index],
                )

    def add(self, run: JudgedRun) -> None:
        self._runs[run.cell].append(run)
        self._stored[run.cell] |= run.violated
        self._folder.add(run)
        self._done += 1
        if self._on_run is not None:
            self._on_run(self._done, self._experiment.runs * len(self._experiment.cells))

    def sum_up(self) -> list[CellResult]:
        cells = sum_up(self._experiment.cells, self._runs)
        kept = [path for result in cells for path in result.histories.values()]
        self._folder.keep_only(kept, [run for found in self._runs for run in found])
        return cells


def _story_tasks(
    chosen: Sequence[tuple[str, int]],
    cells: Sequence[CellResult],
    experiment: Experiment,
    folder: OutFolder,
) -> Iterator[StoryTask]:
    for invariant, index in chosen:
        result = cells[index]
        first = result.first_violation(invariant)
        assert first is not None
        yield StoryTask(
            invariant=invariant,
            cell=index,
            spec=experiment.spec(result.cell, first[0].run),
            seen=result.histories.get(invariant),
            folder=folder.stories,
        )


def _numbered_story(numbered: tuple[int, StoryTask]) -> tuple[int, Story | str]:
    number, task = numbered
    return number, find_story(task)


def _in_order(numbered: Iterable[tuple[int, Story | str]]) -> list[Story | str]:
    return [story for _, story in sorted(numbered, key=lambda pair: pair[0])]
