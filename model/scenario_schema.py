"""Validates the tables of a scenario file, and says in our own words what pydantic found.

Values are taken as TOML types them: `buyers = "700"` and `buyers = true` are wrong, not 700 and 1.
"""

import json
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from model.scenario import Scenario
from model.scenario_problems import NO_VALUE, Path, Problem, lookup, nearest

FILLED_BY_THE_LOADER = ("trace_arrivals_s", "trace_quantities")


class InvalidTables(Exception):
    """The tables are no scenario; `problems` says what is wrong with each key."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


def validate(data: dict[str, Any]) -> Scenario:
    """Return the scenario that the tables of a file describe.

    Raises:
        InvalidTables: a key is unknown or missing, or a value has the wrong type or size.
    """
    problems = [
        Problem(path=(key,), says="is filled from the CSV file that `arrivals.trace` names")
        for key in FILLED_BY_THE_LOADER
        if key in data
    ]
    try:
        # By way of JSON: strict, and yet lists become tuples and names become enums.
        scenario = Scenario.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems += _translate(error, data)
    if problems:
        raise InvalidTables(problems)
    return scenario


def keys_at(path: Path) -> list[str]:
    """Return the keys that the table at `path` may have; empty where any key goes."""
    kind: Any = Scenario
    for part in path:
        if _is_table(kind):
            field = kind.model_fields.get(part)
            kind = None if field is None else field.annotation
        elif get_origin(kind) in (dict, tuple):
            kind = get_args(kind)[1] if get_origin(kind) is dict else get_args(kind)[0]
        else:
            return []
    if not _is_table(kind):
        return []
    return [key for key in kind.model_fields if key not in FILLED_BY_THE_LOADER]


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _translate(error: ValidationError, data: dict[str, Any]) -> list[Problem]:
    """Return one problem for each place; a value that fits none of several types is one place."""
    found: dict[Path, list[str]] = {}
    for each in error.errors(include_url=False):
        path, says = _place(each["loc"], data), _says(each["type"], each)
        if each["type"] == "extra_forbidden":
            says = _unknown_key(path)
        elif each["type"] == "value_error":
            says = str(each["ctx"]["error"])
        if says not in found.setdefault(path, []):
            found[path].append(says)
    return [
        Problem(path=path, says=_joined(says), value=_value(data, path, says))
        for path, says in found.items()
    ]


def _place(loc: Path, data: dict[str, Any]) -> Path:
    """Cut off what pydantic adds to a path: the type it tried, or that the key itself is meant."""
    tried = loc[-1] in {"str", "int", "float", "bool"} and lookup(data, loc) is NO_VALUE
    return loc[:-1] if tried or loc[-1] == "[key]" else loc


def _joined(says: list[str]) -> str:
    return " or ".join([says[0], *(text.removeprefix("must be ") for text in says[1:])])


def _value(data: dict[str, Any], path: Path, says: list[str]) -> object:
    value = lookup(data, path)
    return NO_VALUE if isinstance(value, dict) and "table" not in " ".join(says) else value


def _unknown_key(path: Path) -> str:
    """Say which key was meant, here or in another table."""
    allowed = keys_at(path[:-1])
    key = str(path[-1])
    guess = nearest(key, allowed)
    if not guess:
        homes = {inner: table for table in keys_at(()) for inner in keys_at((table,))}
        near = get_close_matches(key, list(homes), n=1)
        guess = f"did you mean `{homes[near[0]]}.{near[0]}`? " if near else ""
    return f"unknown key; {guess}allowed here: {', '.join(allowed)}"


_SAYS = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "greater_than": "must be greater than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "too_long": "must have at most {max_length} items",
}


def _says(kind: str, error: Any) -> str:
    """Say what is allowed; a kind of error not foreseen keeps pydantic's words."""
    if kind in _SAYS:
        return _SAYS[kind].format(**error.get("ctx", {}))
    return str(error["msg"])
