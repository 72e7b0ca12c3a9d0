"""Shows a replay operation by operation, with the faults in their place, then the verdicts."""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter

from rich.console import Console
from rich.text import Text

from holdfast.matrix import STYLES
from holdfast.replay import Replay
from holdfast.stories import idle
from holdfast.terminal import fold, put, width
from holdfast.wording import answered, asked, at, fault_begins, fault_ends
from model.history import FaultSpan, Operation
from model.spec import Crossing, RunSpec
from properties.verdicts import Verdict

FAULT = "magenta"
SHOWN_VIOLATIONS = 3


def print_replay(
    replay: Replay,
    console: Console,
    *,
    actors: frozenset[str] | None = None,
    limit: int | None = None,
    crossings: bool = False,
    sweeps: bool = False,
) -> None:
    """Print the run that was just replayed.

    `actors`, when given, leaves everybody else's lines out; `limit` ends after so many lines;
    `crossings` shows every crossing of the boundary too, `sweeps` also sweeps that found nothing.
    The verdicts are always on all of the run.
    """
    for line in _heading(replay):
        put(console, line)
    every = [o for o in replay.history.operations if actors is None or o.actor in actors]
    told = every if sweeps or crossings else [o for o in every if not idle(o)]
    timed = _timed(replay, told, actors, crossings=crossings)
    for line in timed[:limit]:
        put(console, line)
    if limit is not None and len(timed) > limit:
        put(console, Text(f"... {len(timed) - limit} more lines (--limit {limit})", "dim"))
    if len(told) < len(every):
        text = f"left out: {len(every) - len(told)} sweeps that found nothing (--sweeps shows them)"
        put(console, Text(text, "dim"))
    put(console)
    for line in verdict_lines(replay.verdicts, width(console)):
        put(console, line)


def _heading(replay: Replay) -> Iterator[Text | str]:
    spec = replay.spec
    yield Text(f"{describe(spec)}", style="bold")
    yield f"history {replay.path}"
    if replay.difference:
        yield Text(f"NOT REPRODUCED: {replay.difference}", style="bold red")
    else:
        yield Text(f"reproduced exactly: trace hash {replay.trace_hash}", style="green")
    yield ""


def describe(spec: RunSpec) -> str:
    """Say in one line what ran."""
    options = ",".join(f"{key}={value}" for key, value in spec.options.items())
    facts = [
        f"{spec.strategy}:{options}" if options else spec.strategy,
        f"fault {spec.fault}",
        f"persistence {spec.persistence.value}" if spec.persistence else "no Redis",
        f"scenario {spec.scenario.name}",
        f"capacity {spec.scenario.sale.capacity}",
        f"seed {spec.seed}",
    ]
    if spec.only_buyers is not None:
        facts.append(f"only buyers {', '.join(map(str, sorted(spec.only_buyers)))}")
    return ", ".join(facts)


def _timed(
    replay: Replay,
    operations: Iterable[Operation],
    actors: frozenset[str] | None,
    *,
    crossings: bool,
) -> list[Text]:
    """Put everything to be shown in the order of time."""
    lines = [*_faults(replay.history.faults), *_operations(operations)]
    if crossings:
        lines += _crossings(
            each for each in replay.crossings if actors is None or each.actor in actors
        )
    return [line for _, line in sorted(lines, key=itemgetter(0))]


def _faults(spans: Iterable[FaultSpan]) -> Iterator[tuple[float, Text]]:
    for span in spans:
        yield span.started_s, _line(span.started_s, "***", fault_begins(span), FAULT)
        if span.ended_s is not None and span.ended_s > span.started_s:
            yield span.ended_s, _line(span.ended_s, "***", fault_ends(span), FAULT)


def _operations(operations: Iterable[Operation]) -> Iterator[tuple[float, Text]]:
    """One line an operation, at the time it was invoked; how long it took stands beside it."""
    for op in operations:
        took = "" if op.completed_s is None else f" ({op.completed_s - op.invoked_s:.4f} s)"
        text = f"{asked(op)}{took}: {answered(op)}"
        if op.hold_id:
            text += f" [{op.hold_id}]"
        yield op.invoked_s, _line(op.invoked_s, op.actor, text)


def _crossings(crossings: Iterable[Crossing]) -> Iterator[tuple[float, Text]]:
    """One line a crossing, when it was over; `request` or `reply` says on which leg it failed."""
    for each in crossings:
        if not each.label:
            continue  # the end of an operation, or a fault: shown already
        failed = "" if each.outcome in {"", "ok"} else f": {each.leg} {each.outcome}"
        yield (
            each.at_s,
            _line(each.at_s, each.actor, f"  {each.target} {each.label}{failed}", "dim"),
        )


def _line(at_s: float, actor: str, text: str, style: str = "") -> Text:
    return Text(f"{at(at_s):>12}  {actor:<14}  {text}", style=style)


def verdict_lines(verdicts: Mapping[str, Verdict], columns: int) -> Iterator[Text]:
    """Yield the verdicts on one history, with their first violations, within so many columns."""
    wide = max(map(len, verdicts), default=0)
    under = " " * (wide + 2)
    for name, verdict in verdicts.items():
        status = verdict.status.value.upper()
        reason = f": {verdict.reason}" if verdict.reason else ""
        rows = fold(f"{status}  {verdict.examined} examined{reason}", columns, f"{name:<{wide}}  ")
        first = Text(rows[0])
        first.stylize(STYLES[verdict.status], len(under), len(under) + len(status))
        yield from (first, *map(Text, rows[1:]))
        for violation in verdict.violations[:SHOWN_VIOLATIONS]:
            yield from map(Text, fold(violation.message, columns, under))
        more = len(verdict.violations) - SHOWN_VIOLATIONS
        if more > 0:
            yield Text(f"{under}and {more} more", style="dim")
