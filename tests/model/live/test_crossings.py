"""Traps and lost replies inside an application server."""

import time
from random import Random

import pytest

from chaos.faults import Leg, Target
from model.live.crossings import Crossings, Trap

AT_COMMIT = Trap(
    number=3,
    target="database",
    leg="reply",
    label="COMMIT",
    actor="buyer",
    operation="checkout",
    from_wall=0.0,
)


class Watch:
    """Crossings whose springing and losing is written down."""

    def __init__(self, *, loses: bool = False) -> None:
        self.sprung: list[tuple[int, str, str]] = []
        self.lost: list[str] = []

        def spring(trap: Trap, label: str, actor: str) -> bool:
            self.sprung.append((trap.number, label, actor))
            return loses

        self.crossings = Crossings(Random(1), spring, self.lost.append)
        caller = self.crossings.caller
        caller.actor, caller.kind, caller.operation = "buyer-1", "buyer", "checkout"


def test_a_trap_springs_at_its_crossing_only() -> None:
    """Target, leg, label, actor, operation and time must all match."""
    watch = Watch()
    crossings = watch.crossings
    crossings.set_trap(AT_COMMIT)
    crossings.request(Target.DATABASE, "COMMIT")  # another leg
    assert not crossings.loses_reply(Target.DATABASE, "UPDATE events")  # another label
    assert not crossings.loses_reply(Target.REDIS, "COMMIT")  # another target
    crossings.caller.kind = "sweeper"
    assert not crossings.loses_reply(Target.DATABASE, "COMMIT")  # another actor
    crossings.caller.kind, crossings.caller.operation = "buyer", "hold"
    assert not crossings.loses_reply(Target.DATABASE, "COMMIT")  # another operation
    assert watch.sprung == []
    crossings.caller.operation = "checkout"
    assert not crossings.loses_reply(Target.DATABASE, "COMMIT")
    assert watch.sprung == [(3, "COMMIT", "buyer-1")]


def test_a_trap_waits_for_its_time_and_can_be_cleared() -> None:
    """Crossings before `from_wall` do not count, nor those after it was cleared."""
    watch = Watch()
    watch.crossings.set_trap(AT_COMMIT._replace(from_wall=time.time() + 60.0))
    assert not watch.crossings.loses_reply(Target.DATABASE, "COMMIT")
    watch.crossings.set_trap(AT_COMMIT)
    watch.crossings.clear_trap(3)
    assert not watch.crossings.loses_reply(Target.DATABASE, "COMMIT")
    assert watch.sprung == []
    assert not watch.crossings.armed


def test_whoever_springs_a_trap_may_lose_the_reply() -> None:
    """The runner's answer decides whether the caller sees its reply."""
    watch = Watch(loses=True)
    watch.crossings.set_trap(AT_COMMIT)
    assert watch.crossings.loses_reply(Target.DATABASE, "COMMIT")


@pytest.mark.parametrize(("probability", "lost"), [(0.0, 0), (1.0, 20)])
def test_replies_are_lost_with_their_probability(probability: float, lost: int) -> None:
    """Certain loss loses every reply of that target, none loses none; requests are never lost."""
    watch = Watch()
    watch.crossings.lose("redis", probability)
    for _ in range(20):
        watch.crossings.request(Target.REDIS, "GET")
        watch.crossings.loses_reply(Target.REDIS, "GET")
        assert not watch.crossings.loses_reply(Target.DATABASE, "COMMIT")
    assert watch.lost == ["redis"] * lost


def test_the_servers_own_calls_are_left_alone() -> None:
    """Starting up is nobody's request: no fault strikes it."""
    watch = Watch(loses=True)
    watch.crossings.caller.kind = ""
    watch.crossings.set_trap(AT_COMMIT._replace(actor="any", operation="", leg=Leg.REPLY.value))
    watch.crossings.lose("database", 1.0)
    assert not watch.crossings.loses_reply(Target.DATABASE, "COMMIT")
