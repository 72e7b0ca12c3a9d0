"""Inside an application server: where its calls cross to the stores, and what may strike there.

Every call crosses in two legs. A *trap* on the request leg stops the calling thread just before the
bytes leave; on the reply leg, just after the real answer was read and before the caller sees it.
So what strikes there (the death of this very process, say) strikes at exactly that leg: the effect
has surely not, or surely, happened. A *lost reply* is a real answer read off the socket and thrown
away, with the connection broken behind it. A proxy cannot do that to one reply in fifty, because
its toxics choose once for each connection; and it could not tell a COMMIT from a SELECT.

With no trap set and nothing to lose, a crossing costs one attribute look-up.
"""

import threading
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from chaos.faults import Actor, Leg, Target


class Trap(NamedTuple):
    """A crossing that is waited for: `chaos.faults.AtCrossing` as plain data, `from_wall` drawn."""

    number: int
    target: str
    leg: str
    label: str
    actor: str
    operation: str
    from_wall: float


class Caller(threading.local):
    """Who the current thread works for."""

    actor = ""
    kind = ""  # buyer | sweeper; empty for the server's own business
    operation = ""


class Crossings:
    """The traps and losses of one application server.

    `spring` is called in the thread that walked into a trap, with the trap and the crossing's
    label; it blocks until the runner has struck, and says whether this reply is to be lost.
    `lost` is called for each reply lost by chance.
    """

    def __init__(
        self, draw: Random, spring: Callable[[Trap, str, str], bool], lost: Callable[[str], None]
    ) -> None:
        self.caller = Caller()
        self.armed = False
        self._draw = draw
        self._spring = spring
        self._lost = lost
        self._traps: dict[int, Trap] = {}
        self._losses: dict[str, float] = {}

    def set_trap(self, trap: Trap) -> None:
        """Wait for a crossing."""
        self._traps = {**self._traps, trap.number: trap}  # replaced whole: others iterate
        self._arm()

    def clear_trap(self, number: int) -> None:
        """Wait for it no more."""
        self._traps = {key: trap for key, trap in self._traps.items() if key != number}
        self._arm()

    def lose(self, target: str, probability: float) -> None:
        """Lose each reply of `target` with this probability from now on (0: none)."""
        self._losses = {**self._losses, target: probability}
        self._arm()

    def _arm(self) -> None:
        self.armed = bool(self._traps) or any(self._losses.values())

    def request(self, target: Target, label: str) -> None:
        """The request leg: nothing has happened yet."""
        if self.armed:
            self._meet(target, Leg.REQUEST, label)

    def loses_reply(self, target: Target, label: str) -> bool:
        """The reply leg: it has happened; say whether the caller must not learn of it."""
        if not self.armed:
            return False
        if self._meet(target, Leg.REPLY, label):
            return True
        chance = self._losses.get(target, 0.0)
        if chance and self.caller.kind and self._draw.random() < chance:
            self._lost(target.value)
            return True
        return False

    def _meet(self, target: Target, leg: Leg, label: str) -> bool:
        caller = self.caller
        lost = False
        if not caller.kind:
            return lost
        for trap in self._traps.values():
            if (
                trap.target == target
                and trap.leg == leg
                and label.startswith(trap.label)
                and trap.actor in {Actor.ANY, caller.kind}
                and trap.operation in {"", caller.operation}
                and time.time() >= trap.from_wall
            ):
                lost = self._spring(trap, label, caller.actor) or lost
        return lost
