"""The breakages of a stack that may still be in force, so that it can heal them all."""

from threading import Lock

from chaos.stacks.contract import Breakage


class Breakages:
    """What was struck, in order."""

    def __init__(self) -> None:
        self._struck: list[Breakage] = []
        self._lock = Lock()

    def add(self, breakage: Breakage) -> Breakage:
        """Remember one; returns it."""
        self._struck.append(breakage)
        return breakage

    def heal(self) -> None:
        """Heal all, the latest first; repeatable, also after a failure.

        Raises:
            StackBroken: a server did not become healthy; those struck before it are still broken.
        """
        with self._lock:
            while self._struck:
                self._struck[-1].heal()
                self._struck.pop()

    def forget(self) -> None:
        """Heal nothing any more: the servers are going."""
        self._struck.clear()
