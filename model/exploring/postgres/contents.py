"""The tables of an explored world: what is committed in them, and putting them back.

They are emptied by DELETE, which costs a twentieth of a TRUNCATE; the dead rows it leaves are
truncated away before they fill a page, so that rows never lie in another order than in a fresh
table (what a SELECT without ORDER BY returns).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from model.exploring.digest import digest
from model.exploring.one_key import KEY_COLUMN, KEYED_TABLES
from model.postgres.stock import Stock
from reservation.tables import metadata

TRUNCATED_AFTER = 12  # worlds
_TABLES = tuple(table.name for table in metadata.sorted_tables)
_SELECTS = tuple(f"SELECT * FROM {name} ORDER BY 1, 2" for name in _TABLES)  # noqa: S608
_KEY = {name: metadata.tables[name].columns.keys().index(KEY_COLUMN) for name in KEYED_TABLES}
_OK = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})
_DELETE = ";".join(f"DELETE FROM {name}" for name in reversed(_TABLES))  # noqa: S608
_TRUNCATE = f"TRUNCATE {', '.join(_TABLES)}"
_NUMBERED = tuple(
    (table.name, table.autoincrement_column.name)
    for table in metadata.sorted_tables
    if table.autoincrement_column is not None
)

Rows = Sequence[tuple[bytes | None, ...]]


class Contents:
    """The committed rows of one database, read when they may have changed."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._rows: Mapping[str, Rows] | None = None
        self._digests: dict[str, bytes] = {}
        self._numbers: bytes | None = None
        self._filling = ""
        self._restarting = ""
        self._asking = ""
        self._worlds = 0

    def changed(self) -> None:
        """Something was committed."""
        self._rows = None
        self._digests = {}
        self._numbers = None

    def numbered(self) -> None:
        """A sequence may have moved."""
        self._numbers = None

    def of(self, resource: str) -> bytes:
        """The digest of a resource, `db:TABLE:KEY` or `db:TABLE:*`; empty for what is no data."""
        known = self._digests.get(resource)
        if known is None:
            known = self._digests[resource] = self._digest(resource)
        return known

    def all(self) -> bytes:
        """The digest of everything committed."""
        return digest([self.of(f"db:{name}:*") for name in _TABLES])

    def numbers(self) -> bytes:
        """Where the sequences stand, which no rollback turns back."""
        if self._numbers is None:
            self._numbers = digest(_ask(self._stock, self._asking)[0])
        return self._numbers

    def _digest(self, resource: str) -> bytes:
        _, table, key = resource.split(":", 2)
        if table not in metadata.tables:
            return b""
        if self._rows is None:
            self._rows = dict(zip(_TABLES, _ask(self._stock, ";".join(_SELECTS)), strict=True))
        rows = self._rows[table]
        if key != "*":
            rows = [row for row in rows if row[_KEY[table]] == key.encode()]
        return digest(rows)

    def remember(self) -> None:
        """What is in the tables now is what worlds begin with."""
        monitor = self._stock.monitor
        lines = []
        for name in _TABLES:
            for row in monitor.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))):
                values = sql.SQL(", ").join(map(sql.Literal, row))
                insert = sql.SQL("INSERT INTO {} VALUES ({})").format(sql.Identifier(name), values)
                lines.append(insert.as_string(monitor))
        sequences = [
            monitor.execute("SELECT pg_get_serial_sequence(%s, %s)", each).fetchone()
            for each in _NUMBERED
        ]
        names = [str(found[0]) for found in sequences if found is not None and found[0] is not None]
        self._filling = ";".join(lines)
        self._restarting = ";".join(f"SELECT setval('{name}', 1, false)" for name in names)
        each = (f"SELECT last_value, is_called FROM {name}" for name in names)  # noqa: S608
        self._asking = " UNION ALL ".join(each)

    def put_back(self) -> None:
        """The remembered rows, and sequences that begin anew."""
        self.changed()
        if not self._restarting:
            return  # nothing is remembered yet
        self._worlds += 1
        emptying = _DELETE if self._worlds % TRUNCATED_AFTER else _TRUNCATE
        steps = (emptying, self._filling, self._restarting)
        _ask(self._stock, ";".join(step for step in steps if step))


def _ask(stock: Stock, text: str) -> list[Rows]:
    """Send statements in one message; returns the rows of each."""
    pgconn = stock.monitor.pgconn
    pgconn.send_query(text.encode())
    answers: list[Rows] = []
    failed: Any = None
    while (result := pgconn.get_result()) is not None:
        if result.status not in _OK:
            failed = result
        rows = range(result.ntuples)
        columns = range(result.nfields)
        answers.append([tuple(result.get_value(row, column) for column in columns) for row in rows])
    if failed is not None:
        error = psycopg.errors.error_from_result(failed)
        stock.must_live(pgconn, error)
        raise error
    return answers
