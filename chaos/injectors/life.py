"""Whether a server is up, when several faults may hold it down or stopped at once."""

import signal
from collections.abc import Callable
from threading import RLock
from typing import Protocol


class MortalProcess(Protocol):
    """As much of a process, or of a container, as its life needs; see `chaos.servers.child`."""

    @property
    def running(self) -> bool:
        """Whether it lives (a stopped one lives)."""

    @property
    def pid(self) -> int:
        """Its id; raises StackBroken when it has ended by itself."""

    def kill(self) -> None:
        """End it at once and wait until it is gone."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and all its descendants."""

    def await_healthy(self, ready: Callable[[], str | None]) -> None:
        """Wait until `ready` returns None."""


class MortalServer(Protocol):
    """As much of a server as its life needs."""

    @property
    def child(self) -> MortalProcess:
        """Its process."""

    def start(self) -> None:
        """Start it on what its disk has, and wait until it is healthy."""

    def stop(self) -> bool:
        """Ask it to stop and wait; False if it had to be killed."""

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it is."""


class Life:
    """One server's life: it is up again when the last fault that wants it down has healed."""

    def __init__(self, server: MortalServer) -> None:
        self.server = server
        self._lock = RLock()
        self._downs = 0
        self._pauses = 0

    def end(self, *, kill: bool, then: Callable[[], str] = lambda: "") -> "Outage":
        """End it, by SIGKILL or by asking; `then` does something to its disk and says what.

        Raises:
            StackBroken: it had died by itself.
        """
        with self._lock:
            if self._downs:
                told = "was down already"
            elif kill:
                pid = self.server.child.pid  # raises when it died by itself
                self.server.child.kill()
                told = f"killed (pid {pid})"
            else:
                stopped = self.server.stop()
                told = "stopped" if stopped else "did not stop when asked to, killed"
            self._downs += 1
            disk = then()
        return Outage(f"{told}; {disk}" if disk else told, heal=self._bring_back)

    def pause(self) -> "Outage":
        """Stop all its processes where they are.

        Raises:
            StackBroken: it had died by itself.
        """
        with self._lock:
            if self._downs:
                return Outage("was down already", heal=lambda: None, struck=False)
            self.server.child.send(signal.SIGSTOP)
            self._pauses += 1
        return Outage("all its processes stopped", heal=self._go_on)

    def _bring_back(self) -> None:
        with self._lock:
            if self._downs == 1:
                self.server.start()  # when this fails it is still down, and healing can be repeated
            self._downs -= 1

    def _go_on(self) -> None:
        with self._lock:
            if self._pauses == 1 and self.server.child.running:
                self.server.child.send(signal.SIGCONT)
                self.server.child.await_healthy(self.server.amiss)
            self._pauses -= 1


class Outage:
    """A fault that is in force on a server."""

    def __init__(self, detail: str, heal: Callable[[], None], *, struck: bool = True) -> None:
        self.detail = detail
        self.struck = struck
        self._cure: Callable[[], None] | None = heal
        self._lock = RLock()

    def heal(self) -> None:
        """See `Breakage`."""
        with self._lock:
            if self._cure is not None:
                self._cure()
                self._cure = None
