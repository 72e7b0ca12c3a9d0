"""The `holdfast` command: reads options, calls the module that does the work, sets the exit status.

Exit status: 0 done (every `--require` holds), 1 a required invariant is violated, 2 the command or
the scenario is wrong, 3 inconclusive, 130 interrupted (Ctrl-C; what was finished is printed).
Heavy imports wait until a command runs, so that `--help` and mistakes answer at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from holdfast import __version__, interrupts
from holdfast.options import (
    Budget,
    Crossings,
    Database,
    Faults,
    Format,
    Histories,
    Jobs,
    Limit,
    Modes,
    OnlyBuyers,
    Out,
    OutputFormat,
    Required,
    Runs,
    ScenarioName,
    Seed,
    Settings,
    Strategies,
    Sweeps,
    Trace,
    What,
)

app = typer.Typer(
    name="holdfast",
    help="Tells you whether your ticket holds hold: strategies, faults, verdicts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    interrupts.listen()
    app()


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if asked:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


@app.callback()
def _holdfast(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before the command."""


@app.command()
def compare(  # noqa: PLR0913 - a command has as many parameters as options
    scenario: ScenarioName = "on-sale",
    *,
    strategies: Strategies = None,
    faults: Faults = None,
    persistence: Modes = None,
    runs: Runs = 20,
    seed: Seed = 1,
    db: Database = "sqlite",
    jobs: Jobs = None,
    settings: Settings = None,
    output: OutputFormat = Format.TEXT,
    require: Required = None,
    out: Out = Path("holdfast-out"),
    budget: Budget = None,
) -> None:
    """Run strategies under faults and judge them: a matrix, and a story for each violation."""
    from holdfast.commands import CompareChoices, answer, run_compare

    choices = CompareChoices(
        scenario=scenario,
        strategies=strategies,
        faults=faults,
        persistence=persistence,
        runs=runs,
        seed=seed,
        database=db,
        jobs=jobs,
        settings=settings or [],
        as_json=output is Format.JSON,
        required=require or [],
        out=out,
        budget_s=budget,
    )
    answer(lambda: run_compare(choices))


@app.command()
def replay(
    trace: Trace,
    *,
    crossings: Crossings = False,
    sweeps: Sweeps = False,
    only_buyers: OnlyBuyers = None,
    limit: Limit = None,
) -> None:
    """Run a stored history again, exactly, and show it operation by operation."""
    from holdfast.commands import answer, run_replay

    answer(
        lambda: run_replay(
            trace, crossings=crossings, sweeps=sweeps, only_buyers=only_buyers, limit=limit
        )
    )


@app.command()
def judge(
    histories: Histories, *, output: OutputFormat = Format.TEXT, require: Required = None
) -> None:
    """Judge stored histories again, without running anything."""
    from holdfast.commands import answer, run_judge

    answer(lambda: run_judge(histories, required=require or [], as_json=output is Format.JSON))


@app.command(name="list")
def list_(what: What, *, output: OutputFormat = Format.TEXT) -> None:
    """List strategies, faults, invariants or scenarios."""
    from holdfast.commands import answer, run_list

    answer(lambda: run_list(what.value, as_json=output is Format.JSON))


@app.command()
def doctor(*, output: OutputFormat = Format.TEXT) -> None:
    """Say what is installed for real servers, what it enables, and how to get the rest."""
    from holdfast.commands import answer
    from holdfast.doctor import run_doctor

    answer(lambda: run_doctor(as_json=output is Format.JSON))
