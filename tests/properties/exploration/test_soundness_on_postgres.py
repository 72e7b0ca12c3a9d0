"""On PostgreSQL too, the reduced search finds exactly what the unreduced one finds."""

from typing import Any

import pytest

from properties.exploration.exhaustive import Search
from tests.properties.exploration.postgres import (
    DEADLOCKING,
    explored,
    needs_postgres,
    on_postgres,
)
from tests.properties.exploration.test_soundness import found_out

pytestmark = needs_postgres

LEAVE = ("leave", "leave")
ENUMERATED: list[tuple[str, dict[str, Any]]] = [
    ("db-cart-naive", {}),
    ("db-cart-row-lock", {}),
    ("db-cart-row-lock", {"options": DEADLOCKING, "attempts": 1}),
    ("db-cart", {}),
    ("db-cart", {"isolation": "repeatable-read"}),
    ("db-derived", {}),
    ("db-derived", {"isolation": "repeatable-read"}),
    ("db-derived", {"isolation": "serializable"}),
]
REDUCED: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("db-cart", ("pay", "pay"), {}),
    ("db-cart-row-lock", ("leave",) * 3, {}),
    ("seat-setnx", ("pay", "leave"), {}),
    ("redis-counter", ("pay", "leave"), {}),
    ("db-cart-naive", LEAVE, {"isolation": "serializable"}),
    ("db-cart", LEAVE, {"happenings": {"lost-reply": 1}}),
    ("db-cart", ("leave",), {"happenings": {"sweep": 1, "expire": 1}}),
    ("db-cart", LEAVE, {"happenings": {"db-restart": 1}, "capacity": 2}),
    ("db-cart-row-lock", LEAVE, {"happenings": {"app-kill": 1}}),
]


@pytest.mark.parametrize(("strategy", "more"), ENUMERATED)
def test_matching_and_reduction_lose_nothing(strategy: str, more: dict[str, Any]) -> None:
    """Against every schedule of two buyers who hold, one by one."""
    small = on_postgres(strategy, *LEAVE, **more)
    reduced = explored(small)
    enumerated = explored(small, reduce=False, match=False)
    assert found_out(reduced) == found_out(enumerated)
    assert enumerated.turns > reduced.turns


@pytest.mark.parametrize(("strategy", "visits", "more"), REDUCED)
def test_reduction_loses_nothing(
    strategy: str, visits: tuple[str, ...], more: dict[str, Any]
) -> None:
    """Against a search that tries every order of any two moves."""
    small = on_postgres(strategy, *visits, **more)
    reduced, whole = explored(small), explored(small, reduce=False)
    assert found_out(reduced) == found_out(whole)
    assert reduced.turns <= whole.turns


def test_what_a_statement_locks_is_what_keeps_the_search_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control: with statements that seem to touch nothing, the search misses final states."""
    from model.exploring.postgres import client
    from model.exploring.postgres.locking import Access
    from model.exploring.touching import NOTHING

    small = on_postgres("db-cart-naive", *LEAVE)
    whole = explored(small, reduce=False)
    monkeypatch.setattr(client, "access_of", lambda *_a, **_k: Access(touched=NOTHING))
    assert explored(small).finals < whole.finals


@pytest.mark.parametrize("level", ["read-committed", "serializable"])
def test_each_path_goes_the_same_way_twice(level: str) -> None:
    """Waits, victims and serialization failures are the same in each execution of a schedule."""
    small = on_postgres(
        "db-cart-row-lock", *LEAVE, options=DEADLOCKING, attempts=1, isolation=level
    )
    found = Search(small, twice=True).run()
    assert found.complete
    assert "deadlock" in found.seen
