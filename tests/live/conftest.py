"""Real servers for the tests of this folder.

Without a component its tests are skipped, with the remedy. What `HOLDFAST_REQUIRE` names
(of `redis,postgres,toxiproxy,docker,compiler`) must be there: a skip for want of it is a failure.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from chaos.persistence import Persistence
from chaos.servers.binaries import postgres, redis_server
from chaos.stacks.contract import StackMissing
from chaos.stacks.embedded import EmbeddedStack

HERE = Path(__file__).parent
VARIABLE = "HOLDFAST_REQUIRE"
COMPONENTS = ("redis", "postgres", "toxiproxy", "docker", "compiler")


def lacks(component: str, reason: str) -> NoReturn:
    """Skip for want of a component; fail when it is required."""
    if component in required():
        pytest.fail(f"{VARIABLE} names {component}: {reason}", pytrace=False)
    pytest.skip(reason)


def required() -> set[str]:
    """The components that must be there.

    Raises:
        pytest.UsageError: one is unknown; its absence would be skipped in silence.
    """
    names = {name.strip() for name in os.environ.get(VARIABLE, "").split(",")} - {""}
    unknown = sorted(names - set(COMPONENTS))
    if unknown:
        raise pytest.UsageError(
            f"{VARIABLE}: unknown {', '.join(unknown)}; allowed: {', '.join(COMPONENTS)}"
        )
    return names


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder is `live`, and one worker's under `--dist loadgroup`."""
    required()
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("live")
            item.add_marker(pytest.mark.xdist_group("live"))


@pytest.fixture(scope="session")
def servers() -> None:
    """Require the programs of a real Redis and a real PostgreSQL."""
    for component, find in (("redis", redis_server), ("postgres", postgres)):
        try:
            find()
        except StackMissing as missing:
            lacks(component, str(missing))


@pytest.fixture(scope="session")
def embedded_stack(servers: None) -> Iterator[EmbeddedStack]:
    """The servers of this session, started once."""
    with EmbeddedStack() as stack:
        yield stack


@pytest.fixture
def embedded(embedded_stack: EmbeddedStack) -> Iterator[EmbeddedStack]:
    """Give the session's servers, empty, Redis without persistence; healed and proved afterwards.

    A test that wants a persistence calls `renew` itself.
    """
    embedded_stack.renew(Persistence.NONE)
    yield embedded_stack
    embedded_stack.heal()
    embedded_stack.check()


@pytest.fixture
def toxiproxy(embedded_stack: EmbeddedStack) -> None:
    """Require a Toxiproxy in front of the embedded servers."""
    missing = embedded_stack.lacking.get("toxiproxy")
    if missing is not None:
        lacks("toxiproxy", missing)


@pytest.fixture
def watched_disk(embedded_stack: EmbeddedStack) -> None:
    """Require a C compiler; every fsync of Redis is watched then."""
    missing = embedded_stack.lacking.get("disk")
    if missing is not None:
        lacks("compiler", missing)
