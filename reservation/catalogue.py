"""Every strategy by name, in the order of the design's table, and their options checked."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from reservation import (
    db_cart,
    db_derived,
    redis_counter,
    redis_hold,
    redis_hold_blind,
    redis_hold_racy,
    redis_hold_read_check,
    seat_setnx,
)
from reservation.api import StrategyInfo


class UnknownStrategy(LookupError):
    """A name that is not in the catalogue."""


class BadOption(ValueError):
    """An option a strategy does not have, or a value it cannot take."""


_ORDER = (
    "db-cart-naive",
    "db-cart-row-lock",
    "db-cart",
    "db-derived",
    "redis-hold-blind",
    "redis-hold-racy",
    "redis-hold",
    "redis-hold-read-check",
    "redis-hold-recheck",
    "redis-counter",
    "seat-setnx",
)

_INFOS: tuple[StrategyInfo, ...] = (
    *db_cart.INFOS,
    *db_derived.INFOS,
    *redis_hold_blind.INFOS,
    *redis_hold_racy.INFOS,
    *redis_hold.INFOS,
    *redis_hold_read_check.INFOS,
    *redis_counter.INFOS,
    *seat_setnx.INFOS,
)

STRATEGIES: dict[str, StrategyInfo] = {
    info.name: info for info in sorted(_INFOS, key=lambda info: _ORDER.index(info.name))
}


def find(name: str) -> StrategyInfo:
    """Look a strategy up.

    Raises:
        UnknownStrategy: naming all there are, and the nearest.
    """
    info = STRATEGIES.get(name)
    if info is None:
        raise UnknownStrategy(
            f"unknown strategy {name!r}{_nearest(name, STRATEGIES)}; "
            f"there are: {', '.join(STRATEGIES)}"
        )
    return info


def resolve_options(info: StrategyInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill a strategy's defaults in and check what was given.

    Values may be text, as they come from a command line; they become the type of the default.

    Raises:
        BadOption: an unknown key, a value of the wrong type, or one that is not allowed.
    """
    resolved = dict(info.defaults)
    for key, value in given.items():
        if key not in info.defaults:
            raise BadOption(
                f"{info.name} has no option {key!r}{_nearest(key, info.defaults)}; "
                f"its options are: {', '.join(sorted(info.defaults))}"
            )
        resolved[key] = _checked(info, key, value)
    return resolved


def _checked(info: StrategyInfo, key: str, value: Any) -> Any:
    default = info.defaults[key]
    where = f"{info.name}: option {key} = {value!r}"
    if key in info.choices:
        choices = info.choices[key]
        for choice in choices:
            if (type(choice) is type(value) and choice == value) or str(choice) == value:
                return choice
        raise BadOption(f"{where} must be one of: {', '.join(map(str, choices))}")
    if isinstance(default, bool):
        return _truth(where, value)
    if isinstance(default, int | float):
        return _number(where, value, default)
    if isinstance(default, str) and not isinstance(value, str):
        raise BadOption(f"{where} must be text, such as {default!r}")
    return value


def _truth(where: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise BadOption(f"{where} must be true or false")


def _number(where: str, value: Any, default: float) -> float:
    """Read a number that is finite and, where the default is positive, positive as well."""
    whole = isinstance(default, int)
    kind = "a whole number" if whole else "a number"
    least = "greater than 0" if default > 0 else "0 or more"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadOption(f"{where} must be {kind}, {least}")
    try:
        number = int(value) if whole and isinstance(value, str) else float(value)
    except ValueError:
        raise BadOption(f"{where} must be {kind}, {least}") from None
    wrong_size = number < 0 or (number == 0 and default > 0)
    if not math.isfinite(number) or wrong_size or (whole and number != int(number)):
        raise BadOption(f"{where} must be {kind}, {least}")
    return int(number) if whole else number


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
