"""The design's table of what each persistence mode loses, against real servers."""

from random import Random

import pytest

from chaos.faults import Death
from chaos.persistence import Persistence
from chaos.servers.binaries import redis_server
from tests.live.kill_table import CLAIMS, Cell, Claim, measure
from tests.live.killing import Loss, Victim
from tests.live.test_persistence import victim  # noqa: F401 - the fixture

KILLS = 30


@pytest.mark.extended
def test_every_line_of_the_table(victim: Victim) -> None:  # noqa: F811 - requires the parts
    """Thirty kills for each mode and death: what must be kept is, and what may be lost is lost."""
    cells = measure(redis_server(), CLAIMS, kills=KILLS, lanes=3, seed=1)
    wrong = {
        f"{cell.claim.persistence} {cell.claim.name}": cell.disagreement()
        for cell in cells
        if cell.disagreement() is not None
    }
    assert not wrong


def claim_of(persistence: Persistence, death: Death) -> Claim:
    """A line of the table on a healthy disk."""
    return next(
        claim
        for claim in CLAIMS
        if (claim.persistence, claim.death, claim.fsync_s) == (persistence, death, 0.0)
    )


def test_one_kill_in_each_mode(victim: Victim) -> None:  # noqa: F811 - the fixture
    """The table's machinery in the default suite: no kill contradicts its line."""
    for persistence, death in (
        (Persistence.NONE, Death.SIGTERM),
        (Persistence.RDB, Death.SIGTERM),
        (Persistence.RDB, Death.SIGKILL),
        (Persistence.AOF_NO, Death.POWER_LOSS),
        (Persistence.AOF_ALWAYS, Death.POWER_LOSS),
    ):
        claim = claim_of(persistence, death)
        loss = victim.suffer(claim.plan(Random(1)))
        assert claim.broken_by(loss) is None, f"{persistence} {death}"


@pytest.mark.parametrize(
    ("persistence", "death", "ages_s", "told"),
    [
        (Persistence.AOF_ALWAYS, Death.SIGKILL, (0.1,), "1 holds lost"),
        (Persistence.AOF_EVERYSEC, Death.POWER_LOSS, (5.0,), "5.00 s before"),
        (Persistence.RDB, Death.SIGKILL, (5.0,), "5.00 s before"),
        (Persistence.NONE, Death.SIGKILL, (), "no kill lost anything"),
    ],
)
def test_a_line_that_does_not_hold_says_so(
    persistence: Persistence, death: Death, ages_s: tuple[float, ...], told: str
) -> None:
    """A positive control: a server that loses what it must not, or keeps what it cannot."""
    loss = Loss(acknowledged=9, lost_ages_s=ages_s, kept_age_s=0.0, snapshot_age_s=1.0)
    disagreement = Cell(claim=claim_of(persistence, death), losses=(loss,)).disagreement()
    assert disagreement is not None
    assert told in disagreement
