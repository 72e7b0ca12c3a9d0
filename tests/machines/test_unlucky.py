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
# It adds what it holds to a total: a transaction that redis-py sends again is counted twice.
MISCOUNTS = "redis-hold-racy"
FIRST = [
    replace(next(case for case in CASES if case.strategy == strategy), redis_retries=0)
    for strategy in STRATEGIES
]
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
RESENT = [replace(case, redis_retries=3) for case in FIRST if case.strategy != MISCOUNTS]


def title(case: Case) -> str:
    """Its name in test reports."""
    return f"{case.title}-{case.redis_retries}-retries"


@pytest.mark.parametrize("case", [*FIRST, *RESENT, *ON_DISK], ids=title)
def test_a_strategy_survives_lost_replies_and_its_disk(case: Case) -> None:
    """After every step of every example, stock, orders and payments are the box office's."""
    run_state_machine_as_test(machine_of(case, UNLUCKY_RULES, UnluckyMachine), settings=BOUNDED)


DEFECTS = {
    "a hold that redis-py sends again is counted twice": Case(
        strategy=MISCOUNTS, habits=TRUSTING, redis_retries=3
    ),
    "a resent hold is a new one": Case(
        strategy="redis-counter", habits=COUNTER, options={"request_id": False}, redis_retries=0
    ),
    "a repeated payment is a new one": Case(
        strategy="redis-hold", habits=TRUSTING, options={"idempotency": "none"}, redis_retries=0
    ),
    "a resent hold does not find its own seats": Case(
        strategy="seat-setnx",
        habits=KEYS,
        kind=AdmissionKind.SEATS,
        options={"recognise_own": False},
        redis_retries=0,
    ),
    "a snapshot that is taken for an append-only file": Case(
        strategy="redis-hold", habits=TRUSTING, persistence=RDB, redis_retries=0
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(name: str) -> None:
    """The positive control: with a safeguard off, or a wrong belief about the disk, it fails."""
    rules = tuple(each for each in UNLUCKY_RULES if each not in {"ask_again", "restart"})
    machine = machine_of(DEFECTS[name], rules, UnluckyMachine)
    search = settings(BOUNDED, max_examples=150, phases=(Phase.generate,))
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=search)
    assert any(word in " ".join(machine.steps) for word in ("unheard", "die"))
