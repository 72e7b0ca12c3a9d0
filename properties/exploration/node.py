"""A place in the tree of schedules, as plain values: all a search asks of the world that is there.

Two worlds in the same state have the same node, wherever and however they came to it; so a node
that was reached in another process is as good as one's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from model.exploring.touching import Touched
from model.exploring.world import World
from properties.exploration.execution import Executions


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an actor stands: at a crossing of a store, in a write transaction or not, or ended."""

    name: str
    kind: str
    ended: bool
    inside: bool
    store: str = ""
    label: str = ""
    locks: bool = False
    touches: Touched | None = None  # what it is about to read and write; None: nothing left to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A state with what may happen next, and who stands where."""

    state: bytes
    choices: tuple[str, ...]
    moves: tuple[str, ...]
    left: Mapping[str, int]
    meaning: tuple[bool, bool]
    actors: tuple[Standing, ...]
    locked: bool  # somebody has the database's write lock
    over: bool
    crash: str

    @property
    def whole(self) -> bool:
        """Whether a write transaction counts as one move here."""
        return self.meaning[0]

    def actor(self, name: str) -> Standing:
        """Find an actor by name.

        Raises:
            KeyError: there is nobody of this name.
        """
        for actor in self.actors:
            if actor.name == name:
                return actor
        raise KeyError(name)


def read_node(executions: Executions, world: World) -> Node:
    """Describe where a world stands."""
    crashed = next((actor.crash for actor in world.actors if actor.crash is not None), None)
    return Node(
        state=executions.state(world),
        choices=tuple(world.choices()),
        moves=tuple(world.moves()),
        left=dict(world.left),
        meaning=executions.meaning(world),
        actors=tuple(_standing(world, number) for number in range(len(world.actors))),
        locked=world.lock_owner is not None,
        over=world.over,
        crash="" if crashed is None else f"{type(crashed).__name__}: {crashed}",
    )


def _standing(world: World, number: int) -> Standing:
    actor = world.actors[number]
    stop = actor.stop
    if stop is None:
        return Standing(name=actor.actor, kind=actor.kind, ended=actor.ended, inside=False)
    return Standing(
        name=actor.actor,
        kind=actor.kind,
        ended=actor.ended,
        inside=world.inside(actor),
        store=stop.store,
        label=stop.label,
        locks=stop.locks,
        touches=stop.touched,
    )
