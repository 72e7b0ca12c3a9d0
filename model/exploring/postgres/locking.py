"""What a statement on PostgreSQL reads, writes and locks, so that a search knows what commutes.

Beside the resources of `model.exploring.touching` there are three kinds that nobody reads as data:

- `db:(rows)TABLE:KEY`, the row locks of a table: whoever writes a row or selects it FOR UPDATE;
- `db:(keys)TABLE:*`, the keys that foreign keys refer to: an insert shares its parents' keys, a
  DELETE, FOR UPDATE or a new key has them alone;
- `db:(sequence)TABLE:*`, the number that the next row gets, whether it is committed or not.

Row locks are told apart only by a primary key that is given, or a payment key. What is not
understood has everything. Under REPEATABLE READ a transaction's first statement reads all data (its
snapshot); under SERIALIZABLE nothing commutes, because PostgreSQL's own conflict graph remembers
every read.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint

from model.exploring.touching import DATABASE_SESSION, NOTHING, Touched, of_sql
from model.postgres.sql import Statement
from model.scenario import Isolation
from reservation.tables import metadata

EVERYTHING: Touched = (frozenset(), frozenset(("db:*",)))
WAITING = "db:(waits)"
"""Read by who waits: they never move alone (see `properties.exploration.exhaustive`)."""

_TABLES = metadata.tables
_PARENTS = {
    name: sorted({key.column.table.name for key in table.foreign_keys})
    for name, table in _TABLES.items()
}
_KEY_COLUMNS = {  # of the indexes that a foreign key could refer to, and of foreign keys
    name: {
        column.name
        for rule in table.constraints
        if isinstance(rule, UniqueConstraint | PrimaryKeyConstraint | ForeignKeyConstraint)
        for column in rule.columns
    }
    for name, table in _TABLES.items()
}
_ALL_DATA = frozenset(f"db:{name}:*" for name in _TABLES)
_LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+UPDATE|UPDATE|SHARE|KEY\s+SHARE)\b", re.IGNORECASE)
_WEAK = re.compile(r"NO\s+KEY", re.IGNORECASE)
_SET = re.compile(r"\bSET\b(.*?)(\bWHERE\b|\bFROM\b|\bRETURNING\b|$)", re.IGNORECASE | re.DOTALL)
_ASSIGNED = re.compile(r"(\w+)\s*=")
_VALUES = re.compile(r"INSERT\s+INTO\s+\w+\s*\([^)]*\)\s*VALUES\b", re.IGNORECASE)
_SERVER_FUNCTION = re.compile(r"\b(pg_\w+|nextval|setval)\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One statement's doings.

    `touched` is what it touches when it runs, `kept` the locks it keeps until its transaction ends
    (shared, alone), `published` the data its commit changes. `looked_at` is the committed data on
    which its lasting effect depends (which rows it wrote, and what): nothing for a plain read.
    """

    touched: Touched
    kept: Touched = NOTHING
    published: frozenset[str] = frozenset()
    looked_at: frozenset[str] = frozenset()


def access_of(statement: Statement, parameters: Any, level: Isolation, *, first: bool) -> Access:
    """What a statement does; `first` if it begins its transaction."""
    found = _committed(statement, parameters)
    if level == "serializable":
        return Access(
            touched=EVERYTHING, kept=EVERYTHING, published=found.published, looked_at=_ALL_DATA
        )
    if level == "repeatable-read":
        reads, writes = found.touched
        # A write also fails if a row it wants was changed since the snapshot.
        seen = _ALL_DATA if first else frozenset(found.published | _parents_data(found.kept))
        return Access(
            touched=(reads | seen, writes),
            kept=found.kept,
            published=found.published,
            looked_at=found.looked_at | seen,
        )
    return found


def _committed(statement: Statement, parameters: Any) -> Access:
    """What it does under READ COMMITTED."""
    verb, _, target = statement.label.partition(" ")
    shape = _shape(statement.text)
    if verb not in {"SELECT", "INSERT", "UPDATE", "DELETE"} or shape.calls_the_server:
        return Access(touched=EVERYTHING, kept=EVERYTHING, published=_ALL_DATA, looked_at=_ALL_DATA)
    writes = verb != "SELECT"
    if writes and target not in _TABLES:
        return Access(touched=EVERYTHING, kept=EVERYTHING, published=_ALL_DATA)
    reads, published = of_sql(statement.text, parameters, target=target if writes else None)
    reads -= {DATABASE_SESSION}
    beside = frozenset((DATABASE_SESSION, *(["clock"] if statement.asks_time else [])))
    if not writes and not shape.locks:
        return Access(touched=(reads | beside, frozenset()))
    if not writes:
        return _select_for(reads, beside, weak=shape.weak)
    alone = {_rows(each) for each in published}
    shared: set[str] = set()
    if verb == "INSERT":
        if shape.values:
            reads = frozenset()
            alone = {_own_row(target, parameters) or each for each in alone}
        shared = {_keys(parent) for parent in _PARENTS[target]}
    elif verb == "DELETE" or not shape.assigned.isdisjoint(_KEY_COLUMNS[target]):
        alone.add(_keys(target))
        shared = {_keys(parent) for parent in _PARENTS[target]}
    kept: Touched = (frozenset(shared), frozenset(alone))
    numbered = _sequence(target) if verb == "INSERT" else frozenset()
    return Access(
        touched=(reads | beside | kept[0], kept[1] | numbered),
        kept=kept,
        published=published,
        looked_at=reads,
    )


def _select_for(reads: frozenset[str], beside: frozenset[str], *, weak: bool) -> Access:
    alone = {_rows(each) for each in reads}
    if not weak:
        alone |= {_keys(each.split(":")[1]) for each in reads}
    kept: Touched = (frozenset(), frozenset(alone))
    return Access(touched=(reads | beside, kept[1]), kept=kept, looked_at=reads)


@dataclass(frozen=True, slots=True)
class _Shape:
    locks: bool
    weak: bool
    values: bool
    assigned: frozenset[str]
    calls_the_server: bool


@cache
def _shape(text: str) -> _Shape:
    locking = _LOCKING.search(text)
    assigned = _SET.search(text)
    return _Shape(
        locks=locking is not None,
        weak=locking is not None and _WEAK.search(locking.group(0)) is not None,
        values=_VALUES.match(text.lstrip()) is not None and "SELECT" not in text.upper(),
        assigned=frozenset(_ASSIGNED.findall(assigned.group(1))) if assigned else frozenset(),
        calls_the_server=_SERVER_FUNCTION.search(text) is not None,
    )


def _own_row(table: str, parameters: Any) -> str | None:
    """The row that an insert makes, if its primary key is among the parameters."""
    columns = list(_TABLES[table].primary_key)
    if len(columns) != 1 or not isinstance(parameters, dict):
        return None
    value = parameters.get(columns[0].name)
    return f"db:(rows){table}:{value}" if isinstance(value, str) and "*" not in value else None


def _rows(data: str) -> str:
    return f"db:(rows){data.removeprefix('db:')}"


def _keys(table: str) -> str:
    return f"db:(keys){table}:*"


def _sequence(table: str) -> frozenset[str]:
    numbered = _TABLES[table].autoincrement_column is not None
    return frozenset((f"db:(sequence){table}:*",)) if numbered else frozenset()


def _parents_data(kept: Touched) -> frozenset[str]:
    return frozenset(
        f"db:{each.removeprefix('db:(keys)')}" for each in kept[0] if each.startswith("db:(keys)")
    )
