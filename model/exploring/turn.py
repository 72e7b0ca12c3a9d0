"""One move of an explored world, as it went: what searches compare and traces store."""

from dataclasses import dataclass

GROUP = "!"
"""Stands between an actor's name and how their crossing goes: `A!lost`."""


@dataclass(slots=True)
class Turn:
    """One choice carried out: what it touched, and what came of it."""

    choice: str
    actor: str
    crossing: str
    detail: str
    result: str
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    told: tuple[int, ...] = ()  # numbers of the operations that ended in this turn
    began: str = ""
    inside: bool = False  # its actor was in the middle of a write transaction
    swept_along: bool = False  # others, whom it woke, went on in it without being chosen

    @property
    def line(self) -> str:
        """As traces store it and replays compare it."""
        return f"{self.choice} | {self.crossing} {self.detail} | {self.result}"
