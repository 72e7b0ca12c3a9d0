"""One nursery of application servers for the tests of this folder."""

from collections.abc import Iterator

import pytest

from chaos.stacks.embedded import EmbeddedStack
from model.live.nursery import Nursery
from model.live.run import Arm
from tests.live.runner.sales import arm_on


@pytest.fixture(scope="session")
def nursery(servers: None) -> Iterator[Nursery]:
    """Where application servers are forked."""
    with Nursery() as found:
        yield found


@pytest.fixture
def arm(embedded: EmbeddedStack, nursery: Nursery) -> Arm:
    """The embedded stack and the nursery, in fast time."""
    return arm_on(embedded, nursery)
