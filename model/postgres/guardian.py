"""Runs one private PostgreSQL cluster and takes it down with whoever asked for it, however he ends.

A program of its own, in a session of its own, with the standard library only. Its standard input is
a pipe that only its parent holds open: when it ends (closed, or the parent was killed), the server,
its processes and its folder are removed. Standard output gets one line: `ready`, or what failed.

    python -I -S guardian.py '{"bin": ..., "folder": ..., "user": ..., "settings": {...}}'
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 30.0
SHUTDOWN_S = 3.0
READY = b"ready"


class Failed(Exception):
    """The cluster does not run; the message is what its programs said."""


class Guardian:
    """One cluster from its first file to its last."""

    def __init__(self, order: dict[str, str | dict[str, str] | None]) -> None:
        self.bin = Path(str(order["bin"]))
        self.folder = Path(str(order["folder"]))
        self.data = self.folder / "data"
        user = order["user"]
        self.user = str(user) if user else None
        settings = order["settings"]
        assert isinstance(settings, dict)
        self.settings = settings
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster and start it.

        Raises:
            Failed: with the last lines of what initdb or the server printed.
        """
        initdb = ["initdb", "-D", str(self.data), "-U", "holdfast", "-A", "trust", "-E", "UTF8"]
        self._run([*initdb, "--no-locale", "--no-sync", "--no-instructions"])
        self._wait(lambda: self.child is not None and self.child.poll() is not None)
        assert self.child is not None
        if self.child.returncode:
            raise Failed(self._last_lines())
        options = [
            part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")
        ]
        self._run(["postgres", "-D", str(self.data), *options])
        self._wait(self._is_up)

    def _run(self, command: list[str]) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - programs of the wheel
                [str(self.bin / command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self.user,
                group=self.user and _group(self.user),
                extra_groups=None if self.user is None else [],
                start_new_session=True,
            )

    def _is_up(self) -> bool:
        assert self.child is not None
        if self.child.poll() is not None:
            raise Failed(self._last_lines())
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - its eighth line

    def _wait(self, over) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        give_up_s = time.monotonic() + PATIENCE_S
        while not over():
            if time.monotonic() > give_up_s:
                raise Failed(f"not ready after {PATIENCE_S:g} s. {self._last_lines()}")
            if parent_left(0.005):
                raise SystemExit(0)

    def _last_lines(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "server.log").read_text(errors="replace").split("\n")
            told = [line.strip() for line in lines if "error" in line.lower() or "FATAL" in line]
            return " / ".join((told or [line.strip() for line in lines if line.strip()])[-3:])
        return "(it left no log)"

    def stop(self) -> None:
        """End every process of the cluster and remove its folder."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(signal.SIGQUIT)  # "immediate shutdown"
            give_up_s = time.monotonic() + SHUTDOWN_S
            while self.child.poll() is None and time.monotonic() < give_up_s:
                for pid in children_of(self.child.pid):  # some are stopped in the middle of a wait
                    _signal(pid, signal.SIGCONT)
                time.sleep(0.01)
            orphans = children_of(self.child.pid)
            self.child.kill()
            for pid in orphans:
                _signal(pid, signal.SIGKILL)
            self.child.wait()
        for _ in range(20):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return
            time.sleep(0.05)


def children_of(parent: int) -> list[int]:
    """The processes whose parent is `parent`; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.parent.name))
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def parent_left(timeout_s: float | None) -> bool:
    """Whether standard input has ended, after waiting so long at most."""
    ready, _, _ = select.select([0], [], [], timeout_s)
    return bool(ready) and not os.read(0, 64)


def main() -> None:
    """Start, tell, wait for the parent's end, stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the end of the parent counts
    guardian = Guardian(json.loads(sys.argv[1]))
    try:
        try:
            guardian.start()
            answer = READY
        except (Failed, OSError, LookupError, subprocess.SubprocessError) as error:
            answer = f"failed: {error}".encode().replace(b"\n", b" ")
        with contextlib.suppress(OSError):
            os.write(1, answer + b"\n")
        while answer is READY and not parent_left(None):
            pass
    finally:
        guardian.stop()


if __name__ == "__main__":
    main()
