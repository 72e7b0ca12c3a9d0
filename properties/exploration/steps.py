"""How a search moves: one choice at a time, by whoever executes it."""

from collections.abc import Sequence
from typing import Protocol

from model.database import patiently
from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from model.exploring.world import World
from properties.exploration.execution import Executions
from properties.exploration.finding import Judged, judge_history
from properties.exploration.node import Node, read_node


class Steps(Protocol):
    """What a search asks of executions. A path is the turns that lead from the root to a node."""

    @property
    def replayed(self) -> int:
        """Moves made again to come back to a node."""

    def take(self, path: Sequence[Turn], node: Node, choice: str) -> tuple[Turn, Node]:
        """Make a choice at the end of a path, which is `node`."""

    def judged(self, path: Sequence[Turn]) -> Judged:
        """Judge the history of a path after which everybody has ended."""


class Here:
    """Executes in this process, again from the root whenever the search comes back to a node."""

    def __init__(self, small: SmallWorld, *, reduce: bool, histories: bool) -> None:
        self.executions = Executions(small, reduce=reduce, histories=histories)
        self._world: World | None = None

    @property
    def replayed(self) -> int:
        """See `Steps`."""
        return self.executions.replayed

    def root(self) -> Node:
        """The node at which every path begins."""
        return read_node(self.executions, self._at([]))

    def take(self, path: Sequence[Turn], node: Node, choice: str) -> tuple[Turn, Node]:
        """See `Steps`.

        Raises:
            NotDeterministic: executing the same choices again led elsewhere.
        """
        del node
        return patiently(lambda: self._take(path, choice), self.leave)

    def _take(self, path: Sequence[Turn], choice: str) -> tuple[Turn, Node]:
        world = self._at(path)
        turn = self.executions.take(world, choice)
        return turn, read_node(self.executions, world)

    def judged(self, path: Sequence[Turn]) -> Judged:
        """See `Steps`."""
        history = self._at(path).settle()
        self.leave()
        return judge_history(history)

    def check(self, path: Sequence[Turn]) -> None:
        """Execute a path once more.

        Raises:
            NotDeterministic: it led elsewhere.
        """
        self.leave()
        self._at(path)

    def leave(self) -> None:
        """Put the current world away."""
        if self._world is not None:
            world, self._world = self._world, None
            world.close()

    def close(self) -> None:
        """Give back what executing needs."""
        self.leave()
        self.executions.close()

    def _at(self, path: Sequence[Turn]) -> World:
        """The world at the end of a path: the current one if that is where it stands."""
        if self._world is None or len(self._world.turns) != len(path):
            self.leave()
            self._world = self.executions.again(path)
        return self._world
