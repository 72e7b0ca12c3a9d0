"""One processor for a run: its process and the server's processes that serve it.

Only one of them ever executes at a time, so a second processor gains them nothing. Left to itself
the system spreads them nevertheless: each statement then wakes a sleeping processor twice, and two
runs side by side get into each other's way. Kept together, two runs use two processors.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

_PROCESSOR = 36  # /proc/self/stat, counted after the name in brackets


class Processor:
    """The processor of one process's runs; `folder` is where the processes of a command agree.

    Where the system has no such choice, or does not permit it, `take` does nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder if hasattr(os, "sched_setaffinity") else None
        self._allowed: set[int] = set()
        self._claim = -1
        self.number: int | None = None

    def take(self, helpers: Iterable[int]) -> None:
        """Stay where the system has put this process, or where nobody else of this command is."""
        if self._folder is None or self.number is not None:
            return
        self._allowed = os.sched_getaffinity(0)
        here = _current()
        for number in sorted(self._allowed, key=lambda each: (each != here, each)):
            if self._claimed(number):
                self.number = number
                try:
                    os.sched_setaffinity(0, {number})
                except OSError:
                    self.leave()
                    return
                for pid in helpers:
                    self.admit(pid)
                return

    def admit(self, pid: int) -> None:
        """Let one of the server's processes work here."""
        if self.number is not None:
            with contextlib.suppress(OSError):  # not permitted: it works wherever it likes
                os.sched_setaffinity(pid, {self.number})

    def leave(self) -> None:
        """The run is over: the system decides again."""
        if self.number is not None:
            self.number = None
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, self._allowed)
            os.close(self._claim)

    def _claimed(self, number: int) -> bool:
        assert self._folder is not None
        claim = os.open(self._folder / f"processor-{number}", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(claim)
            return False
        self._claim = claim
        return True


def _current() -> int:
    try:
        said = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        return int(said.rpartition(")")[2].split()[_PROCESSOR])
    except (OSError, IndexError, ValueError):
        return -1
