"""Redis's container is killed mid-sale: the hostile sales of `tests/live/runner`, on Docker."""

from collections.abc import Iterator

import pytest

from chaos.persistence import Persistence
from chaos.stacks.compose import ComposeStack
from model.live.nursery import Nursery
from model.live.run import Arm
from tests.live.runner.sales import arm_on, hold_sale, killed_with_a_file, unhurried

TRIES = 3


@pytest.fixture
def arm(stack: ComposeStack) -> Iterator[Arm]:
    """The containers and a nursery."""
    with Nursery() as nursery:
        yield arm_on(stack, nursery)


def test_a_killed_container_forgets_its_holds(arm: Arm) -> None:
    """Without persistence `redis-hold` overbooks within a few sales."""
    found = set()
    for seed in range(1, TRIES + 1):
        told = hold_sale(arm, "redis-hold", unhurried(), "kill", seed=seed)
        assert told.history.faults[0].struck
        found.add(told.says("no-overbooking"))
        if "violated" in found:
            break
    assert "violated" in found


def test_the_recheck_breaks_promises_instead(arm: Arm) -> None:
    """Without persistence but with a second look at the stock, nothing is sold twice."""
    found = set()
    for seed in range(1, TRIES + 1):
        told = hold_sale(arm, "redis-hold-recheck", unhurried(), "kill", seed=seed)
        assert told.says("no-overbooking") == "holds", told.assessment.verdicts["no-overbooking"]
        found.add(told.says("hold-honoured"))
        if "violated" in found:
            break
    assert "violated" in found


@pytest.mark.parametrize("mode", [Persistence.AOF_EVERYSEC, Persistence.AOF_ALWAYS])
def test_a_killed_container_with_an_append_only_file_does_not(arm: Arm, mode: Persistence) -> None:
    """The file is on a named volume: every hold survives, every promise is kept."""
    told = killed_with_a_file(arm, mode)
    assert told.says("hold-honoured") == "holds", told.assessment.verdicts["hold-honoured"]
    assert told.says("no-overbooking") == "holds"
