"""Rows that are at home already: the fetching half of a DBAPI cursor."""

from typing import Any


class FetchedRows:
    """Hands out `_rows`, all of which came with `execute`; `_next` is the first not yet fetched."""

    __slots__ = ("_next", "_rows", "arraysize")

    def __init__(self) -> None:
        self.arraysize = 1
        self._rows: list[Any] = []
        self._next = 0

    def fetchone(self) -> Any:
        """The next row, or None."""
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Up to `size` rows."""
        start = self._next
        self._next = min(len(self._rows), start + (self.arraysize if size is None else size))
        return self._rows[start : self._next]

    def fetchall(self) -> list[Any]:
        """The remaining rows."""
        start, self._next = self._next, len(self._rows)
        return self._rows[start:] if start else self._rows

    def close(self) -> None:
        """Nothing is open."""
