"""`everysec` on a real Redis under three deaths: three different results (rules R5 and R6)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults import Death
from chaos.persistence import Persistence
from chaos.servers.binaries import compiler, redis_server
from chaos.stacks.contract import StackMissing
from tests.live.conftest import lacks
from tests.live.kill_table import POSTPONED_S, SLACK_S, SLOW_FSYNC_S
from tests.live.killing import Loss, Plan, Victim

EVERYSEC = Persistence.AOF_EVERYSEC


IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a disk whose fsyncs take no time of their own


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    """A real Redis whose disk is watched, and as fast as memory."""
    for component, find in (("redis", redis_server), ("compiler", compiler)):
        try:
            find()
        except StackMissing as missing:
            lacks(component, str(missing))
    with pytest.MonkeyPatch.context() as patch:
        if IN_MEMORY.is_dir():
            patch.setattr("tempfile.tempdir", str(IN_MEMORY))
        victim = Victim(redis_server())
        victim.__enter__()
    try:
        yield victim
    finally:
        victim.__exit__()


def kill(victim: Victim, death: Death, write_s: float, *, fsync_s: float = 0.0) -> Loss:
    """One kill under everysec."""
    loss = victim.suffer(Plan(persistence=EVERYSEC, death=death, write_s=write_s, fsync_s=fsync_s))
    assert loss.acknowledged >= 10, "too few holds to say anything"
    return loss


def test_a_killed_process_loses_nothing_on_a_healthy_disk(victim: Victim) -> None:
    """The page cache survives the process: nothing is lost, unless an fsync runs at the blow (R6).

    Then the writes of that moment are held back, on this disk for as long as the machine keeps the
    thread of the fsync waiting: never most of the kills, and never more than that moment.
    """
    losses = [kill(victim, Death.SIGKILL, write_s) for write_s in (0.3, 0.5, 0.6, 0.7, 0.9)]
    assert sum(loss.lost > 0 for loss in losses) <= 2
    assert max(loss.lost_s for loss in losses) <= SLACK_S


def test_a_loss_of_power_loses_the_tail_and_no_more(victim: Victim) -> None:
    """What was not synced is gone: some tail in one of three kills, never over two seconds."""
    losses = [kill(victim, Death.POWER_LOSS, write_s) for write_s in (1.5, 1.8, 2.1)]
    assert any(loss.lost for loss in losses)
    assert max(loss.lost_s for loss in losses) <= POSTPONED_S + SLACK_S
    assert max(loss.kept_age_s for loss in losses) <= POSTPONED_S + SLACK_S, "the rest survived"


def test_a_slow_fsync_makes_a_killed_process_lose(victim: Victim) -> None:
    """The write itself waits for the fsync, so a kill loses what a healthy disk keeps."""
    losses = []
    for write_s in (2.2, 2.5, 2.8, 3.1, 3.4, 3.7):
        losses.append(kill(victim, Death.SIGKILL, write_s, fsync_s=SLOW_FSYNC_S))
        if losses[-1].lost:
            break
    assert any(loss.lost for loss in losses)
    assert max(loss.lost_s for loss in losses) <= POSTPONED_S + SLACK_S


def test_always_loses_nothing_to_any_of_the_three(victim: Victim) -> None:
    """The control: the same deaths under `always`, whose reply waits for the fsync."""
    for death, fsync_s in ((Death.SIGKILL, 0.0), (Death.POWER_LOSS, 0.0), (Death.SIGKILL, 0.05)):
        plan = Plan(persistence=Persistence.AOF_ALWAYS, death=death, write_s=0.6, fsync_s=fsync_s)
        assert victim.suffer(plan).lost == 0
