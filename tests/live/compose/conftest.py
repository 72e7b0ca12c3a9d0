"""One compose stack for the tests of this folder, from images built of what is installed here."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from chaos.containers.compose_command import compose
from chaos.containers.engine import connect
from chaos.stacks.compose import IMAGES, ComposeStack
from chaos.stacks.contract import StackMissing
from tests.images.build import build_all
from tests.images.rootfs import CannotBuild
from tests.live.conftest import lacks

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs Docker."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("docker")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """Require Docker's Engine, Compose, and the three images."""
    try:
        client = connect()
        compose()
        if not all(os.environ.get(name) for name in IMAGES):
            os.environ.update(build_all())
    except (StackMissing, CannotBuild) as missing:
        lacks("docker", str(missing))
    yield client
    client.close()


@pytest.fixture(scope="session")
def compose_stack(engine: docker.DockerClient) -> Iterator[ComposeStack]:
    """The containers of this session, started once."""
    with ComposeStack() as stack:
        yield stack


@pytest.fixture
def stack(compose_stack: ComposeStack) -> Iterator[ComposeStack]:
    """The session's containers, as the test before left them; healed and proved afterwards."""
    yield compose_stack
    compose_stack.heal()
    compose_stack.check()
