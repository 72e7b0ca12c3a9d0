"""A small table that fits: columns are dropped, never squeezed, when the terminal is narrow."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading of one or two lines over values; numbers are aligned to the right."""

    heading: tuple[str, ...]
    right: bool = True


@dataclass(slots=True, kw_only=True)
class Grid:
    """Rows under columns. A row that is a single Text spans them all (a group's heading)."""

    columns: Sequence[Column]
    rows: list[Text | list[Text]] = field(default_factory=list)
    gap: int = 2

    def widths(self) -> list[int]:
        """Return how wide each column must be."""
        found = [max(len(line) for line in column.heading) for column in self.columns]
        for row in self.rows:
            if isinstance(row, list):
                found = [max(wide, len(cell)) for wide, cell in zip(found, row, strict=True)]
        return found

    def total(self) -> int:
        """Return how wide the widest row of cells is."""
        found = self.widths()
        return sum(found) + self.gap * (len(found) - 1)

    def lines(self) -> list[Text]:
        """Lay everything out."""
        widths = self.widths()
        height = max(len(column.heading) for column in self.columns)
        laid = []
        for level in range(height):
            cells = [
                Text(_heading_line(column.heading, height, level), style="dim")
                for column in self.columns
            ]
            laid.append(self._join(cells, widths))
        laid += [row if isinstance(row, Text) else self._join(row, widths) for row in self.rows]
        return laid

    def _join(self, cells: Sequence[Text], widths: Sequence[int]) -> Text:
        line = Text()
        for column, cell, wide in zip(self.columns, cells, widths, strict=True):
            padding = " " * (wide - len(cell))
            line.append_text(Text.assemble(padding, cell) if column.right else cell)
            if not column.right:
                line.append(padding)
            line.append(" " * self.gap)
        line.rstrip()
        return line


def _heading_line(heading: tuple[str, ...], height: int, level: int) -> str:
    """Return one line of a heading that stands on the bottom."""
    index = level - (height - len(heading))
    return heading[index] if index >= 0 else ""
