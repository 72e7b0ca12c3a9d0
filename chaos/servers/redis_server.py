"""A real redis-server in a private room: on an empty disk, killed, paused and brought back."""

import secrets
import shutil
import signal
from pathlib import Path

from chaos.persistence import Persistence
from chaos.servers.binaries import Program
from chaos.servers.child import Child
from chaos.servers.health import end, prove, redis_amiss
from chaos.servers.room import Room

PERSISTENCE_LINES = {
    Persistence.NONE: 'save ""\nappendonly no\n',
    Persistence.RDB: "appendonly no\n",  # the server's own save points
    Persistence.AOF_ALWAYS: 'save ""\nappendonly yes\nappendfsync always\n',
    Persistence.AOF_EVERYSEC: 'save ""\nappendonly yes\nappendfsync everysec\n',
    Persistence.AOF_NO: 'save ""\nappendonly yes\nappendfsync no\n',
}
"""What makes a Redis keep its data so: lines of its configuration file."""


class RedisServer:
    """One redis-server with a password, on one port, for the life of a stack."""

    def __init__(self, room: Room, program: Program, port: int) -> None:
        self.port = port
        self.program = program
        self.password = secrets.token_urlsafe(12)
        self.persistence = Persistence.NONE
        self.child = Child("redis", room.subfolder("redis"))
        self.data = self.child.folder / "data"
        self.environment: dict[str, str] = {}
        room.admit(program.path)

    @property
    def url(self) -> str:
        """Where it listens itself, without a proxy."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """Where it is reached through another port."""
        return f"redis://:{self.password}@127.0.0.1:{port}/0"

    @property
    def has_aof(self) -> bool:
        """Whether it keeps an append-only file now."""
        return self.persistence not in {Persistence.NONE, Persistence.RDB}

    def renew(self, persistence: Persistence) -> None:
        """Start over on an empty disk with this persistence.

        Raises:
            StackBroken: it did not become healthy.
        """
        self.child.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        self.persistence = persistence
        self._configuration().write_text(
            f'bind 127.0.0.1\nport {self.port}\ndir "{self.data}"\ndaemonize no\n'
            f"requirepass {self.password}\n{PERSISTENCE_LINES[persistence]}",
            encoding="utf-8",
        )
        self._configuration().chmod(0o600)
        self.start()

    def start(self) -> None:
        """Start it on the disk as it is, and wait until its data are loaded.

        Raises:
            StackBroken: it did not become healthy.
        """
        command = [self.program.path, self._configuration()]
        self.child.start(command, {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **self.environment})
        self.child.await_healthy(self.amiss)

    def stop(self) -> bool:
        """Stop it with SIGTERM, as a service manager does; False if it had to be killed."""
        return end(self.child, signal.SIGTERM)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers, and its data are loaded."""
        return redis_amiss(self.url)

    def check(self) -> None:
        """Prove that it answers.

        Raises:
            StackBroken: it does not.
        """
        prove(self.child, self.amiss)

    def _configuration(self) -> Path:
        return self.child.folder / "redis.conf"
