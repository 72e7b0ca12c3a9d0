"""Give fakeredis the simulated server's clock.

fakeredis reads `time.time()` in private modules (checked against 2.40.0; `tests/model` holds a test
that fails when a new version reads it elsewhere). Every fakeredis module that imported `time` gets
a stand-in whose `time()` is the executing server's clock while a simulated command runs, and the
real clock otherwise, so that other users of fakeredis in the same process notice nothing.
"""

import sys
import time as real_time
from typing import Any


class ServerTime:
    """Stands in for the module `time` inside fakeredis; `at` is set while a command runs."""

    def __init__(self) -> None:
        self.at: float | None = None

    def time(self) -> float:
        """Seconds since the epoch on the server that executes now."""
        at = self.at
        return real_time.time() if at is None else at

    def __getattr__(self, name: str) -> Any:
        return getattr(real_time, name)


CLOCK = ServerTime()


def install() -> list[str]:
    """Put the stand-in in place (again); returns the names of the modules that have it."""
    patched = []
    for name, module in sorted(sys.modules.items()):
        if name.startswith("fakeredis") and module.__dict__.get("time") in (real_time, CLOCK):
            module.__dict__["time"] = CLOCK
            patched.append(name)
    return patched


install()
