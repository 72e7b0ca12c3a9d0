"""Whether what was taken to be one actor's own business is nobody else's.

A search lets an actor move alone when all that a move touches is its own payment (see
`properties.exploration.branching`). That nobody else ever looks there cannot be known beforehand:
code that reads all payments at once does. So what such moves relied on is held against what all
others touch in the whole search.
"""

from model.exploring.touching import Touched, conflict
from properties.exploration.node import Node

_PAYMENTS = ("payment:", "db:payments:", "db:orders:", "db:(rows)payments:", "db:*")


class Shared(Exception):
    """Somebody touches what another one's lone move relied on: nobody may move alone for it."""


class Privacy:
    """What lone moves relied on, and what everybody touched of payments and orders."""

    def __init__(self) -> None:
        self._relied: dict[str, Touched] = {}
        self._touched: dict[str, Touched] = {}

    def note(self, node: Node, name: str, touched: Touched, *, alone: bool) -> None:
        """A move of `name` was made at a node; `alone` if nobody else was to be tried there.

        Raises:
            Shared: it was not its own business, or what others took for theirs is not.
        """
        actor = node.actor(name)
        if actor.kind == "sweeper":  # while one is there, nobody moves alone
            return
        mine = _payments(touched)
        new = _add(self._touched, name, mine)
        if alone and not actor.inside:
            new = _add(self._relied, name, mine) or new
        if new:
            self._compare()

    def _compare(self) -> None:
        for owner, relied in self._relied.items():
            for other, touched in self._touched.items():
                if not akin(owner, other) and conflict(*touched, relied):
                    raise Shared


def akin(one: str, other: str) -> bool:
    """Whether these are two calls of one buyer (while both are there, neither moves alone)."""
    return one.startswith(other) or other.startswith(one)


def _payments(touched: Touched) -> Touched:
    reads, writes = touched
    return (
        frozenset(each for each in reads if each.startswith(_PAYMENTS)),
        frozenset(each for each in writes if each.startswith(_PAYMENTS)),
    )


def _add(known: dict[str, Touched], name: str, touched: Touched) -> bool:
    """Whether this is more than was known of `name`."""
    reads, writes = known.get(name, (frozenset(), frozenset()))
    if touched[0] <= reads and touched[1] <= writes:
        return False
    known[name] = (reads | touched[0], writes | touched[1])
    return True
