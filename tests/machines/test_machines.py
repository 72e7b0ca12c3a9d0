"""Every strategy, one call at a time, against a box office; and planted defects that it finds."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from chaos.persistence import Persistence
from reservation.api import AdmissionKind
from reservation.catalogue import STRATEGIES
from tests.machines.box_office import Habits
from tests.machines.machine import BOUNDED, Case, machine_of

SEATS = AdmissionKind.SEATS
NONE, ALWAYS = Persistence.NONE, Persistence.AOF_ALWAYS
CART = Habits(frees="sweep", again="refused")
KEYS = Habits(late="if-left")
TRUSTING = Habits(late="always")
COUNTER = Habits(frees="sweep", late="if-left", again="revived")


def forgetful(habits: Habits) -> Habits:
    """The same on a Redis that keeps nothing."""
    return Habits(
        frees=habits.frees,
        late=habits.late,
        again=habits.again,
        counts_holds=habits.counts_holds,
        forgets=True,
    )


CASES = [
    Case(strategy="db-cart-naive", habits=CART),
    Case(strategy="db-cart-row-lock", habits=CART),
    Case(strategy="db-cart", habits=CART),
    Case(strategy="db-cart", habits=CART, options={"reclaim": "cron-scan"}),
    Case(strategy="db-cart", habits=CART, kind=SEATS),
    Case(strategy="db-derived", habits=Habits(again="refused")),
    Case(
        strategy="redis-hold-blind",
        habits=Habits(late="always", counts_holds=False),
        overbooks=True,
    ),
    Case(strategy="redis-hold-racy", habits=TRUSTING),
    Case(strategy="redis-hold", habits=TRUSTING),
    Case(strategy="redis-hold", habits=forgetful(TRUSTING), persistence=NONE, overbooks=True),
    Case(strategy="redis-hold-read-check", habits=KEYS),
    Case(strategy="redis-hold-recheck", habits=KEYS),
    Case(strategy="redis-hold-recheck", habits=forgetful(KEYS), persistence=NONE),
    Case(strategy="redis-counter", habits=COUNTER),
    Case(strategy="redis-counter", habits=forgetful(COUNTER), persistence=NONE),
    Case(strategy="seat-setnx", habits=KEYS, kind=SEATS),
    Case(strategy="seat-setnx", habits=forgetful(KEYS), kind=SEATS, persistence=NONE),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_strategy_does_what_a_box_office_does(case: Case) -> None:
    """After every step of every example, stock, orders and payments are the box office's."""
    run_state_machine_as_test(machine_of(case), settings=BOUNDED)


def test_every_strategy_has_a_machine() -> None:
    """No strategy of the catalogue is left out."""
    assert {case.strategy for case in CASES} == set(STRATEGIES)
