"""Histories on disk: JSON Lines, one record a line, readable when cut.

The first line says what the file is (`{"holdfast": "0.1.0", "kind": "history", ...}`) and carries
the run's meta data; then come the faults, the operations and the audit, each under the key `record`
with the fields of its dataclass in `model.history`, those at their default left out; the last line
counts them, so that a file cut between two lines is noticed too. Equal histories give equal bytes,
and floats come back exactly (Python writes the shortest decimals that read back as the same float).
"""

import json
import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from model.history import Audit, FaultSpan, History, Operation
from model.history_records import (
    BadRecord,
    as_dict,
    as_integer,
    as_list_of,
    as_number,
    as_object,
    build,
    shown,
    shown_raw,
)

FORMAT = 1
MOST_PROBLEMS = 20  # more are counted, not told one by one

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class HistoryError(Exception):
    """A file is no history that this Holdfast can read, or cannot be read or written at all."""


def write_history(history: History, path: Path) -> None:
    """Write a history as JSON Lines; a reader sees the whole file or none of it.

    It is written beside its place and then renamed. `history.meta` must be plain JSON data;
    `history.problems` is not kept, because it speaks of another file's lines.

    Raises:
        HistoryError: the file cannot be written (its folder is missing, the disk is full).
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(line + "\n" for line in _lines(history))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise HistoryError(f"{path}: cannot be written: {error.strerror}") from error


def read_history(path: Path) -> History:
    """Read a history, also a damaged one: what cannot be read is named in `history.problems`.

    A problem names its line. A cut file keeps everything before the cut, and a damaged line costs
    only itself.

    Raises:
        HistoryError: the file cannot be opened, is no history, or is of a newer format.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error.strerror}") from error
    first, _, rest = raw.partition(b"\n")
    history = _read_first(path, first)
    _read_records(history, rest)
    return history


def _lines(history: History) -> Iterator[str]:
    yield _encode(
        {
            "holdfast": _version(),
            "kind": "history",
            "format": FORMAT,
            "ttl_s": history.ttl_s,
            "sweep_bound_s": history.sweep_bound_s,
            "capacity": {str(event): size for event, size in sorted(history.capacity.items())},
            "meta": history.meta,
        }
    )
    for span in history.faults:
        yield _encode({"record": "fault", **as_dict(span)})
    for operation in history.operations:
        yield _encode({"record": "operation", **as_dict(operation)})
    if history.audit is not None:
        yield _encode({"record": "audit", **_audit_as_dict(history.audit)})
    counted = [len(history.faults), len(history.operations), int(history.audit is not None)]
    yield _encode({"record": "end", "counted": counted})


def _version() -> str:
    try:
        return version("holdfast")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"


def _audit_as_dict(audit: Audit) -> dict[str, Any]:
    rows = {
        name: [as_dict(row) for row in getattr(audit, name)]
        for name in ("stock", "orders", "payments")
    }
    return {"at_s": audit.at_s, "quiet_s": audit.quiet_s, **rows}


class _Records:
    """What was read of one file, line by line, and what was wrong with it."""

    def __init__(self) -> None:
        self.lines = 1  # the first line is not a record
        self.read = [0, 0, 0]  # faults, operations, audits
        self.announced: list[int] | None = None  # the same three, as the `end` record has them
        self.problems: list[str] = []

    def problem(self, text: str, line: int | None = None) -> None:
        self.problems.append(f"line {line or self.lines}: {text}")

    def told(self) -> list[str]:
        """Return the first problems, and the number of the others."""
        more = len(self.problems) - MOST_PROBLEMS
        return [*self.problems[:MOST_PROBLEMS], f"and {more} more"] if more > 0 else self.problems


def _read_first(path: Path, line: bytes) -> History:
    """Read the line that makes a file a history."""
    try:
        first = _decode(line.decode())
    except (ValueError, RecursionError):
        first = None
    if first is None and line.lstrip().startswith(b'{"holdfast"'):
        raise HistoryError(
            f"{path}: is cut off in line 1, which says what was run: nothing is left to judge"
        )
    if isinstance(first, dict) and first.get("kind") == "results":
        raise HistoryError(
            f"{path}: holds the results of runs, not a history; histories are in the folders"
            " histories and stories beside it"
        )
    if not isinstance(first, dict) or first.get("kind") != "history":
        raise HistoryError(
            f"{path}: is not a Holdfast history: line 1 must be a JSON object with "
            f'"kind": "history", it is {shown_raw(line)}'
        )
    if first.get("format") != FORMAT:
        raise HistoryError(
            f"{path}: is of format {first.get('format')}, written by Holdfast "
            f"{first.get('holdfast')}; this Holdfast reads format {FORMAT}"
        )
    try:
        return History(
            meta=as_object(first.get("meta", {})),
            capacity={
                int(event): as_integer(size)
                for event, size in as_object(first.get("capacity", {})).items()
            },
            ttl_s=as_number(first.get("ttl_s")),
            sweep_bound_s=as_number(first.get("sweep_bound_s")),
        )
    except (BadRecord, ValueError) as error:
        raise HistoryError(f"{path}: line 1 is damaged: {error}") from error


def _read_records(history: History, raw: bytes) -> None:
    """Read every line after the first into the history, with what is wrong with them."""
    records = _Records()
    lines = raw.split(b"\n")
    whole = lines[-1] == b""  # the last line ends with a newline
    if whole:
        lines.pop()
    damaged = 0
    cut = False
    for line in lines:
        records.lines += 1
        if records.announced is not None:
            records.problem("stands after the `end` record; it was not read, nor what follows")
            break
        try:
            _read_record(history, line, records)
        except (ValueError, RecursionError):  # also bytes that are not UTF-8
            damaged += 1
            cut = not whole and records.lines == len(lines) + 1
            state = "cut in the middle" if cut else "damaged"
            records.problem(f"is {state}, not a JSON object: {shown_raw(line)}")
        except BadRecord as error:
            damaged += 1
            records.problem(str(error))
    if records.announced is None and not cut:
        records.problem("the file ends before its `end` record; the rest is lost", len(lines) + 2)
    elif records.announced and sum(records.announced) != sum(records.read) + damaged:
        records.problem(
            f"{records.announced} faults, operations and audits were written, "
            f"{records.read} could be read: lines are missing"
        )
    history.problems = records.told()


def _read_record(history: History, line: bytes, records: _Records) -> None:
    """Add one line to the history.

    Raises:
        ValueError: the line is not JSON.
        BadRecord: it is, and makes no sense.
    """
    data = as_object(_decode(line.decode()))
    match data.pop("record", None):
        case "operation":
            history.operations.append(build(Operation, data))
            records.read[1] += 1
        case "fault":
            history.faults.append(build(FaultSpan, data))
            records.read[0] += 1
        case "audit":
            history.audit = build(Audit, data)
            records.read[2] += 1
        case "end":
            records.announced = as_list_of(as_integer)(data.get("counted"))
        case other:
            raise BadRecord(f"record = {shown(other)}: must be fault, operation, audit or end")
