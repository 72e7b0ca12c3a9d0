"""A compose stack that cannot start, or dies: one message with the remedy, and nothing left."""

import os
import re
import socket
import subprocess

import docker
import pytest

from chaos.persistence import Persistence
from chaos.stacks.compose import IMAGES, ComposeStack
from chaos.stacks.contract import StackBroken, StackMissing

MINE = re.compile(rf"holdfast-{os.getpid()}-[0-9a-f]+")


def projects(engine: docker.DockerClient) -> set[str]:
    """This process's projects of which something is there."""
    made = [*engine.api.networks(), *(engine.api.volumes()["Volumes"] or [])]
    names = [each["Name"] for each in made]
    names += [name for each in engine.api.containers(all=True) for name in each["Names"]]
    return {found[0] for name in names if (found := MINE.search(name))}


def refusal(engine: docker.DockerClient, kind: type[Exception]) -> str:
    """Start a stack that cannot start; return what it says, having looked that nothing is left."""
    before = projects(engine)
    with pytest.raises(kind) as caught, ComposeStack():
        pytest.fail("it started")
    assert projects(engine) == before
    return str(caught.value)


def test_an_image_that_is_nowhere(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the variables, and the script that builds images without a registry."""
    monkeypatch.setenv("HOLDFAST_REDIS_IMAGE", "127.0.0.1:9/holdfast/none:0")
    told = refusal(engine, StackMissing)
    assert all(name in told for name in IMAGES)
    assert "tests.images.build" in told


def test_a_port_that_is_taken(engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable that asked for it."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        monkeypatch.setenv("HOLDFAST_REDIS_PORT", str(port))
        told = refusal(engine, StackMissing)
    assert f"HOLDFAST_REDIS_PORT={port}" in told
    assert "is taken" in told


def test_a_container_that_never_becomes_healthy(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It quotes the container's own log."""
    monkeypatch.setenv("HOLDFAST_REDIS_APPENDFSYNC", "sometimes")
    told = refusal(engine, StackBroken)
    assert told.startswith("redis: its container ended while it was starting (exit status 1)")
    assert "sometimes" in told


def test_a_container_that_dies_during_the_run(
    stack: ComposeStack, engine: docker.DockerClient
) -> None:
    """Whoever killed it: it is told from a fault of ours, and the next renewal brings it back."""
    subprocess.run(["docker", "kill", stack.database.child.id], check=True, capture_output=True)  # noqa: S607
    with pytest.raises(StackBroken, match=r"postgres: its container is not running"):
        stack.check()
    stack.database.start()
    stack.renew(Persistence.NONE)
    stack.check()
