"""Run a stored history's description again, compare, and show it operation by operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import WrongCommand
from model.history import History, Operation
from model.history_file import read_history
from model.run import simulate
from model.spec import Crossing, RunSpec
from model.spec_codec import spec_from_meta
from properties.judge import judge
from properties.verdicts import Verdict

OTHER_CODE = "this code, or a library under it, is not the one that wrote the history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A stored history and its second run.

    `difference` is empty when the run was reproduced exactly; else it says where it diverged.
    `problems` are what could not be read of the stored file. The verdicts are those on the new run.
    """

    path: Path
    spec: RunSpec
    stored: History
    history: History
    crossings: tuple[Crossing, ...]
    trace_hash: str
    difference: str
    verdicts: Mapping[str, Verdict]

    @property
    def problems(self) -> list[str]:
        """What is damaged in the stored file."""
        return self.stored.problems


def replay(path: Path) -> Replay:
    """Replay one stored history.

    Raises:
        HistoryError: the file is no history. WrongCommand: it is one of a live run.
        SpecError: it does not say how to run it again.
        UnknownStrategy, BadOption, UnknownFault, ...: it asks for what this version does not have.
    """
    stored = read_history(path)
    if stored.meta.get("arm") == "live":
        raise WrongCommand(
            f"{path}: is the history of a live run, and those cannot be run again; `holdfast judge`"
            " judges it"
        )
    spec = spec_from_meta(stored.meta)
    result = simulate(spec, record_crossings=True)
    return Replay(
        path=path,
        spec=spec,
        stored=stored,
        history=result.history,
        crossings=tuple(result.crossings),
        trace_hash=result.trace_hash,
        difference=_difference(stored, result.history, result.trace_hash),
        verdicts=judge(result.history),
    )


def _difference(stored: History, again: History, trace_hash: str) -> str:
    """Say where the second run left the stored one; empty when it did not."""
    expected = stored.meta.get("trace_hash")
    if expected == trace_hash:
        return "" if stored.problems else _first_difference(stored, again)
    where = _first_difference(stored, again) or "all operations and faults are alike"
    told = expected if isinstance(expected, str) else "none"
    return f"stored trace hash {told}, this one is {trace_hash}: {where}; {OTHER_CODE}"


def _first_difference(stored: History, again: History) -> str:
    """Name the first operation or fault that is not the same, in the order of invocation."""
    if stored.problems:
        known = {op.op_id: op for op in stored.operations}
        pairs = [(known.get(op.op_id, op), op) for op in again.operations]
    else:
        pairs = list(zip(stored.operations, again.operations, strict=False))
    for before, now in pairs:
        if before != now:
            return f"diverged at operation {before.op_id}: stored {_told(before)}; now {_told(now)}"
    if stored.problems:
        return ""
    if len(stored.operations) != len(again.operations):
        return f"stored {len(stored.operations)} operations, now {len(again.operations)}"
    if stored.faults != again.faults:
        return "diverged in the faults that struck"
    return "" if stored.audit == again.audit else "diverged in the final audit"


def _told(op: Operation) -> str:
    end = "-" if op.completed_s is None else f"{op.completed_s:.6f}"
    return f"{op.actor} {op.kind} {op.invoked_s:.6f} to {end} {op.outcome} {op.reason}".rstrip()
