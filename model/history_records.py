"""Records of a history file: JSON objects to and from the dataclasses of `model.history`.

Every value that comes from a file is checked against the type of its field; none is guessed.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import cache
from math import isfinite
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from model.history import OrderRow, Outcome, PaymentRow, StockRow


class BadRecord(Exception):
    """A record cannot be understood; the message says which value, and what is allowed."""


class Record(Protocol):
    """Any of the dataclasses of `model.history`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


R = TypeVar("R", bound=Record)
Reader = Callable[[object], Any]

MOST_SHOWN = 60  # of a value or a line, in messages
MOST_EXACT = 2**53  # whole numbers beyond it are not exact as floats
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


@cache
def _defaults(kind: type[Record]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in fields(kind))


def as_dict(value: Record) -> dict[str, Any]:
    """Return the fields that differ from their defaults, in the order of the dataclass."""
    return {
        name: item
        for name, default in _defaults(type(value))
        if (item := getattr(value, name)) != default
    }


def build(kind: type[R], data: dict[str, Any]) -> R:
    """Make a dataclass of its fields as JSON gives them.

    Raises:
        BadRecord: a field is unknown, missing or of the wrong type.
    """
    readers, required = _readers(kind)
    values = {}
    name = ""
    value: object = None
    try:
        for name, value in data.items():
            values[name] = readers[name](value)
    except KeyError:
        raise BadRecord(f"{name}: is no field of {kind.__name__}") from None
    except BadRecord as error:
        raise BadRecord(f"{name} = {shown(value)}: {error}") from error
    for needed in required:
        if needed not in values:
            raise BadRecord(f"{needed}: is missing from this {kind.__name__}")
    return kind(**values)


def shown(value: object) -> str:
    """Spell a JSON value, shortened."""
    text = json.dumps(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + " ..."


def shown_raw(raw: bytes) -> str:
    """Quote the beginning of a line that may be anything."""
    text = ascii(raw[:MOST_SHOWN].decode("utf-8", errors="replace"))
    return text if len(raw) <= MOST_SHOWN else text + " ..."


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object, or refuse what is none."""
    if not isinstance(value, dict):
        raise BadRecord(f"must be a JSON object, is {shown(value)}")
    return value


def as_integer(value: object) -> int:
    """Return a whole number, or refuse what is none (also a boolean)."""
    if type(value) is not int:
        raise BadRecord("must be a whole number")
    return value


def as_number(value: object) -> float:
    """Return a finite number, or refuse what is none (also a boolean)."""
    if type(value) is float and isfinite(value):
        return value
    if type(value) is int and abs(value) <= MOST_EXACT:
        return float(value)
    raise BadRecord("must be a finite number")


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise BadRecord("must be true or false")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise BadRecord("must be text")
    return value


def _outcome(value: object) -> Outcome:
    outcome = _OUTCOMES.get(value) if type(value) is str else None
    if outcome is None:
        raise BadRecord(f"must be one of {', '.join(Outcome)}")
    return outcome


def _optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def as_list_of(reader: Reader) -> Callable[[object], list[Any]]:
    """Return a reader of lists whose items `reader` reads."""

    def read(value: object) -> list[Any]:
        if not isinstance(value, list):
            raise BadRecord("must be a list")
        return [reader(item) for item in value]

    return read


def _tuple_of(reader: Reader) -> Callable[[object], tuple[Any, ...]]:
    read = as_list_of(reader)
    return lambda value: tuple(read(value))


def _row(kind: type[Record]) -> Reader:
    return lambda value: build(kind, as_object(value))


_READERS: dict[Any, Reader] = {
    int: as_integer,
    float: as_number,
    str: _text,
    bool: _flag,
    Outcome: _outcome,
    float | None: _optional(as_number),
    int | None: _optional(as_integer),
    tuple[str, ...]: _tuple_of(_text),
    tuple[StockRow, ...]: _tuple_of(_row(StockRow)),
    tuple[OrderRow, ...]: _tuple_of(_row(OrderRow)),
    tuple[PaymentRow, ...]: _tuple_of(_row(PaymentRow)),
}


@cache
def _readers(kind: type[Record]) -> tuple[dict[str, Reader], tuple[str, ...]]:
    """Return a reader for each field of a dataclass, and the names of those it must have."""
    hints = get_type_hints(kind)
    required = tuple(f.name for f in fields(kind) if f.default is MISSING)
    return {field.name: _READERS[hints[field.name]] for field in fields(kind)}, required
