"""A DBAPI cursor whose statements travel; everything is fetched when `execute` returns.

psycopg converts parameters and rows. Its own cursor keeps nothing from one statement to the next,
and in that costs a run as much as the server's work does.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from psycopg.pq import ExecStatus, abc

from model.fetched import FetchedRows
from model.postgres import sql

if TYPE_CHECKING:
    from model.postgres.client import VirtualConnection

TUPLES_OK = int(ExecStatus.TUPLES_OK)


class VirtualCursor(FetchedRows):
    """A DBAPI cursor that has fetched everything when `execute` returns."""

    __slots__ = ("connection", "description", "rowcount")

    def __init__(self, connection: "VirtualConnection") -> None:
        super().__init__()
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, query: str, parameters: Any = None) -> Self:
        """Send one statement and take its answer home."""
        statement = sql.read(query)
        self._next, self._rows, self.description = 0, [], None
        connection = self.connection
        form = connection.form(statement, plain=parameters is None)
        (result,) = connection.cross(statement.label, statement, form, (parameters,))
        if result.status == TUPLES_OK:
            self.description = form.describe(result)
            self.rowcount = rows = result.ntuples
            if rows:
                transformer = connection.transformer
                transformer.set_pgresult(result)
                self._rows = transformer.load_rows(0, rows, tuple)
        else:
            self.rowcount = _touched(result)
        return self

    def executemany(self, query: str, parameters: Iterable[Any]) -> None:
        """Send one statement for many rows, as one crossing."""
        statement = sql.read(query)
        self._next, self._rows, self.description = 0, [], None
        form = self.connection.form(statement, plain=False)
        answers = self.connection.cross(statement.label, statement, form, parameters)
        self.rowcount = sum(max(0, _touched(each)) for each in answers)


def _touched(result: abc.PGresult) -> int:
    rows = result.ntuples if result.status == TUPLES_OK else result.command_tuples
    return -1 if rows is None else rows
