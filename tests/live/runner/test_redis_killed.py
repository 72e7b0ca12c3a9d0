"""Redis is killed while people pay: what its persistence and the recheck are worth."""

import pytest

from chaos.persistence import Persistence
from model.live.run import Arm
from tests.live.runner.sales import Told, hold_sale, killed_with_a_file, unhurried

TRIES = 3


def overbooked_within(arm: Arm, tries: int) -> Told:
    """Hold the hostile sale until it overbooks, at most so often."""
    for seed in range(1, tries + 1):
        told = hold_sale(arm, "redis-hold", unhurried(), "kill", seed=seed)
        if told.says("no-overbooking") == "violated":
            return told
    pytest.fail(f"not overbooked in {tries} sales: {told.history.faults}")


def test_without_persistence_holds_are_lost_and_sold_twice(arm: Arm) -> None:
    """The positive control: `redis-hold` overbooks when Redis forgets while people pay."""
    told = overbooked_within(arm, TRIES)
    assert told.number("overbooked_tickets") > 0
    assert told.assessment.witnesses["fault-between-hold-and-payment"] > 0
    assert told.history.faults[0].struck


def test_without_the_kill_nothing_breaks(arm: Arm) -> None:
    """The same sale on the same servers, left alone: every promise is kept."""
    told = hold_sale(arm, "redis-hold", unhurried(), "none")
    for invariant in ("no-overbooking", "hold-honoured", "no-overhold", "stock-conserved"):
        assert told.says(invariant) == "holds", told.assessment.verdicts[invariant]
    assert told.number("sold_tickets") > 0


@pytest.mark.parametrize(
    "mode",
    [Persistence.AOF_EVERYSEC, pytest.param(Persistence.AOF_ALWAYS, marks=pytest.mark.extended)],
)
def test_with_an_append_only_file_holds_survive(arm: Arm, mode: Persistence) -> None:
    """A process that is killed loses nothing it had written: no promise is broken."""
    told = killed_with_a_file(arm, mode)
    assert told.says("hold-honoured") == "holds", told.assessment.verdicts["hold-honoured"]
    assert told.says("no-overbooking") == "holds"
    assert told.assessment.witnesses["fault-between-hold-and-payment"] > 0


def test_the_recheck_refuses_instead_of_overbooking(arm: Arm) -> None:
    """Without persistence but with the recheck: no ticket too many, only broken promises."""
    for seed in range(1, TRIES + 1):
        told = hold_sale(arm, "redis-hold-recheck", unhurried(), "kill", seed=seed)
        assert told.says("no-overbooking") == "holds", told.assessment.verdicts["no-overbooking"]
        if told.says("hold-honoured") == "violated":
            return
    pytest.fail("no promise was broken: Redis forgot nothing that mattered")
