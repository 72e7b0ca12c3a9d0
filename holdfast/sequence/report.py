"""What a search found, printed for people or as JSON."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from holdfast import __version__
from holdfast.choices import StrategyChoice
from holdfast.matrix import STYLES
from holdfast.sequence.diagrams import conclusion
from holdfast.sequence.table import legend, table
from holdfast.sequence.telling import story
from holdfast.terminal import fold, output, put, width
from model.database import shown
from model.exploring.small_world import READ_COMMITTED
from properties.exploration.finding import ORDERED, Claim, Exploration
from properties.exploration.shrinking import Counterexample
from properties.telling import counted
from properties.verdicts import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A counterexample with its files."""

    found: Counterexample
    trace: Path

    @property
    def replay(self) -> str:
        """The command that executes it again."""
        return f"holdfast replay {shlex.quote(str(self.trace))}"


def as_dict(found: Exploration, stories: Sequence[Told]) -> dict[str, Any]:
    """The answer of `--format json`."""
    first = stories[0] if stories else None
    return {
        "holdfast": __version__,
        "command": "explore",
        "strategy": found.world.strategy,
        "world": found.world.as_dict(),
        "search": found.search,
        "status": found.status.value,
        "complete": found.complete,
        "cut": found.cut or None,
        "histories": found.histories,
        "schedules": found.schedules,
        "states": found.states,
        "final_states": len(found.finals),
        "depth": found.depth,
        "seconds": round(found.seconds, 3),
        "invariants": _invariants(found),
        "sometimes": sorted(found.seen),
        "crash": found.crash or None,
        "story": [] if first is None else story(first.found),
        "replay": None if first is None else first.replay,
        "counterexamples": [
            {
                "invariant": each.found.invariant,
                "message": each.found.violation.message,
                "story": story(each.found),
                "turns": len(each.found.turns),
                "replay": each.replay,
            }
            for each in stories
        ],
    }


def _invariants(found: Exploration) -> dict[str, Mapping[str, Any]]:
    return {
        name: {
            "status": status.value,
            "examined": found.claims[name].examined,
            "final_states_violated": found.claims[name].violated,
            "found_after": found.breaches[name].found_after if name in found.breaches else None,
            "reason": _reason(found, name, status),
        }
        for name, status in found.statuses().items()
    }


def _reason(found: Exploration, name: str, status: Status) -> str:
    if status is not Status.INCONCLUSIVE:
        return ""
    claim = found.claims[name]
    if claim.undecided:
        return claim.undecided
    if claim.held and name in ORDERED and not found.histories:
        return ORDERED[name]
    if claim.held and found.cut:
        return f"no violation in what was searched, but it was cut: {found.cut}"
    return claim.open_reason or f"nothing to judge was reached: {found.cut}"


def print_exploration(found: Exploration, stories: Sequence[Told]) -> None:
    """Print what was covered, every verdict, and the counterexamples."""
    console = output()
    columns = width(console)
    for line in _heading(found, columns):
        put(console, line)
    put(console)
    wide = max(map(len, found.claims))
    for name, status in found.statuses().items():
        claim = found.claims[name]
        first, *more = fold(
            f"{status.value.upper()}  {_detail(found, name, status, claim)}",
            columns - wide - 2,
        )
        word = Text(first)
        word.stylize(STYLES[status], 0, len(status.value))
        put(console, Text.assemble(f"{name:<{wide}}  ", word))
        for row in more:
            put(console, f"{'':<{wide}}  {row}")
    never = [name for name in ("hold-acknowledged", "order-made") if name not in found.seen]
    for line in fold(", ".join(sorted(found.seen)) or "nothing", columns, "reached: "):
        put(console, line)
    if never:
        put(console, f"never reached: {', '.join(never)}")
    before: dict[tuple[str, ...], str] = {}
    for told in stories:
        put(console)
        above = before.setdefault(tuple(_events(told.found, columns)), told.found.invariant)
        if above == told.found.invariant:
            print_counterexample(told.found, console)
        else:
            _print_conclusion(told.found, console)
            put(console, f"  told above, under {above}")
        put(console, told.replay)


def _detail(found: Exploration, name: str, status: Status, claim: Claim) -> str:
    if status is Status.VIOLATED:
        after = found.breaches[name].found_after
        where = f"in {claim.violated} of {counted(len(found.finals), 'final state')}"
        return f"{where}, first after {counted(after, 'schedule')}"
    if status is Status.HOLDS:
        return f"{claim.examined} examined"
    return f"{_reason(found, name, status)}"


def _heading(found: Exploration, columns: int) -> list[Text | str]:
    small = found.world
    strikes = ", ".join(f"{n} {name}" for name, n in small.happenings.items()) or "no faults"
    kept = f", persistence {small.persistence.value}" if small.persistence else ""
    visits = ", ".join(small.visits)
    level = "" if small.isolation == READ_COMMITTED else f" ({small.isolation})"
    title = (
        f"{StrategyChoice(name=small.strategy, options=small.options).title}:"
        f" {counted(len(small.visits), 'buyer')} ({visits}), capacity {small.capacity},"
        f" {strikes}{kept}, database {shown(small.database)}{level}"
    )
    covered = (
        f"{found.search} search, {'COMPLETE' if found.complete else 'CUT'}:"
        f" {counted(found.schedules, 'schedule')}, {counted(found.states, 'state')}"
        f"{' (each order of calls is its own)' if found.histories else ''},"
        f" {counted(len(found.finals), 'final state')},"
        f" depth {found.depth}"
    )
    lines: list[Text | str] = [Text(line, style="bold") for line in fold(title, columns)]
    lines += fold(covered, columns)
    if found.cut:
        lines += fold(f"cut: {found.cut}; what follows is no proof", columns)
    return lines


def print_counterexample(found: Counterexample, console: Any) -> None:
    """Print what is wrong, the turns that matter, and the table."""
    _print_conclusion(found, console)
    for line in _events(found, width(console)):
        put(console, line)


def _print_conclusion(found: Counterexample, console: Any) -> None:
    for line in fold(conclusion(found), width(console)):
        put(console, Text(line, style=STYLES[Status.VIOLATED]))


def _events(found: Counterexample, columns: int) -> list[str]:
    told = fold("; ".join(story(found)), columns, "  ")
    return [*told, *legend(found, columns), "", *table(found, columns)]
