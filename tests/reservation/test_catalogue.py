"""Strategies by name, and their options checked: `reservation.catalogue`."""

from typing import Any

import pytest

from reservation.catalogue import (
    STRATEGIES,
    BadOption,
    UnknownStrategy,
    find,
    resolve_options,
)


def test_every_strategy_is_listed_in_the_order_of_the_design() -> None:
    """The catalogue is the design's table."""
    assert list(STRATEGIES) == [
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
    ]


@pytest.mark.parametrize("info", STRATEGIES.values(), ids=STRATEGIES)
def test_an_entry_fits_itself(info: Any) -> None:
    """Choices name real options and contain their defaults, and defaults pass the checks."""
    assert set(info.choices) <= set(info.defaults)
    assert all(info.defaults[key] in choices for key, choices in info.choices.items())
    assert resolve_options(info, info.defaults) == info.defaults
    assert info.defaults["ttl_s"] == 900.0
    assert info.admits


def test_find_gives_the_entry() -> None:
    """A known name finds its entry."""
    assert find("db-cart").name == "db-cart"


def test_an_unknown_name_is_told_the_nearest_and_all_names() -> None:
    """The message repairs the mistake."""
    with pytest.raises(UnknownStrategy) as caught:
        find("db-crat")
    message = str(caught.value)
    assert "'db-crat'" in message
    assert "did you mean 'db-cart'?" in message
    assert all(name in message for name in STRATEGIES)


def test_options_fill_in_the_defaults() -> None:
    """What was not given keeps its default; text becomes the default's type."""
    given = {"batch": "10", "ttl_s": 60, "status_guard": "false", "reclaim": "cron-scan"}
    resolved = resolve_options(find("db-cart"), given)
    assert resolved == {
        **find("db-cart").defaults,
        "batch": 10,
        "ttl_s": 60.0,
        "status_guard": False,
        "reclaim": "cron-scan",
    }
    assert isinstance(resolved["ttl_s"], float)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("recliam", "x", "db-cart has no option 'recliam' (did you mean 'reclaim'?)"),
        ("reclaim", "cron", "'cron' must be one of: indexed-batch, cron-scan, delayed-task"),
        ("ttl_s", 0, "ttl_s = 0 must be a number, greater than 0"),
        ("ttl_s", "soon", "ttl_s = 'soon' must be a number, greater than 0"),
        ("ttl_s", float("nan"), "must be a number, greater than 0"),
        ("ttl_s", "inf", "must be a number, greater than 0"),
        ("ttl_s", True, "must be a number, greater than 0"),
        ("ttl_s", None, "must be a number, greater than 0"),
        ("sweeper_grace_s", -1, "must be a number, 0 or more"),
        ("batch", 0, "batch = 0 must be a whole number, greater than 0"),
        ("batch", 2.5, "must be a whole number, greater than 0"),
        ("batch", "2.5", "must be a whole number, greater than 0"),
        ("status_guard", "no", "status_guard = 'no' must be true or false"),
        ("payment_intent", 1, "must be true or false"),
    ],
)
def test_a_bad_option_is_told_what_is_allowed(key: str, value: Any, told: str) -> None:
    """The message names the strategy, the key, the value and what is allowed."""
    with pytest.raises(BadOption) as caught:
        resolve_options(find("db-cart"), {key: value})
    assert told in str(caught.value)
    assert "db-cart" in str(caught.value)


def test_a_grace_of_zero_is_allowed() -> None:
    """Zero is refused only where the default is positive."""
    assert resolve_options(find("db-cart"), {"sweeper_grace_s": "0"})["sweeper_grace_s"] == 0.0
