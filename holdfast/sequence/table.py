"""The counterexample in a terminal: a column for every actor, time runs down."""

from itertools import zip_longest

from rich.cells import cell_len

from holdfast.sequence.telling import WORLD, Cell, actors_of, cells, marks
from holdfast.terminal import fold
from properties.exploration.shrinking import Counterexample

GAP = 2
MARK = 2
MOST = 46  # columns wider than this are harder to read, not easier
FEWEST = 9  # six buyers and what strikes fit in 80 columns


def table(found: Counterexample, width: int) -> list[str]:
    """The table's lines, none wider than `width`."""
    names = actors_of(found)
    column = max(FEWEST, min(MOST, (width - MARK) // len(names) - GAP))
    titles = [fold(_title(name), column) for name in names]
    lines = [_row(list(row), column, "") for row in zip_longest(*titles, fillvalue="")]
    lines.append(_row(["-" * column for _ in names], column, ""))
    for cell in cells(found):
        lines += _cell_lines(cell, names, column)
    return lines


def legend(found: Counterexample, width: int) -> list[str]:
    """The turns that matter in plain words."""
    lines: list[str] = []
    for symbol, text in zip("①②③", marks(found).values(), strict=False):
        lines += fold(text, width, f"{symbol} ")
    return lines


def _title(name: str) -> str:
    if name == WORLD:
        return "what strikes"
    return f"sweeper {name}" if name.startswith("S") else name


def _cell_lines(cell: Cell, names: list[str], column: int) -> list[str]:
    at = names.index(cell.actor)
    rows = [piece for row in fold(cell.text, column) for piece in _cut(row, column)]
    for row in fold(cell.answer, column, "=> ") if cell.answer else []:
        rows += _cut(row, column)
    return [
        _row(
            [row if index == at else "" for index in range(len(names))],
            column,
            cell.mark if number == 0 else "",
        )
        for number, row in enumerate(rows)
    ]


def _cut(row: str, column: int) -> list[str]:
    """A word longer than a column goes on in the next line."""
    return [row[start : start + column] for start in range(0, len(row), column)] or [""]


def _row(texts: list[str], column: int, mark: str) -> str:
    padded = "".join(text + " " * (column - cell_len(text) + GAP) for text in texts)
    return f"{mark:<{MARK}}{padded}".rstrip()
