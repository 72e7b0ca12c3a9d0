"""Nothing is left behind, however a stack ends: no process, no port, no directory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from chaos.stacks.contract import StackBroken
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import port_of
from tests.live.leftovers import GONE_S, Made, lives

ROOT = Path(__file__).parents[2]

MAKER = """
import json, signal, sys, time
from chaos.faults import DatabaseRestart, Death, StorePause, Target
from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import connect

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
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


def test_nothing_is_left_after_an_exception(servers: None) -> None:
    """Leaving the block by an exception removes everything before it returns.

    Paused servers and open connections do not keep it, and a PostgreSQL that was killed leaves no
    shared memory, which it could not give back itself.
    """
    ends = (
        "stack.strike(DatabaseRestart(down_s=1.0, death=Death.SIGKILL));"
        " raise RuntimeError('amid a run')"
    )
    with another_process(ends) as (process, made):
        process.wait(GONE_S)
        assert made.left() == []
        assert process.returncode == 1


def test_nothing_is_left_after_a_ctrl_c(servers: None) -> None:
    """SIGINT raises in the maker, and its guardian and servers, in sessions apart, get none."""
    with another_process("time.sleep(600)") as (process, made):
        process.send_signal(signal.SIGINT)
        process.wait(GONE_S)
        assert made.left() == []
        assert process.returncode == -signal.SIGINT


def test_nothing_is_left_when_the_maker_is_killed(servers: None) -> None:
    """After SIGKILL the guardian cleans, also when a forked worker holds its pipe open."""
    ends = "import os; os.fork() or time.sleep(600); time.sleep(600)"
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
