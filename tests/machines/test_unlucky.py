"""Every strategy when replies are lost and Redis dies on each kind of disk; and what that finds."""

from dataclasses import replace

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from chaos.persistence import Persistence
from reservation.api import AdmissionKind
from reservation.catalogue import STRATEGIES, find
from tests.machines.machine import BOUNDED, Case, machine_of
from tests.machines.test_machines import CASES, COUNTER, KEYS, TRUSTING, forgetful
from tests.machines.unlucky import UNLUCKY_RULES, UnluckyMachine

RDB, EVERYSEC = Persistence.RDB, Persistence.AOF_EVERYSEC
FEW = settings(BOUNDED, max_examples=12)
FIRST = [next(case for case in CASES if case.strategy == strategy) for strategy in STRATEGIES]
ON_DISK = [
    replace(
        case,
        persistence=persistence,
        habits=forgetful(case.habits) if persistence is RDB else case.habits,
        overbooks=case.overbooks or (persistence is RDB and case.habits.late == "always"),
    )
    for case in FIRST
    for persistence in (RDB, EVERYSEC)
    if find(case.strategy).uses_redis
]
HEARD_TWICE = [replace(case, redis_retries=0) for case in FIRST]


def title(case: Case) -> str:
    """Its name in test reports."""
    return f"{case.title}-{case.redis_retries}-retries"


@pytest.mark.parametrize("case", [*FIRST, *HEARD_TWICE, *ON_DISK], ids=title)
def test_a_strategy_survives_lost_replies_and_its_disk(case: Case) -> None:
    """After every step of every example, stock, orders and payments are the box office's."""
    run_state_machine_as_test(machine_of(case, UNLUCKY_RULES, UnluckyMachine), settings=FEW)


DEFECTS = {
    "a resent hold is a new one": Case(
        strategy="redis-counter", habits=COUNTER, options={"request_id": False}
    ),
    "a repeated payment is a new one": Case(
        strategy="redis-hold", habits=TRUSTING, options={"idempotency": "none"}
    ),
    "a resent hold does not find its own seats": Case(
        strategy="seat-setnx",
        habits=KEYS,
        kind=AdmissionKind.SEATS,
        options={"recognise_own": False},
    ),
    "a snapshot that is taken for an append-only file": Case(
        strategy="redis-hold", habits=TRUSTING, persistence=RDB
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(name: str) -> None:
    """The positive control: with a safeguard off, or a wrong belief about the disk, it fails."""
    rules = tuple(each for each in UNLUCKY_RULES if each not in {"ask_again", "restart"})
    machine = machine_of(replace(DEFECTS[name], redis_retries=0), rules, UnluckyMachine)
    search = settings(BOUNDED, max_examples=150, phases=(Phase.generate,))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=search)
    assert any(word in " ".join(machine.steps) for word in ("unheard", "die"))
