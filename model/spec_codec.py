"""A run's description as plain JSON, inside its history, so that the history can be run again.

`spec_to_meta` is what a history's first line carries; `spec_from_meta` reads it back, checks it,
and says which key is wrong when somebody edited the file.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from chaos.persistence import Persistence
from model.database import shown
from model.scenario import Scenario
from model.spec import RunSpec

REQUIRED = ("scenario", "strategy", "seed")


class SpecError(ValueError):
    """A history's run description is missing or wrong; the message names the key and the value."""


def spec_to_meta(spec: RunSpec) -> dict[str, Any]:
    """Return everything that decides the run, as JSON-ready values (round trips exactly)."""
    return {
        "scenario": spec.scenario.model_dump(mode="json"),
        "strategy": spec.strategy,
        "options": dict(spec.options),
        "seed": spec.seed,
        "fault": spec.fault,
        "persistence": None if spec.persistence is None else spec.persistence.value,
        "database": shown(spec.database),  # a password stays out of files
        "only_buyers": None if spec.only_buyers is None else sorted(spec.only_buyers),
    }


def spec_from_meta(meta: Mapping[str, Any]) -> RunSpec:
    """Read a run description back from a history's meta; unrelated keys are left alone.

    Raises:
        SpecError: a key is missing or holds what no run can have.
    """
    missing = [key for key in REQUIRED if key not in meta]
    if missing:
        raise SpecError(
            f"the first line has no {', '.join(missing)}: it does not say how to run this history "
            "again (`holdfast judge` can still judge it)"
        )
    return RunSpec(
        scenario=_scenario(meta["scenario"]),
        strategy=_typed(meta, "strategy", str),
        seed=_typed(meta, "seed", int),
        fault=_typed(meta, "fault", str, default="none"),
        persistence=_persistence(meta.get("persistence")),
        database=_typed(meta, "database", str, default="sqlite"),
        options=_typed(meta, "options", dict, default={}),
        only_buyers=_buyers(meta.get("only_buyers")),
    )


_SPELLED = {str: "a text", int: "a whole number", dict: "an object of options"}


def _typed(meta: Mapping[str, Any], key: str, wanted: type, default: Any = None) -> Any:
    value = meta.get(key, default)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise SpecError(f"first line, key {key!r}: {value!r} is not {_SPELLED[wanted]}")
    return value


def _scenario(value: Any) -> Scenario:
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("scenario", *first["loc"]))
        raise SpecError(f"first line, key {place!r}: {first['msg']}") from error


def _persistence(value: Any) -> Persistence | None:
    if value is None:
        return None
    try:
        return Persistence(value)
    except ValueError as error:
        allowed = ", ".join(Persistence)
        raise SpecError(
            f"first line, key 'persistence': {value!r} is not one of {allowed}, null"
        ) from error


def _buyers(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise SpecError(f"first line, key 'only_buyers': {value!r} is not a list of buyer numbers")
    return frozenset(value)
