"""A compose stack that cannot start, or dies: one message with the remedy, and nothing left."""

import gc
import os
import re
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from chaos.containers.engine import engine_host
from chaos.containers.guardian import clear
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


class Relay:
    """A socket that leads to Docker's Engine until it is closed: an Engine that can die."""

    def __init__(self, path: str, engine_path: str) -> None:
        self._engine_path = engine_path
        self._open: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(path)
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket(socket.AF_UNIX)
                self._open += [near, far]
                far.connect(self._engine_path)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        """Die."""
        for each in (self._server, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Copy until one side ends."""
    with suppress(OSError):
        while received := source.recv(65536):
            sink.sendall(received)
        sink.shutdown(socket.SHUT_WR)


def check_without(relay: Relay, stack: ComposeStack) -> None:
    """Start a stack, end its Engine, and ask how it is."""
    with stack:
        relay.close()
        stack.check()


# docker-py leaves its socket open when it cannot connect; collected here, so that no other test is
# blamed for it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_dies_during_the_run(
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One message and the remedy; the guardian says what is left, as nobody can remove it."""
    path = f"{tmp_path}/docker.sock"
    relay = Relay(path, engine_host().removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    stack = ComposeStack()
    try:
        with pytest.raises(StackBroken, match=r"Engine does not answer .* systemctl"):
            check_without(relay, stack)
        assert f"containers of {stack.project} are left" in capfd.readouterr().err
    finally:
        clear(engine, stack.project)
        gc.collect()
