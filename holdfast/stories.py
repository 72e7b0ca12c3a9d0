"""One story per violated invariant: the smallest failing run found, told in a few lines.

A story names only the operations that matter and the faults that struck, in the order of time, and
ends with what is wrong and with the command that replays it.
"""

import hashlib
import json
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.cells import CellResult
from holdfast.errors import WRONG_INPUT
from holdfast.shrink import Failure, buyers_of, shrink
from holdfast.wording import answered, asked, fault_begins, fault_ends
from model.history import FaultSpan, History, Operation, Outcome
from model.history_file import read_history, write_history
from model.spec import RunSpec
from model.spec_codec import spec_to_meta
from properties.judge import INVARIANTS
from properties.verdicts import Status, Violation
from reservation.catalogue import find

FEW_OPERATIONS = 12  # a story of the full size tells only so many
ANSWERED_AT_ONCE_S = 0.1  # a call that took longer gets a line for its beginning too


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One thing that happened; `actor` is empty for a fault."""

    at_s: float
    actor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryTask:
    """A story to be found: for one invariant, in the cell (by its index) that breaks it best.

    `spec` and `seen` are the cell's first violating run and where its history is stored; the
    story's own history goes into `folder`.
    """

    invariant: str
    cell: int
    spec: RunSpec
    seen: Path | None
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A failing run, told.

    `small` says whether a smaller world than the scenario's (`from_buyers` and `from_capacity`) was
    found.
    """

    invariant: str
    cell: int
    seed: int
    buyers: int
    capacity: int
    from_buyers: int
    from_capacity: int
    small: bool
    lines: tuple[StoryLine, ...]
    left_out: int
    conclusion: str
    path: Path


def choose(results: Sequence[CellResult]) -> list[tuple[str, int]]:
    """Pick for each violated invariant the cell to tell of (its index).

    A strategy that is not known to be bad says more than a positive control; then the cell with the
    largest share of violated runs; then the first.
    """
    chosen = []
    for invariant in INVARIANTS:
        violated = [
            index
            for index, result in enumerate(results)
            if result.verdicts[invariant].status is Status.VIOLATED
        ]
        if violated:
            chosen.append((invariant, min(violated, key=lambda i: _rank(results[i], invariant, i))))
    return chosen


def _rank(result: CellResult, invariant: str, index: int) -> tuple[bool, float, int]:
    known_bad = find(result.cell.strategy.name).known_bad is not None
    return known_bad, -(result.verdicts[invariant].rate or 0.0), index


def find_story(task: StoryTask) -> Story | str:
    """Shrink, store and tell; return what went wrong when the code under test broke on the way."""
    try:
        return _find(task)
    except WRONG_INPUT as error:
        return str(error)
    except Exception:  # noqa: BLE001 - as in `holdfast.judged`: a crash is told, not an end
        return traceback.format_exc()


def tell_stored(task: StoryTask) -> Story | str:
    """Tell the stored run itself, which cannot be run again; returns why, when there is none."""
    whole = _stored_failure(task)
    if whole is None or task.seen is None:
        return "no history of it is stored"
    return tell(task, whole, task.seen, small=False)


def _find(task: StoryTask) -> Story | str:
    whole = _stored_failure(task)
    failure = shrink(task.spec, task.invariant, whole)
    if failure is not None:
        path = task.folder / f"{task.invariant}-{_digest(failure.spec)}.jsonl"
        write_history(failure.history, path)
        return tell(task, failure, path, small=True)
    if whole is None or task.seen is None:
        return "no small failing run was found, and no history is stored"
    return tell(task, whole, task.seen, small=False)


def _digest(spec: RunSpec) -> str:
    """Name a run by what decides it, so that another comparison's story has another name."""
    text = json.dumps(spec_to_meta(spec), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _stored_failure(task: StoryTask) -> Failure | None:
    if task.seen is None:
        return None
    history = read_history(task.seen)
    violations = INVARIANTS[task.invariant].check(history).violations
    if not violations:
        return None
    return Failure(spec=task.spec, history=history, violation=violations[0])


def tell(task: StoryTask, failure: Failure, path: Path, *, small: bool) -> Story:
    """Tell a failure."""
    spec, history = failure.spec, failure.history
    operations = named_operations(history, failure.violation)
    told = operations[-FEW_OPERATIONS:]
    only = spec.only_buyers
    return Story(
        invariant=task.invariant,
        cell=task.cell,
        seed=spec.seed,
        buyers=buyers_of(spec.scenario) if only is None else len(only),
        capacity=spec.scenario.sale.capacity,
        from_buyers=buyers_of(task.spec.scenario),
        from_capacity=task.spec.scenario.sale.capacity,
        small=small,
        lines=tuple(tell_lines(told, history.faults, at_once_s=_at_once_s(history))),
        left_out=len(operations) - len(told),
        conclusion=failure.violation.message,
        path=path,
    )


def named_operations(history: History, violation: Violation) -> list[Operation]:
    """Return the operations a violation names; if it names none, those of its actors, or all."""
    ids = set(violation.op_ids)
    named = [op for op in history.operations if op.op_id in ids]
    if not named:
        named = [op for op in history.operations if op.actor in violation.actors]
    told = named or [op for op in history.operations if not idle(op)]
    return sorted(told, key=lambda op: (op.invoked_s, op.op_id))


def idle(operation: Operation) -> bool:
    """Say whether this is a sweep that found nothing to do: most of them, and never a story."""
    return operation.kind == "sweep" and operation.outcome is Outcome.OK and not operation.returned


def _at_once_s(history: History) -> float:
    """A live history is in the scenario's seconds, in which machines seem slower."""
    return ANSWERED_AT_ONCE_S * float(history.meta.get("time_factor", 1.0))


def tell_lines(
    operations: Sequence[Operation],
    faults: Sequence[FaultSpan],
    *,
    at_once_s: float = ANSWERED_AT_ONCE_S,
) -> list[StoryLine]:
    """Put operations and faults in the order of time; a long call has a beginning and an end."""
    lines = [StoryLine(at_s=span.started_s, actor="", text=fault_begins(span)) for span in faults]
    lines += [
        StoryLine(at_s=span.ended_s, actor="", text=fault_ends(span))
        for span in faults
        if span.ended_s is not None and span.ended_s > span.started_s
    ]
    for op in operations:
        end_s = op.invoked_s if op.completed_s is None else op.completed_s
        if op.completed_s is None or end_s - op.invoked_s <= at_once_s:
            lines.append(StoryLine(at_s=end_s, actor=op.actor, text=f"{asked(op)}: {answered(op)}"))
            continue
        lines.append(StoryLine(at_s=op.invoked_s, actor=op.actor, text=f"{asked(op)} ..."))
        lines.append(StoryLine(at_s=end_s, actor=op.actor, text=f"... {asked(op)}: {answered(op)}"))
    return sorted(lines, key=lambda line: line.at_s)
