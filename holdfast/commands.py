"""What each command does once its options are read; returns the exit status."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.text import Text

from holdfast import __version__, interrupts
from holdfast.choices import parse_names, parse_overrides, parse_persistence, parse_strategies
from holdfast.comparison import INTERRUPTED, CompareResult, run_experiment
from holdfast.errors import (
    WRONG_INPUT,
    ExitStatus,
    HoldfastError,
    WrongCommand,
    lost_database,
)
from holdfast.experiment import Experiment, plan_experiment
from holdfast.gate import check_required, exit_status, explain
from holdfast.json_output import compare_as_dict, verdicts_as_dict
from holdfast.listing import Shelf, entries, notes
from holdfast.replay import replay
from holdfast.report import print_comparison
from holdfast.show import print_replay, verdict_lines
from holdfast.terminal import (
    fold,
    output,
    print_nowhere,
    progress_bar,
    put,
    reader_may_leave,
    width,
)
from model.database import DatabaseUnavailable
from model.history import History
from model.history_file import read_history
from model.scenario_file import load_scenario
from properties.exploration.trace import is_trace
from properties.judge import judge
from properties.telling import counted
from properties.verdicts import Status, Verdict

JudgedFile = tuple[Path, History, Mapping[str, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareChoices:
    """The options of `holdfast compare`, as written."""

    scenario: str
    strategies: str | None
    faults: str | None
    persistence: str | None
    runs: int
    seed: int
    database: str
    jobs: int | None
    settings: Sequence[str]
    as_json: bool
    required: Sequence[str]
    out: Path
    budget_s: float | None


def answer(
    command: Callable[[], ExitStatus],
    *,
    interrupted: ExitStatus = ExitStatus.INTERRUPTED,
    too_early: str = "interrupted",
) -> NoReturn:
    """Run a command and end with its status; wrong input is one message, never a traceback.

    An interruption ends it as `interrupted`; `too_early` is what it says before the command began.
    """
    begun = False
    try:
        interrupts.command_begins()
        interrupts.check()
        begun = True
        status = command()
    except (HoldfastError, *WRONG_INPUT) as error:
        complain(str(error))
        status = ExitStatus.WRONG
    except KeyboardInterrupt:
        complain("interrupted" if begun else too_early)
        status = interrupted
    except Exception as error:
        lost = lost_database(error)
        if lost is None:
            raise
        complain(lost)
        status = ExitStatus.WRONG
    raise typer.Exit(int(status))


def complain(message: str) -> None:
    """Say what is wrong, on standard error; whoever read it may have left."""
    try:
        print(f"holdfast: {message}", file=sys.stderr)  # noqa: T201 - the command's own voice
    except BrokenPipeError:
        print_nowhere(sys.stderr)


def run_compare(choices: CompareChoices) -> ExitStatus:
    """Compare, print, and gate on what is required."""
    check_required(choices.required)
    experiment = _experiment(choices)
    total = len(experiment.cells) * experiment.runs
    with progress_bar(f"{total} runs") as on_run:
        result = run_experiment(
            experiment,
            out=choices.out,
            jobs=choices.jobs,
            budget_s=choices.budget_s,
            on_run=on_run,
        )
    with reader_may_leave():
        if choices.as_json:
            print_json(compare_as_dict(result))
        else:
            print_comparison(result, output())
    return compare_status(result, choices.required)


def _experiment(choices: CompareChoices) -> Experiment:
    scenario = load_scenario(choices.scenario, parse_overrides(choices.settings))
    modes = choices.persistence
    return plan_experiment(
        scenario,
        strategies=None if choices.strategies is None else parse_strategies(choices.strategies),
        faults=None if choices.faults is None else parse_names("--faults", choices.faults),
        persistence=None if modes is None else parse_persistence(modes),
        runs=choices.runs,
        seed=choices.seed,
        database=choices.database,
    )


def compare_status(result: CompareResult, required: Sequence[str]) -> ExitStatus:
    """Say on standard error what is wrong with the runs; return the command's exit status."""
    for cell in result.cells:
        if cell.crashes:
            complain(_crash_message(cell.crashes[0].crash, cell.cell.slug, len(cell.crashes)))
    if result.cut_short == INTERRUPTED:
        finished = sum(len(cell.runs) for cell in result.cells)
        where = f"; finished runs are in {result.out / 'results.jsonl'}"
        complain(f"interrupted{where if finished else ', before any run was finished'}")
        return ExitStatus.INTERRUPTED
    found = [
        {
            name: Status.INCONCLUSIVE
            if cell.crashes and verdict.status is Status.HOLDS
            else verdict.status
            for name, verdict in cell.verdicts.items()
        }
        for cell in result.cells
    ]
    status = exit_status(required, found)
    for line in explain(required, found):
        complain(f"{line} cells")
    if result.cut_short:
        complain(result.cut_short)
    useless = result.workers_lost or not any(
        not run.crash for cell in result.cells for run in cell.runs
    )
    return ExitStatus.INCONCLUSIVE if status is ExitStatus.DONE and useless else status


