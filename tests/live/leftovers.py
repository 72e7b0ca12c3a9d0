"""What a stack made, and what of it is still there."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import port_of

GONE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a stack of another process made."""

    room: Path
    pids: list[int]
    ports: list[int]

    @classmethod
    def of(cls, stack: EmbeddedStack) -> Self:
        """What a stack of this process made."""
        endpoints = stack.endpoints
        servers = [stack.redis.child, stack.database.child]
        if stack.toxiproxy is not None:
            servers.append(stack.toxiproxy.child)
        urls = (
            endpoints.redis_url,
            endpoints.database_url,
            endpoints.direct_redis_url,
            endpoints.direct_database_url,
        )
        return cls(
            room=stack.redis.child.folder.parent,
            pids=[process.pid for server in servers for process in server.family()],
            ports=[port_of(url) for url in urls],
        )

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
        found += [f"shared memory {segment}" for segment in self._segments()]
        for port in self.ports:
            try:
                bind(port)
            except OSError as error:
                found.append(f"port {port}: {error}")
        return found

    def _segments(self) -> list[str]:
        """System V segments that one of the processes made (Linux lists them with its pid)."""
        listed = Path("/proc/sysvipc/shm")
        lines = listed.read_text(encoding="utf-8").splitlines()[1:] if listed.exists() else []
        return [line.split()[1] for line in lines if int(line.split()[4]) in self.pids]

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
