"""Servers that end: asked to (SIGTERM), killed (SIGKILL), or with their machine's power."""

from threading import Lock

from chaos.faults import Death, RedisDeath
from chaos.servers.postgres_server import PostgresServer
from chaos.servers.redis_server import RedisServer


class RedisEnd:
    """Redis has ended; healing starts it on what its disk kept."""

    def __init__(self, server: RedisServer, fault: RedisDeath) -> None:
        self._server = server
        self._lock = Lock()
        self._healed = False
        self.struck = True
        self.detail = f"persistence {server.persistence}"
        if fault.death is Death.SIGTERM:
            if not server.stop():
                self.detail += ": did not end on SIGTERM, killed"
        else:
            server.child.kill()

    def heal(self) -> None:
        """See `Breakage`."""
        with self._lock:
            if not self._healed:
                self._server.start()
                self._healed = True


class DatabaseEnd:
    """The database has ended; healing starts it, and it recovers its commits."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._lock = Lock()
        self._healed = False
        self.struck = True
        self.detail = "stopped" if server.stop() else "did not stop when told to, killed"

    def heal(self) -> None:
        """See `Breakage`."""
        with self._lock:
            if not self._healed:
                self._server.start()
                self._healed = True