def _crash_message(crash: str, where: str, times: int) -> str:
    return (
        f"{where}: {counted(times, 'run')} crashed, inconclusive therefore (a defect of the code"
        f" under test or of Holdfast); the first: {crash.strip().splitlines()[-1]}"
    )


def run_replay(
    trace: Path, *, crossings: bool, sweeps: bool, only_buyers: str | None, limit: int | None
) -> ExitStatus:
    """Replay a stored history and show it; INCONCLUSIVE if it went another way."""
    if is_trace(trace):
        from holdfast.retrace import run_retrace

        with _named(trace):
            return run_retrace(trace)
    actors = None if only_buyers is None else _actors(only_buyers)
    with _named(trace):
        found = replay(trace)
    if actors and not any(each.actor in actors for each in found.history.operations):
        raise WrongCommand(f"--only-buyers {only_buyers}: none of them did anything in this run")
    _warn(trace, found.stored)
    with reader_may_leave():
        print_replay(
            found, output(), actors=actors, limit=limit, crossings=crossings, sweeps=sweeps
        )
    if found.difference:
        complain(f"{trace}: not reproduced: {found.difference}")
        return ExitStatus.INCONCLUSIVE
    return ExitStatus.DONE


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in what is wrong with what it asks for."""
    try:
        yield
    except DatabaseUnavailable:
        raise
    except WRONG_INPUT as error:
        if str(path) in str(error):
            raise
        raise WrongCommand(f"{path}: {error}") from error


def _actors(text: str) -> frozenset[str]:
    names = parse_names("--only-buyers", text)
    for name in names:
        if not name.isdecimal():
            raise WrongCommand(f"--only-buyers: {name!r} is not a buyer's number (write 3,17)")
    return frozenset(f"buyer-{int(name)}" for name in names)


def _warn(path: Path, history: History) -> None:
    for problem in history.problems:
        complain(f"{path}: {problem}")


def run_judge(paths: Sequence[Path], *, required: Sequence[str], as_json: bool) -> ExitStatus:
    """Judge stored histories; a damaged one is reported and the rest of it judged."""
    check_required(required)
    judged: list[JudgedFile] = []
    for path in paths:
        if is_trace(path):
            raise WrongCommand(
                f"{path}: is a trace of `holdfast explore`, not a history;"
                " `holdfast replay` judges it"
            )
        history = read_history(path)
        _warn(path, history)
        judged.append((path, history, judge(history)))
    with reader_may_leave():
        _print_judged(judged, as_json=as_json)
    return exit_status(
        required,
        [{name: each.status for name, each in verdicts.items()} for _, _, verdicts in judged],
    )


def _print_judged(judged: Sequence[JudgedFile], *, as_json: bool) -> None:
    if as_json:
        histories = [
            {
                "path": str(path),
                "problems": history.problems,
                "operations": len(history.operations),
                "verdicts": verdicts_as_dict(verdicts),
            }
            for path, history, verdicts in judged
        ]
        print_json({"holdfast": __version__, "command": "judge", "histories": histories})
    else:
        console = output()
        for path, history, verdicts in judged:
            put(console, Text(f"{path}: {len(history.operations)} operations", style="bold"))
            for line in verdict_lines(verdicts, width(console)):
                put(console, line)


def run_list(what: str, *, as_json: bool) -> ExitStatus:
    """List one shelf."""
    found = entries(Shelf(what))
    with reader_may_leave():
        if as_json:
            print_json({"holdfast": __version__, "command": "list", what: found})
        else:
            _print_entries(found)
    return ExitStatus.DONE


def _print_entries(found: Sequence[dict[str, Any]]) -> None:
    console = output()
    wide = max(len(entry["name"]) for entry in found)
    for entry in found:
        for row in fold(entry["summary"], width(console), first=f"{entry['name']:<{wide}}  "):
            put(console, row)
        for note in notes(entry):
            for row in fold(note, width(console), first=" " * (wide + 2)):
                put(console, Text(row, style="dim"))


def print_json(document: dict[str, Any]) -> None:
    """Print one document on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
