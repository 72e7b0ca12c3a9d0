"""The quick part of `make ablation`: safeguards that few schedules miss when they are off."""

import pytest

from tests.ablation.report import catch, failing, with_it
from tests.ablation.safeguards import SAFEGUARDS, Safeguard

QUICK = {
    "conditional UPDATE of the stock",
    "give-back in one transaction",
    "a repeated hold changes nothing",
    "idempotency key, lost reply",
    "row lock of derived stock",
    "floor under the remembered stock",
    "the hold is dropped after the commit",
    "counter and hold in one script",
    "give back only what is there",
    "request id known to the counter",
    "key and TTL in one command",
}


@pytest.mark.parametrize(
    "guard",
    [each for each in SAFEGUARDS if each.name in QUICK],
    ids=lambda guard: f"{guard.good}, {guard.name}",
)
def test_a_missing_safeguard_is_missed(guard: Safeguard) -> None:
    """Without it a search finds the breach; with it the same search of the same world does not."""
    assert catch(guard) is not None
    assert with_it(guard) == "complete"


def test_random_schedules_miss_it_too() -> None:
    """The rate of the table is a count of failing schedules, the same every time."""
    guard = next(each for each in SAFEGUARDS if each.name == "floor under the remembered stock")
    assert failing(guard, 60) == failing(guard, 60)
    assert 0 < failing(guard, 60) < 60


def test_names_are_one_each() -> None:
    """No safeguard is listed twice for one strategy, and every quick one exists."""
    names = [(each.good, each.name) for each in SAFEGUARDS]
    assert len(names) == len(set(names))
    assert {name for _, name in names} >= QUICK
