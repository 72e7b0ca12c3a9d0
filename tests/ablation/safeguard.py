"""What a safeguard is here: a strategy with and without it, in a world where it is missed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chaos.persistence import Persistence
from model.exploring.small_world import SmallWorld
from reservation.catalogue import find

NONE, ALWAYS = Persistence.NONE, Persistence.AOF_ALWAYS
EVERYSEC = Persistence.AOF_EVERYSEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguard:
    """A safeguard: the strategy with and without it, and the invariant that misses it.

    `options` switch it off, or `instead` names the strategy without it; `both` are options of both.
    """

    name: str
    good: str
    breaks: str
    options: Mapping[str, Any] = field(default_factory=dict)
    instead: str = ""  # another strategy is the one without it
    visits: tuple[str, ...] = ("pay", "pay")
    capacity: int = 1
    happenings: Mapping[str, int] = field(default_factory=dict)
    persistence: Persistence | None = None
    without_persistence: Persistence | None = None
    both: Mapping[str, Any] = field(default_factory=dict)  # options of both

    @property
    def off(self) -> SmallWorld:
        """The world without the safeguard."""
        on = self.on
        return replace(
            on,
            strategy=self.instead or self.good,
            options={**self.both, **self.options},
            persistence=self.without_persistence or on.persistence,
        )

    @property
    def on(self) -> SmallWorld:
        """The same world with it."""
        kept = self.persistence
        if kept is None and find(self.good).uses_redis:
            kept = NONE
        return SmallWorld(
            strategy=self.good,
            options=dict(self.both),
            visits=self.visits,
            capacity=self.capacity,
            happenings=self.happenings,
            persistence=kept,
        )
