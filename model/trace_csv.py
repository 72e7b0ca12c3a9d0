"""Recorded arrivals: a CSV file with a column `arrival_s` and, if wanted, a column `quantity`."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path

from model.scenario_problems import MOST_SHOWN, ScenarioError, nearest

COLUMNS = ("arrival_s", "quantity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The arrivals of a trace, in the order of its lines.

    `arrivals_s` are seconds after the sale opens and need not be sorted: buyer 0 is the first line.
    `quantities` is empty, or has the party size of each buyer.
    """

    arrivals_s: tuple[float, ...]
    quantities: tuple[int, ...] = ()


def read_trace(path: Path, *, most_quantity: int) -> Trace:
    """Read a trace; blank lines are skipped.

    Raises:
        ScenarioError: the file cannot be read, is empty, or has a bad line. The message names the
            file, the line, the value and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ScenarioError(f"{path}: the trace cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: the trace is not text in UTF-8: {error.reason}") from error
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(path, next(reader, []))
        arrivals_s: list[float] = []
        quantities: list[int] = []
        for cells in _filled(reader):
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise ScenarioError(
                    f"{place}: has {len(cells)} values, the header has {len(columns)} columns"
                )
            row = dict(zip(columns, cells, strict=True))
            arrivals_s.append(_arrival(place, row["arrival_s"]))
            if "quantity" in row:
                quantities.append(_quantity(place, row["quantity"], most_quantity))
    except csv.Error as error:
        raise ScenarioError(f"{path}, line {reader.line_num}: is not CSV: {error}") from error
    if not arrivals_s:
        raise ScenarioError(f"{path}: has no arrivals; write one a line under the header")
    return Trace(arrivals_s=tuple(arrivals_s), quantities=tuple(quantities))


def _filled(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Skip lines with nothing but blanks."""
    return (cells for cells in reader if any(cell.strip() for cell in cells))


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [cell.strip() for cell in header]
    if not any(columns):
        raise ScenarioError(
            f"{path}: line 1 is empty; it must be a header with the column arrival_s"
        )
    for column in columns:
        if column not in COLUMNS:
            raise ScenarioError(
                f"{path}, line 1: unknown column {_show(column)}; {nearest(column, COLUMNS)}"
                "allowed: arrival_s (required), quantity"
            )
    if "arrival_s" not in columns or len(set(columns)) != len(columns):
        raise ScenarioError(
            f"{path}, line 1: the header is {_show(','.join(columns))}; "
            "it must have arrival_s once, and may have quantity once"
        )
    return columns


def _arrival(place: str, cell: str) -> float:
    try:
        arrival_s = -1.0 if "_" in cell else float(cell)  # 1_000 is Python's, not a spreadsheet's
    except ValueError:
        arrival_s = -1.0
    if not isfinite(arrival_s) or arrival_s < 0.0:
        raise ScenarioError(
            f"{place}: arrival_s = {_show(cell)}: must be a number of seconds after the sale "
            "opens, 0 or more"
        )
    return arrival_s


def _quantity(place: str, cell: str, most: int) -> int:
    text = cell.strip()
    if not (text.isascii() and text.isdigit() and len(text) < MOST_SHOWN) or not (
        1 <= int(text) <= most
    ):
        raise ScenarioError(
            f"{place}: quantity = {_show(cell)}: must be a whole number of tickets from 1 to the "
            f"capacity, {most}"
        )
    return int(text)


def _show(text: str) -> str:
    return repr(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + " ...")
