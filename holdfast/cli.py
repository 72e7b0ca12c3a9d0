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
    Agree,
    AgreeDatabase,
    AllowDestructive,
    Budget,
    Buyers,
    Capacity,
    Crossings,
    Database,
    DatabaseUrl,
    Depth,
    Faults,
    Format,
    Happenings,
    Histories,
    IsolationLevel,
    Jobs,
    Limit,
    LiveFaults,
    Modes,
    OneMode,
    OnlyBuyers,
    Out,
    OutputFormat,
    Preemptions,
    RedisUrl,
    Required,
    Runs,
    ScenarioName,
    SearchBudget,
    SearchName,
    Seed,
    Settings,
    Stack,
    Strategies,
    Strategy,
    Sweeps,
    TimeFactor,
    ToxiproxyUrl,
    Trace,
    Twice,
    Visits,
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
    interrupts.wait_for_the_command()
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
def explore(  # noqa: PLR0913 - a command has as many parameters as options
    strategy: Strategy,
    *,
    buyers: Buyers = None,
    capacity: Capacity = 1,
    visits: Visits = None,
    faults: Happenings = None,
    persistence: OneMode = None,
    db: Database = "sqlite",
    isolation: IsolationLevel = "read-committed",
    search: SearchName = "auto",
    budget: SearchBudget = 60.0,
    seed: Seed = 1,
    preemptions: Preemptions = None,
    depth: Depth = None,
    twice: Twice = False,
    jobs: Jobs = None,
    output: OutputFormat = Format.TEXT,
    require: Required = None,
    out: Out = Path("holdfast-out"),
) -> None:
    """Search every schedule of a small world, or find the shortest story of how it breaks."""
    from holdfast.commands import answer
    from holdfast.errors import ExitStatus
    from holdfast.explore import NOTHING_YET, ExploreChoices, run_explore

    choices = ExploreChoices(
        strategy=strategy,
        buyers=buyers,
        capacity=capacity,
        visits=visits,
        faults=faults,
        persistence=persistence,
        database=db,
        isolation=isolation,
        search=search,
        budget_s=budget,
        seed=seed,
        preemptions=preemptions,
        depth=depth,
        twice=twice,
        jobs=jobs,
        as_json=output is Format.JSON,
        required=require or [],
        out=out,
    )
    answer(lambda: run_explore(choices), interrupted=ExitStatus.INCONCLUSIVE, too_early=NOTHING_YET)


@app.command()
def live(  # noqa: PLR0913 - a command has as many parameters as options
    scenario: ScenarioName = "on-sale",
    *,
    stack: Stack = "embedded",
    redis_url: RedisUrl = None,
    database_url: DatabaseUrl = None,
    toxiproxy_url: ToxiproxyUrl = None,
    allow_destructive: AllowDestructive = False,
    agree: Agree = False,
    agree_db: AgreeDatabase = "sqlite",
    time_factor: TimeFactor = 30.0,
    strategies: Strategies = None,
    faults: LiveFaults = None,
    persistence: Modes = None,
    runs: Runs = 3,
    seed: Seed = 1,
    settings: Settings = None,
    output: OutputFormat = Format.TEXT,
    require: Required = None,
    out: Out = Path("holdfast-out"),
    budget: Budget = None,
) -> None:
    """Hold the same sales on real Redis and PostgreSQL, break them, and judge what happened."""
    from holdfast.commands import CompareChoices, answer
    from holdfast.live.choices import LiveChoices, StackChoice, run_live

    options = CompareChoices(
        scenario=scenario,
        strategies=strategies,
        faults=faults,
        persistence=persistence,
        runs=runs,
        seed=seed,
        database="postgres",
        jobs=1,
        settings=settings or [],
        as_json=output is Format.JSON,
        required=require or [],
        out=out,
        budget_s=budget,
    )
    servers = StackChoice(stack, redis_url, database_url, toxiproxy_url, allow_destructive)
    choices = LiveChoices(
        compare=options, stack=servers, factor=time_factor, agree=agree, agree_database=agree_db
    )
    answer(lambda: run_live(choices))


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
