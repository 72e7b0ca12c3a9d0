"""Nothing is left behind, however a stack ends: no process, no port, no directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from chaos.stacks.contract import StackBroken
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import greet, port_of

ROOT = Path(__file__).parents[2]
GONE_S = 20.0

MAKER = """
import json, sys, time
from chaos.faults import StorePause, Target
from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import connect

with EmbeddedStack() as stack:
    endpoints = stack.renew(Persistence.AOF_EVERYSEC)
    backend = connect(endpoints.direct_database_url)
    for target in (Target.REDIS, Target.DATABASE):
        stack.strike(StorePause(target=target, duration_s=1.0))
    servers = [stack.redis.child, stack.database.child]
    if stack.toxiproxy is not None:
        servers.append(stack.toxiproxy.child)
    print(json.dumps({
        "room": str(stack.redis.child.folder.parent),
        "pids": [each.pid for server in servers for each in server.family()],
        "urls": [endpoints.redis_url, endpoints.direct_redis_url, endpoints.direct_database_url],
    }), flush=True)
    {ends}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a stack of another process made."""

    room: Path
    pids: list[int]
    ports: list[int]

    def left(self) -> list[str]:
        """Say what of it is still there."""
        found = [f"directory {self.room}"] if self.room.exists() else []
        found += [f"process {pid}" for pid in self.pids if lives(pid)]
        for process in psutil.process_iter():
            try:
                if str(self.room) in " ".join(process.cmdline()):
                    found.append(f"process {process.pid}: {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        for port in self.ports:
            try:
                bind(port)
            except OSError as error:
                found.append(f"port {port}: {error}")
        return found

    def await_gone(self) -> list[str]:
        """Wait until nothing is left, or say what is."""
        deadline_s = time.monotonic() + GONE_S
        while (left := self.left()) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return left


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended may stay as a zombie until init reaps it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def bind(port: int) -> None:
    """Bind a port, as a server that starts again would.

    Raises:
        OSError: somebody listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        probe.listen()


@contextmanager
def another_process(ends: str) -> Iterator[tuple[subprocess.Popen[str], Made]]:
    """A process with a stack whose servers are paused, and what it made."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER.replace("{ends}", ends)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        told = json.loads(line)
        made = Made(
            room=Path(told["room"]), pids=told["pids"], ports=[port_of(url) for url in told["urls"]]
        )
        assert len(made.left()) >= 1 + len(made.pids)  # it is there: the test can see it
        yield process, made


@pytest.mark.parametrize("ends", ["pass", "raise RuntimeError('amid a run')"])
def test_nothing_is_left_when_the_block_ends(servers: None, ends: str) -> None:
    """Leaving the block, normally or by an exception, removes everything before it returns.

    Paused servers and open connections do not keep it.
    """
    with another_process(ends) as (process, made):
        process.wait(GONE_S)
        assert made.left() == []
        assert process.returncode == (0 if ends == "pass" else 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_maker_is_killed(servers: None, number: signal.Signals) -> None:
    """Ctrl-C raises in the maker; after SIGTERM and SIGKILL it is the guardian that cleans."""
    with another_process("time.sleep(600)") as (process, made):
        process.send_signal(number)
        process.wait(GONE_S)
        assert made.await_gone() == []


def test_nothing_is_left_when_a_child_of_the_maker_lives_on(servers: None) -> None:
    """A forked worker holds the guardian's pipe open; the guardian looks for its parent too."""
    ends = "import os; os.fork() or (os.setsid(), time.sleep(600)); time.sleep(600)"
    with another_process(ends) as (process, made):
        time.sleep(0.2)
        workers = psutil.Process(process.pid).children()
        process.kill()
        process.wait(GONE_S)
        try:
            assert made.await_gone() == []
        finally:
            for worker in workers:
                if lives(worker.pid) and "time.sleep(600)" in " ".join(worker.cmdline()):
                    worker.kill()


def test_a_failed_start_leaves_nothing(
    servers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When PostgreSQL cannot start, the Redis that was up already is stopped again."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tmp_path.chmod(0o755)
    started = []
    renew = EmbeddedStack.__enter__.__globals__["RedisServer"].renew

    def remember(server: object, persistence: object) -> None:
        renew(server, persistence)
        started.append(server)

    def refuse(server: object) -> None:
        raise StackBroken("postgres: no")

    monkeypatch.setattr("chaos.stacks.embedded.RedisServer.renew", remember)
    monkeypatch.setattr("chaos.stacks.embedded.PostgresServer.create", refuse)
    with pytest.raises(StackBroken, match="postgres: no"), EmbeddedStack():
        pass
    (redis,) = started
    assert not redis.child.running
    assert list(tmp_path.iterdir()) == []


def test_a_stack_can_be_started_beside_another(embedded: EmbeddedStack) -> None:
    """Two stacks share nothing, and ending one leaves the other alone."""
    with EmbeddedStack() as other:
        ours = set(map(port_of, vars_of(embedded)))
        theirs = set(map(port_of, vars_of(other)))
        assert not ours & theirs
    embedded.check()
    assert all(greet_any(port) == "refused" for port in theirs)


def vars_of(stack: EmbeddedStack) -> list[str]:
    """The URLs of a stack."""
    endpoints = stack.endpoints
    return [
        endpoints.redis_url,
        endpoints.database_url,
        endpoints.direct_redis_url,
        endpoints.direct_database_url,
    ]


def greet_any(port: int) -> str:
    """What a client of Redis meets on a port."""
    from chaos.faults import Target

    return greet(Target.REDIS, port)
