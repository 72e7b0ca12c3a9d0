"""Counterexamples as files that outlive a change of the code, and their replay.

A trace is one JSON document: the world, every choice, and what came of it. It is replayed by making
the same choices again; where the code has changed, the first turn that went another way is named.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model.database import patiently
from model.exploring.small_world import world_from_dict
from model.exploring.turn import Turn
from model.history import History
from properties.exploration.execution import Executions, NotDeterministic, first_divergence
from properties.exploration.shrinking import Counterexample
from properties.judge import INVARIANTS, judge
from properties.verdicts import Verdict, Violation

KIND = "exploration"
FORMAT = 1


class TraceError(ValueError):
    """A file that is no trace, is damaged, or is of another format; the message says the repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A stored counterexample; `lines` are its turns as they went when it was found."""

    text: str
    world: Any
    invariant: str
    message: str
    schedule: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraced:
    """A trace and its second execution; `divergence` is None when it went the same way."""

    trace: Trace
    turns: tuple[Turn, ...]
    history: History | None
    verdicts: Mapping[str, Verdict]
    divergence: NotDeterministic | None
    same_bytes: bool

    @property
    def counterexample(self) -> Counterexample | None:
        """What was executed, if it violates the trace's invariant."""
        if self.history is None:
            return None
        violations = INVARIANTS[self.trace.invariant].check(self.history).violations
        if not violations:
            return None
        return Counterexample(
            world=self.trace.world,
            invariant=self.trace.invariant,
            schedule=tuple(turn.choice for turn in self.turns),
            turns=self.turns,
            history=self.history,
            violation=violations[0],
        )


def trace_text(found: Counterexample) -> str:
    """A counterexample as the text of its file."""
    return _text(found.world.as_dict(), found.invariant, found.violation, found.turns)


def _text(
    world: dict[str, Any], invariant: str, violation: Violation, turns: tuple[Turn, ...]
) -> str:
    head = {
        "holdfast": _version(),
        "kind": KIND,
        "format": FORMAT,
        "world": world,
        "invariant": invariant,
        "message": violation.message,
        "count": len(turns),
    }
    rows = [
        json.dumps([turn.choice, f"{turn.crossing} {turn.detail}".rstrip(), turn.result])
        for turn in turns
    ]
    body = json.dumps(head, indent=1)[:-2]
    return body + ',\n "turns": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"


def _version() -> str:
    try:
        return version("holdfast")
    except PackageNotFoundError:
        return "unknown"


def is_trace(path: Path) -> bool:
    """Whether a file looks like a trace of this module (histories are another format)."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(200)
    except OSError:
        return False
    return start.startswith("{") and re.search(rf'"kind":\s*"{KIND}"', start) is not None


def read_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        TraceError: it cannot be used; says what is wrong and what to do.
        WorldError, UnknownStrategy, BadOption: its world is not one of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise TraceError(
            f"{path}: is cut off or damaged ({error}); explore again to make a new trace"
        ) from error
    if not isinstance(data, dict) or data.get("kind") != KIND:
        raise TraceError(f'{path}: is not a trace: it must be a JSON object of kind "{KIND}"')
    if data.get("format") != FORMAT:
        raise TraceError(
            f"{path}: is of format {data.get('format')!r}, written by Holdfast"
            f" {data.get('holdfast')}; this Holdfast reads format {FORMAT}: replay it with that"
            " version, or explore again"
        )
    rows = _rows(path, data)
    invariant = data.get("invariant")
    if not isinstance(invariant, str) or invariant not in INVARIANTS:
        raise TraceError(
            f"{path}: invariant {invariant!r} is unknown (allowed: {', '.join(INVARIANTS)})"
        )
    world = data.get("world")
    if not isinstance(world, dict):
        raise TraceError(f"{path}: key 'world' must be an object, it is {world!r}")
    return Trace(
        text=text,
        world=world_from_dict(world),
        invariant=invariant,
        message=str(data.get("message", "")),
        schedule=tuple(row[0] for row in rows),
        lines=tuple(_line(*row) for row in rows),
    )


def _rows(path: Path, data: dict[str, Any]) -> list[list[str]]:
    """The turns of a trace, all of them.

    Raises:
        TraceError: they are not what was written.
    """
    rows = data.get("turns")
    if not isinstance(rows, list) or not all(
        isinstance(row, list) and len(row) == 3 and all(isinstance(each, str) for each in row)  # noqa: PLR2004
        for row in rows
    ):
        raise TraceError(f"{path}: key 'turns' must be a list of [choice, crossing, result]")
    if data.get("count") != len(rows):
        raise TraceError(
            f"{path}: {len(rows)} turns where {data.get('count')!r} were written: turns are"
            " missing; explore again to make a new trace"
        )
    return rows


def _line(choice: str, crossing: str, result: str) -> str:
    return f"{choice} | {crossing} | {result}"


def line_of(turn: Turn) -> str:
    """A turn as replays compare it."""
    return _line(turn.choice, f"{turn.crossing} {turn.detail}".rstrip(), turn.result)


def retrace(trace: Trace) -> Retraced:
    """Make a trace's choices again, as far as they are possible, and judge what came of it."""
    executions = Executions(trace.world, reduce=False)
    turns, history, divergence = patiently(
        lambda: _made_again(executions, trace), executions.put_away
    )
    executions.close()
    verdicts = {} if history is None else judge(history)
    result = Retraced(
        trace=trace,
        turns=turns,
        history=history,
        verdicts=verdicts,
        divergence=divergence,
        same_bytes=False,
    )
    found = result.counterexample
    same = found is not None and trace_text(found) == trace.text
    return replace(result, same_bytes=same)


def _made_again(
    executions: Executions, trace: Trace
) -> tuple[tuple[Turn, ...], History | None, NotDeterministic | None]:
    world = executions.fresh()
    divergence = None
    for number, (choice, line) in enumerate(zip(trace.schedule, trace.lines, strict=True), start=1):
        possible = world.choices()
        if choice not in possible:
            now = f"(possible: {', '.join(possible) or 'nothing: everybody has ended'})"
            divergence = NotDeterministic(number, line, now)
            break
        world.take(choice)
    turns = tuple(world.turns)
    if divergence is None:
        divergence = first_divergence(trace.lines, [line_of(turn) for turn in turns])
    history = world.settle() if world.over and not world.crashed else None
    world.close()
    return turns, history, divergence
