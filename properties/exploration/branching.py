"""What is to be tried at one node, in order, and what sleeps below each choice.

Two reductions live here, each of which keeps every final state and every violation:

- *sleep sets* (Godefroid): of two moves that commute only one order is tried;
- *sole movers*: an actor inside its write transaction, or at a crossing only it can ever see, moves
  alone: everybody else's moves commute with it, whenever they come (a persistent set of one).
"""

from collections.abc import Iterable

from model.exploring.kernel import BEGIN
from model.exploring.past import ACKS, RELEASED, TOLD
from model.exploring.small_world import ON_REDIS
from model.exploring.touching import (
    DATABASE_SESSION,
    PAY,
    REDIS_SESSION,
    TASKS,
    Touched,
    conflict,
)
from model.exploring.turn import GROUP, Turn
from properties.exploration.node import Node, Standing
from properties.exploration.precedence import ENDED
from properties.exploration.privacy import akin

Sleep = dict[str, Touched]
SEEN = (ENDED, RELEASED, TOLD)
_OWNED = tuple(
    f"{each}:{PAY}" for each in ("payment", "db:payments", "db:orders", "db:(rows)payments")
)


def mover_of(choice: str) -> str:
    """The actor of a choice; a variant (`A!lost`) has its actor's name too."""
    return choice.partition(GROUP)[0]


class Branching:
    """The choices tried at one node, one after the other: ask `next`, take it, tell `took`."""

    def __init__(
        self,
        node: Node,
        todo: Iterable[str],
        sleep: Sleep,
        *,
        reduce: bool,
        lone: bool = True,
        owning: bool = True,
    ) -> None:
        """Without `lone` nobody moves alone here, it is known that nobody can.

        Without `owning` nobody does because what they touch is their own.
        """
        self.node = node
        self.todo = list(todo)
        self.sleep = dict(sleep)
        self.reduce = reduce
        self.position = 0
        self.mover = _candidate(node, owning=owning) if reduce and lone else None
        self.alone = self.mover is not None
        if self.mover is not None:
            self.todo.sort(key=lambda choice: mover_of(choice) != self.mover)
            self.alone = self._sleeps_alone(self.mover)

    def copy(self) -> "Branching":
        """The same place in the same work, to look ahead with."""
        other = object.__new__(Branching)
        other.node, other.todo, other.sleep = self.node, self.todo, dict(self.sleep)
        other.reduce, other.position = self.reduce, self.position
        other.mover, other.alone = self.mover, self.alone
        return other

    def next(self) -> str | None:
        """The next choice to try here; None when all that is needed was tried."""
        if self.position >= len(self.todo):
            return None
        choice = self.todo[self.position]
        return None if self.alone and mover_of(choice) != self.mover else choice

    def skip(self) -> None:
        """Leave out the next choice."""
        self.position += 1

    def took(self, turn: Turn, child: Node) -> Sleep:
        """Note that the next choice was taken; returns what sleeps where it led."""
        choice, touched = turn.choice, (turn.reads, turn.writes)
        name = mover_of(choice)
        if name == self.mover:
            inside = self.node.actor(name).inside
            if not _only_mine(self.node, choice, touched, inside=inside):
                self.alone = False
        below = still_asleep(self.sleep, turn) if child.meaning == self.node.meaning else {}
        if self.reduce:
            self.sleep[choice] = touched
        self.position += 1
        return below

    def _sleeps_alone(self, mover: str) -> bool:
        """Whether what sleeps of the mover's choices would have been nobody else's business."""
        inside = self.node.actor(mover).inside
        return all(
            _only_mine(self.node, choice, touched, inside=inside)
            for choice, touched in self.sleep.items()
            if mover_of(choice) == mover
        )


def still_asleep(sleep: Sleep, turn: Turn) -> Sleep:
    """What goes on sleeping after a turn: all that commutes with it."""
    name = mover_of(turn.choice)
    return {
        choice: touched
        for choice, touched in sleep.items()
        if mover_of(choice) != name and not conflict(turn.reads, turn.writes, touched)
    }


def _candidate(node: Node, *, owning: bool) -> str | None:
    """Somebody who may turn out to be a sole mover: look at what stands before them."""
    if node.left.get("db-restart"):
        return None
    for actor in node.actors:
        if actor.inside:  # what it writes is seen by nobody, up to its commit
            # (Where nothing can strike inside any more, its move goes on through the commit.)
            return None if actor.label == "COMMIT" or node.whole else actor.name
    for actor in node.actors if owning else ():
        if actor.touches is None or actor.store == BEGIN or actor.kind != "buyer":
            continue
        reads, writes = actor.touches
        breaks_off = actor.locks and not node.whole
        waits = actor.locks and node.locked
        if not breaks_off and not waits and _owned(node, actor, reads | writes):
            return actor.name
    return None


def _only_mine(node: Node, choice: str, touched: Touched, *, inside: bool) -> bool:
    """Whether nobody else's move could ever fail to commute with this one."""
    both = touched[0] | touched[1]
    if node.left.get("expire") and not both.isdisjoint({"clock", TASKS}):
        return False
    if inside:  # its call may have ended with it, and that is seen
        return ACKS not in both and not any(each.startswith(SEEN) for each in both)
    if "db:lock" in touched[1]:  # it keeps the lock while it does something else
        return False
    return ACKS not in both and _owned(node, node.actor(mover_of(choice)), both)


def _owned(node: Node, actor: Standing, touched: frozenset[str]) -> bool:
    """Whether all of this is about the actor's own payment, and nobody else's business."""
    name = actor.name
    if any(
        other is not actor and not other.ended and (other.kind != "buyer" or akin(other.name, name))
        for other in node.actors
    ):
        return False
    mine = tuple(f"{owned}{name}" for owned in _OWNED)
    rest = {each for each in touched if each not in {"clock", "db:lock"} and not _idle(node, each)}
    return bool(rest) and all(each in mine or each.startswith("left:") for each in rest)


def _idle(node: Node, touched: str) -> bool:
    """Whether nothing that is left to happen could break this session."""
    if touched == DATABASE_SESSION:
        return not node.left.get("db-restart")
    return touched == REDIS_SESSION and not any(node.left.get(name) for name in ON_REDIS)
