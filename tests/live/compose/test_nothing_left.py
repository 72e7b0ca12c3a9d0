"""However its owner ends, nothing of a compose stack is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import docker
import pytest

from chaos.containers.guardian import PROJECT_LABEL
from chaos.containers.leftovers import OWNER_LABEL, Owner, remove_leftovers
from tests.live.compose.remains import eventually, everything, volumes

ROOT = Path(__file__).parents[3]
ENDS = ("normally", "by an exception", "by SIGINT", "by SIGKILL")
SIGNALS = {"by SIGINT": signal.SIGINT, "by SIGKILL": signal.SIGKILL}
PRESENT = {"containers": 3, "networks": 1, "volumes": 2, "ports": 5, "processes": 1}
OTHER_COMPOSE = {"HOLDFAST_COMPOSE": "docker-compose"} if which("docker-compose") else {}
GONE = dict.fromkeys(PRESENT, 0)
OWNER = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from chaos.stacks.compose import ComposeStack
with ComposeStack() as stack:
    ports = list(stack._ports.numbers.values())
    print(json.dumps({"project": stack.project, "ports": ports}), flush=True)
    sys.stdin.readline()
    if sys.argv[1] == "by an exception":
        raise RuntimeError("a failed run")
    if sys.argv[1] != "normally":
        time.sleep(60)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A process that has a stack, and what it said about it."""

    process: "subprocess.Popen[str]"
    project: str
    ports: list[int]


@pytest.fixture(scope="module")
def owners(engine: docker.DockerClient) -> Iterator[dict[str, Owned]]:
    """One owner for each end, each with a stack of its own, all at the same time."""
    started = {end: start(end) for end in ENDS}
    yield {end: hear(process) for end, process in started.items()}
    for process in started.values():
        process.kill()
        process.communicate()


def start(end: str) -> "subprocess.Popen[str]":
    """Start an owner."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, end],
        cwd=ROOT,
        env={**os.environ, **(OTHER_COMPOSE if end in {"normally", "by SIGINT"} else {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def hear(process: "subprocess.Popen[str]") -> Owned:
    """Wait until its stack is up."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.communicate()[1])
    told = json.loads(line)
    return Owned(process=process, project=told["project"], ports=told["ports"])


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left(engine: docker.DockerClient, owners: dict[str, Owned], end: str) -> None:
    """No container, network, volume, port or guardian; before its end there were some of each.

    Where both versions of Compose are installed, two of the stacks are made by the first.
    """
    owned = owners[end]
    assert everything(engine, owned.project, owned.ports) == PRESENT
    assert owned.process.stdin is not None
    owned.process.stdin.write("\n")
    owned.process.stdin.flush()
    if end in SIGNALS:
        owned.process.send_signal(SIGNALS[end])
    _, complaint = owned.process.communicate(timeout=30)
    if end == "by SIGKILL":  # its guardian removes it
        assert eventually(lambda: everything(engine, owned.project, owned.ports) == GONE)
    assert everything(engine, owned.project, owned.ports) == GONE, complaint
    assert (owned.process.returncode == 0) == (end == "normally")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_start_cut_short(
    engine: docker.DockerClient, number: signal.Signals
) -> None:
    """Compose is making the containers when its owner ends: they go as soon as they are made."""
    process = start("normally")
    mine = f"holdfast-{process.pid}-"
    chosen = {"label": PROJECT_LABEL}

    def made() -> list[str]:
        found = engine.api.networks(filters=chosen)
        return [each["Name"] for each in found if each["Name"].startswith(mine)]

    assert eventually(lambda: bool(made()))
    project = made()[0].removesuffix("_default")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert eventually(lambda: set(everything(engine, project, []).values()) == {0})


def test_the_next_command_removes_what_a_dead_owner_left(engine: docker.DockerClient) -> None:
    """Also without a guardian; what belongs to the living, or to the unknown, stays."""
    me = Owner.me()
    owners = {
        "holdfast-test-dead": Owner(pid=me.pid, started="1.00", boot=me.boot, space=me.space),
        "holdfast-test-rebooted": Owner(pid=1, started="1.00", boot="before", space=me.space),
        "holdfast-test-alive": me,
        "holdfast-test-elsewhere": Owner(pid=1, started="1.00", boot=me.boot, space="pid:[1]"),
    }
    for project, owner in owners.items():
        labels = {PROJECT_LABEL: project, OWNER_LABEL: owner.label}
        engine.volumes.create(name=f"{project}_data", labels=labels)
    try:
        removed = remove_leftovers(engine)
        left = [project for project in owners if volumes(engine, project)]
    finally:
        for project in owners:
            for name in volumes(engine, project):
                engine.api.remove_volume(name)
    assert {"holdfast-test-dead", "holdfast-test-rebooted"} <= set(removed)
    assert left == ["holdfast-test-alive", "holdfast-test-elsewhere"]
