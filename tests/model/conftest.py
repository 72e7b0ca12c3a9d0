"""Every small world a test made is closed after it, with its files."""

from collections.abc import Iterator

import pytest

from tests.model.driving import SmallWorld


@pytest.fixture(autouse=True)
def _close_worlds() -> Iterator[None]:
    yield
    SmallWorld.close_all()
