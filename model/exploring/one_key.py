"""Which rows of a table a statement is about: those of one payment key, or any.

Only a plain equality makes a statement one about a single key: an INSERT of one row that names its
key, or a WHERE of conditions joined by AND of which one is `TABLE.idempotency_key = KEY`. Whatever
else a statement says (another comparison, OR, a second SELECT, an alias) makes it one about all
rows: too many orders are then searched, never too few.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

KEYED_TABLES = frozenset({"payments", "orders"})
KEY_COLUMN = "idempotency_key"

_MARK = re.compile(r"\?|%\((\w+)\)s(?:::\w+)?")  # as SQLite's driver takes it, and PostgreSQL's
_LITERAL = re.compile(r"'[^']*'")
_INSERT = re.compile(
    r"INSERT INTO (\w+) \(([^()]*)\) VALUES \(((?:[^()]|%\(\w+\))*)\)(?: RETURNING [\w., ]*)?",
    re.IGNORECASE,
)
_OTHER = re.compile(r"(?:SELECT|UPDATE|DELETE) (.*?) WHERE (.*)", re.IGNORECASE)
_TOO_MUCH = re.compile(
    r"\b(?:SELECT|UNION|INTERSECT|EXCEPT|WITH|WHERE|OR|NOT|LIKE|BETWEEN|CASE)\b|--|/\*|;|\?\d",
    re.IGNORECASE,
)
_AND = re.compile(r" AND ", re.IGNORECASE)
_TAIL = re.compile(r" (?:ORDER BY|LIMIT|RETURNING|FOR|GROUP BY|HAVING)\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a statement's one key stands among its parameters, and the tables it is for."""

    parameter: int | str
    tables: frozenset[str]


def one_key(sql: str, parameters: Any) -> tuple[str, frozenset[str]] | None:
    """The one payment key a statement is about, and in which tables; None if it is about all."""
    place = _place(sql)
    if place is None or not isinstance(parameters, Mapping | tuple):
        return None  # a list: many rows at once
    try:
        key = parameters[place.parameter]  # type: ignore[index] # one of the errors below
    except (KeyError, IndexError, TypeError):
        return None
    return (key, place.tables) if isinstance(key, str) and "*" not in key else None


@cache
def _place(sql: str) -> _Place | None:
    text = _LITERAL.sub("''", " ".join(sql.split()))
    inserted = _INSERT.fullmatch(text)
    if inserted is not None:
        return _inserted(text, inserted)
    other = _OTHER.fullmatch(text)
    if other is None or _TOO_MUCH.search(other[1]) or _TOO_MUCH.search(other[2]):
        return None
    at = other.start(2)
    for condition in _AND.split(_TAIL.sub("", other[2])):
        found = re.fullmatch(rf"(?:(\w+)\.)?{KEY_COLUMN} = ({_MARK.pattern})", condition)
        before = text[:at]
        if found is not None and before.count("(") == before.count(")"):
            tables = _tables(other[1], found[1])
            mark = at + found.start(2)
            return _Place(_parameter(text, mark), tables) if tables else None
        at += len(condition) + len(" AND ")
    return None


def _inserted(text: str, found: re.Match[str]) -> _Place | None:
    columns = [each.strip() for each in found[2].split(",")]
    values = [each.strip() for each in found[3].split(",")]
    if KEY_COLUMN not in columns or len(columns) != len(values):
        return None
    index = columns.index(KEY_COLUMN)
    if not _MARK.fullmatch(values[index]):
        return None
    at = found.start(3) + sum(len(each) + 1 for each in found[3].split(",")[:index])
    return _Place(_parameter(text, at), frozenset({found[1].lower()}))


def _parameter(text: str, at: int) -> int | str:
    """The name of the mark that stands here, or its number."""
    mark = _MARK.search(text, at)
    assert mark is not None
    return mark[1] or text.count("?", 0, mark.start())


def _tables(head: str, named: str | None) -> frozenset[str]:
    """The tables whose rows are all of the key: the named one, and what is joined to it by key."""
    once = {each for each in KEYED_TABLES if len(re.findall(rf"\b{each}\b(?!\.)", head)) == 1}
    mentioned = {each for each in KEYED_TABLES if re.search(rf"\b{each}\b", head)}
    table = named or (mentioned.pop() if len(mentioned) == 1 else "")
    if table not in once or re.search(rf"\b{table} (?:AS )?(?!SET\b|JOIN\b|LEFT\b|,)\w", head):
        return frozenset()
    joined = {
        other
        for other in once - {table}
        if re.search(
            rf" JOIN {other} ON (?:{other}\.{KEY_COLUMN} = {table}\.{KEY_COLUMN}"
            rf"|{table}\.{KEY_COLUMN} = {other}\.{KEY_COLUMN})$",
            head,
        )
    }
    return frozenset({table, *joined})
