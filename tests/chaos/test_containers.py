"""What stands around containers and needs no Docker: messages, owners, the choice of Compose."""

import os
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from chaos.containers import compose_command, engine, leftovers
from chaos.containers.compose_command import CHOOSE, compose, compose_file, toxiproxy_folder
from chaos.containers.engine import connect
from chaos.containers.leftovers import Owner
from chaos.stacks.compose import PORTS, ComposeStack
from chaos.stacks.contract import StackMissing


def nothing_on_path(_: str) -> None:
    """A `which` that finds nothing."""


def message(monkeypatch: pytest.MonkeyPatch, host: str) -> str:
    """What a stack says when Docker is there."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(StackMissing) as caught, ComposeStack():
        pytest.fail("it started")
    assert str(caught.value).startswith("docker: ")
    return str(caught.value)


def test_docker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No socket, and no program either: the remedy is to install it."""
    monkeypatch.setattr(engine.shutil, "which", nothing_on_path)
    assert "not installed. apt install docker.io" in message(monkeypatch, f"unix://{tmp_path}/no")


def test_docker_that_is_not_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No socket, but the program: the remedy is to start it."""
    monkeypatch.setattr(engine.shutil, "which", lambda _: "/usr/bin/docker")
    told = message(monkeypatch, f"unix://{tmp_path}/no")
    assert "not running" in told
    assert "systemctl start docker" in told


@pytest.fixture
def deaf(tmp_path: Path) -> str:
    """A socket that nobody listens on."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return f"unix://{path}"


def test_docker_that_died(monkeypatch: pytest.MonkeyPatch, deaf: str) -> None:
    """Its socket is left, and nobody answers."""
    assert "does not answer" in message(monkeypatch, deaf)


def test_docker_that_is_not_ours(monkeypatch: pytest.MonkeyPatch, deaf: str) -> None:
    """The socket may not be used: the remedy is the group."""
    monkeypatch.setattr(engine.os, "access", lambda *_: False)
    assert "usermod -aG docker" in message(monkeypatch, deaf)


def test_docker_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports on the 127.0.0.1 of another machine are of no use here."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(StackMissing, match="unset it"):
        connect()


def test_compose_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither version: the remedy is to install one."""
    monkeypatch.delenv(CHOOSE, raising=False)
    monkeypatch.setattr(compose_command.shutil, "which", nothing_on_path)
    with pytest.raises(StackMissing, match="apt install docker-compose"):
        compose.__wrapped__()


@pytest.mark.parametrize(
    ("says", "told"),
    [("1.25.0", "is 1.25.0, 1.27 is needed"), ("", f"{CHOOSE}: 'composer' is not Compose")],
)
def test_compose_that_is_too_old_or_something_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, told: str
) -> None:
    """The chosen command is asked for its version, and named in the message."""
    program = tmp_path / "composer"
    program.write_text(f"#!/bin/sh\n[ -n '{says}' ] && echo {says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv(CHOOSE, "composer")
    with pytest.raises(StackMissing, match=told):
        compose.__wrapped__()


@pytest.mark.parametrize(
    ("said", "number"), [("2.40.3", (2, 40)), ("dev", (2,)), ("1.29", (1, 29))]
)
def test_versions_of_compose_are_compared(said: str, number: tuple[int, ...]) -> None:
    """One built from source has no number and is taken for new."""
    assert compose_command._number(said) == number


def test_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before anything is made; the variable is named."""
    from chaos.stacks.compose import _Ports

    monkeypatch.setenv("HOLDFAST_REDIS_PORT", "redis")
    with pytest.raises(StackMissing, match="HOLDFAST_REDIS_PORT: 'redis' is not a port"):
        _Ports.choose()


def test_every_port_and_file_of_the_stack_is_in_docker_compose_yml() -> None:
    """A variable that the file does not read would be ignored in silence."""
    told = compose_file().read_text(encoding="utf-8")
    for variable in (*PORTS.values(), "HOLDFAST_TOXIPROXY_FOLDER", "HOLDFAST_OWNER"):
        assert f"${{{variable}:-" in told
    assert (toxiproxy_folder() / "Dockerfile").is_file()


def test_an_owner_is_recognised_by_its_start_and_machine() -> None:
    """Alive: me. Gone: another start, another boot. Unknown counts as alive: another container."""
    me = Owner.me()
    read = Owner.parse(me.label)
    assert read == me
    assert not me.gone
    assert Owner(pid=me.pid, started="1.00", boot=me.boot, space=me.space).gone
    assert Owner(pid=me.pid, started=me.started, boot="before", space=me.space).gone
    assert not Owner(pid=1, started="1.00", boot=me.boot, space="another").gone


def test_an_owner_that_has_ended_is_gone() -> None:
    """Also while it is a zombie, which nobody has waited for."""
    me = Owner.me()
    with subprocess.Popen(["sleep", "60"]) as process:  # noqa: S607 - wherever it is
        started = leftovers._started(process.pid)
        owner = Owner(pid=process.pid, started=started, boot=me.boot, space=me.space)
        assert not owner.gone
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(process.pid)
        assert owner.gone
    assert owner.gone


@pytest.mark.parametrize("label", ["nobody", "", "12/3", "x/1.00/a/b"])
def test_a_label_of_somebody_else_is_no_owner(label: str) -> None:
    """`docker compose up` by hand writes `nobody`: such containers are left alone."""
    assert Owner.parse(label) is None
