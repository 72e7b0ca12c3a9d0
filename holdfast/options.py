"""The options of the `holdfast` command: their names, their help, their shape."""

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

LARGEST_TIME_FACTOR = 300.0
Choice = TypeVar("Choice", bound=StrEnum)


class Format(StrEnum):
    """How to print."""

    TEXT = "text"
    JSON = "json"


class ShelfName(StrEnum):
    """What `holdfast list` lists."""

    STRATEGIES = "strategies"
    FAULTS = "faults"
    INVARIANTS = "invariants"
    SCENARIOS = "scenarios"


def _one_of(choices: type[Choice]) -> Callable[[str], Choice]:
    def parse(text: str) -> Choice:
        if text not in list(choices):
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}")
        return choices(text)

    return parse


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a whole number") from error


def _from_zero(text: str) -> int:
    number = _whole(text)
    if number < 0:
        raise typer.BadParameter(f"{text} is not 0 or more")
    return number


def _from_one(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise typer.BadParameter(f"{text} is not 1 or more")
    return number


def _seconds(text: str) -> float:
    return _above_0(text, "a number of seconds")


def _above_0(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < math.inf:
        raise typer.BadParameter(f"{text!r} is not {what} above 0")
    return number


def _time_factor(text: str) -> float:
    factor = _above_0(text, "a factor")
    if factor > LARGEST_TIME_FACTOR:
        raise typer.BadParameter(
            f"{text} is more than {LARGEST_TIME_FACTOR:g}: a call of 1 ms would be so long in the"
            " scenario's time that its bounds break by themselves"
        )
    return factor


def _folder(text: str | Path) -> Path:
    if not str(text).strip():  # the default comes as the path it is
        raise typer.BadParameter("'' is no folder; name one, such as holdfast-out")
    return Path(text)


ScenarioName = Annotated[str, typer.Argument(help="A bundled name or a TOML file.")]
Strategies = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Strategies; options follow a colon: db-cart:give_back=split,reclaim=cron-scan. "
        "Default: all that sell what the scenario sells.",
    ),
]
Faults = Annotated[
    str | None,
    typer.Option(metavar="X,Y", help="Fault plans; a+b joins two. Default: none,redis-kill."),
]
LiveFaults = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y",
        help="Fault plans; a+b joins two. Default: none,redis-kill; external: none,lost-replies.",
    ),
]
Modes = Annotated[
    str | None,
    typer.Option(
        metavar="P,Q",
        help="none, rdb, aof-always, aof-everysec, aof-no. Default: none,aof-everysec (without a "
        "fault: none only).",
    ),
]
Runs = Annotated[int, typer.Option(metavar="N", parser=_from_one, help="Runs a cell.")]
Seed = Annotated[
    int, typer.Option(metavar="S", parser=_whole, help="The seed that all seeds come from.")
]
Database = Annotated[
    str,
    typer.Option("--db", metavar="NAME", help="sqlite, postgres, or postgresql://... (a server)."),
]
IsolationLevel = Annotated[
    str,
    typer.Option(
        "--isolation",
        metavar="LEVEL",
        help="Of every transaction: read-committed; on PostgreSQL also repeatable-read, "
        "serializable.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option(metavar="J", parser=_from_one, help="Processes. Default: cores.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a scenario's key; repeatable."),
]
OutputFormat = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="|".join(Format),
        parser=_one_of(Format),
        help="text, or json: one document on standard output.",
    ),
]
Required = Annotated[
    list[str] | None,
    typer.Option(
        "--require",
        metavar="INVARIANT",
        help="Exit 1 if it is violated anywhere, 3 if it cannot be judged; repeatable.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", parser=_folder, help="Where results and failing histories are written."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", parser=_seconds, help="Start no run after so long."),
]
Stack = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where the servers come from: embedded (child processes), compose (Docker), external "
        "(yours, by URL).",
    ),
]
RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", metavar="URL", help="External: redis://...")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="External: postgresql://...")
]
ToxiproxyUrl = Annotated[
    str | None, typer.Option("--toxiproxy-url", metavar="URL", help="External: its API.")
]
AllowDestructive = Annotated[
    bool,
    typer.Option(
        "--allow-destructive",
        help="External: every run erases the Redis database and the schema `public` it is given.",
    ),
]
Agree = Annotated[
    bool,
    typer.Option("--agree", help="Simulate the same, with what was measured, and compare."),
]
AgreeDatabase = Annotated[
    str,
    typer.Option(
        "--agree-db",
        metavar="NAME",
        help="What --agree simulates on: sqlite, postgres, or postgresql://... (a server).",
    ),
]
TimeFactor = Annotated[
    float,
    typer.Option(
        "--time-factor",
        metavar="F",
        parser=_time_factor,
        help="How many of the scenario's seconds pass in one, at most 300; small is better.",
    ),
]
Trace = Annotated[Path, typer.Argument(help="A stored history, as reports name it.")]
Histories = Annotated[list[Path], typer.Argument(help="Stored histories.")]
Crossings = Annotated[bool, typer.Option("--crossings", help="Show every boundary crossing too.")]
Sweeps = Annotated[bool, typer.Option("--sweeps", help="Show sweeps that found nothing too.")]
OnlyBuyers = Annotated[
    str | None, typer.Option(metavar="I,J", help="Show these buyers' operations only.")
]
Limit = Annotated[
    int | None, typer.Option(metavar="N", parser=_from_one, help="Show so many lines.")
]
What = Annotated[
    ShelfName,
    typer.Argument(metavar="WHAT", parser=_one_of(ShelfName), help="What to list."),
]
Strategy = Annotated[
    str, typer.Argument(help="A strategy; options follow a colon: redis-counter:recheck=false.")
]
Buyers = Annotated[
    int | None,
    typer.Option(metavar="N", parser=_from_one, help="Buyers, 1 to 6. Default: one a visit, or 2."),
]
Capacity = Annotated[int, typer.Option(metavar="C", parser=_from_one, help="Tickets there are.")]
Visits = Annotated[
    str | None,
    typer.Option(
        metavar="V,W",
        help="What each buyer does once they hold: pay, release, leave, again; joined by + at the "
        "same time (pay+pay is a double click), by > in turn. Default: all pay.",
    ),
]
Happenings = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="X,Y",
        help="What may happen once, anywhere: redis-kill, redis-power-loss, lost-reply, app-kill, "
        "db-restart, expire, sweep; X:2 for twice. Default: nothing.",
    ),
]
OneMode = Annotated[
    str | None,
    typer.Option("--persistence", metavar="P", help="none, rdb, aof-always, ... Default: none."),
]
SearchName = Annotated[
    str,
    typer.Option(
        "--search", metavar="S", help="auto, exhaustive, pct or random. auto samples what is left."
    ),
]
SearchBudget = Annotated[
    float,
    typer.Option("--budget", metavar="SECONDS", parser=_seconds, help="Search for so long."),
]
Preemptions = Annotated[
    int | None,
    typer.Option(metavar="N", parser=_from_zero, help="Search schedules with so few preemptions."),
]
Depth = Annotated[
    int | None, typer.Option(metavar="N", parser=_from_one, help="Search so many moves deep.")
]
Twice = Annotated[bool, typer.Option("--twice", help="Execute every schedule twice and compare.")]
