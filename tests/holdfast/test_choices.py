"""The little languages of the command line, and what they say to mistakes."""

import pytest

from chaos.persistence import Persistence
from holdfast.choices import (
    StrategyChoice,
    parse_names,
    parse_overrides,
    parse_persistence,
    parse_strategies,
)
from holdfast.errors import WrongCommand


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("redis-hold", [("redis-hold", {})]),
        ("db-cart, redis-hold", [("db-cart", {}), ("redis-hold", {})]),
        (
            "db-cart:give_back=split,reclaim=cron-scan,redis-hold",
            [("db-cart", {"give_back": "split", "reclaim": "cron-scan"}), ("redis-hold", {})],
        ),
        (
            "db-cart,db-cart:give_back=split",
            [("db-cart", {}), ("db-cart", {"give_back": "split"})],
        ),
    ],
)
def test_strategies_and_their_options_are_told_apart(
    text: str, choices: list[tuple[str, dict[str, str]]]
) -> None:
    """A piece with `=` belongs to the strategy before it; everything else is a new one."""
    expected = [StrategyChoice(name=name, options=options) for name, options in choices]
    assert parse_strategies(text) == expected


def test_a_label_can_be_written_again() -> None:
    """What a report calls a strategy can be given back on the command line."""
    text = "db-cart:give_back=split,batch=10"
    (choice,) = parse_strategies(text)
    assert choice.label == text
    assert choice.title == "db-cart (give_back=split, batch=10)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty name"),
        ("a,,b", "empty name"),
        (":x=1", "empty name"),
        ("x=1", "no strategy is before it"),
        ("a:b", "not key=value"),
        ("a:b=", "not key=value"),
        ("a:b=1,b=2", "'b' twice"),
        ("a,a", "named twice"),
        ("a:b=1,a:b=1", "named twice"),
    ],
)
def test_bad_strategies_are_refused(text: str, told: str) -> None:
    """The message names the option and the piece that is wrong."""
    with pytest.raises(WrongCommand, match=told) as caught:
        parse_strategies(text)
    assert str(caught.value).startswith("--strategies: ")


def test_names_persistence_and_settings_are_read() -> None:
    """Lists are split at commas, settings at the first equals sign."""
    assert parse_names("--faults", "none, a+b") == ["none", "a+b"]
    assert parse_persistence("none,aof-always") == [Persistence.NONE, Persistence.AOF_ALWAYS]
    assert parse_overrides(["a.b=1", "c=d=e"]) == {"a.b": "1", "c": "d=e"}


def test_bad_lists_are_refused() -> None:
    """An empty, repeated or unknown item is named."""
    with pytest.raises(WrongCommand, match="--faults: 'x' is named twice"):
        parse_names("--faults", "x,x")
    with pytest.raises(WrongCommand, match="--faults: 'x,' has an empty name"):
        parse_names("--faults", "x,")
    with pytest.raises(WrongCommand, match=r"'aof' is unknown.*aof-always"):
        parse_persistence("aof")
    with pytest.raises(WrongCommand, match="--set: 'capacity' is not key=value"):
        parse_overrides(["capacity"])
    with pytest.raises(WrongCommand, match="'a' is given twice"):
        parse_overrides(["a=1", "a=2"])
