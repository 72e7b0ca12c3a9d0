"""Positive controls: with a safeguard switched off, the machine finds it and tells it shortly.

What stands here is the smallest example that Hypothesis comes down to. A longer one means that the
machine, or the shrinking, has become worse at its work.
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machines.machine import BOUNDED, Case, machine_of
from tests.machines.test_machines import (
    ALWAYS,
    CART,
    COUNTER,
    KEYS,
    NONE,
    SEATS,
    TRUSTING,
    forgetful,
)

SEARCH = settings(BOUNDED, max_examples=300, stateful_step_count=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A strategy with something wrong, and the story it must come down to."""

    name: str
    case: Case
    story: list[str]


DEFECTS = [
    Defect(
        name="holds are not counted",
        case=Case(strategy="redis-hold-blind", habits=TRUSTING),
        story=["hold"],
    ),
    Defect(
        name="stock is given back whether or not the hold is there",
        case=Case(strategy="redis-counter", habits=COUNTER, options={"give_back": "unguarded"}),
        story=["hold", "release", "release"],
    ),
    Defect(
        name="seats are freed without asking whose they are",
        case=Case(strategy="seat-setnx", habits=KEYS, kind=SEATS, options={"release": "blind"}),
        story=["hold", "wait", "hold", "release"],
    ),
    Defect(
        name="no recheck at the payment, and a Redis that forgets",
        case=Case(
            strategy="redis-counter",
            habits=replace(forgetful(COUNTER), late="always"),
            persistence=NONE,
            capacity=1,
            options={"recheck": False},
        ),
        story=["hold", "pay_slowly crash hold", "pay"],
    ),
    Defect(
        name="payment trusts a hold that Redis forgets",
        case=Case(strategy="redis-hold", habits=forgetful(TRUSTING), persistence=NONE, capacity=1),
        story=["hold", "pay_slowly crash hold", "pay"],
    ),
    Defect(
        name="a cart is confirmed whatever its status",
        case=Case(strategy="db-cart", habits=CART, options={"confirm": "blind"}),
        story=["hold", "pay_slowly too long"],
    ),
    Defect(
        name="a refused buyer is not refunded",
        case=Case(strategy="db-cart", habits=CART, options={"refund": False}),
        story=["hold", "pay_slowly too long"],
    ),
    Defect(
        name="a repeated request is a new one",
        case=Case(strategy="redis-counter", habits=COUNTER, options={"request_id": False}),
        story=["hold", "ask_again"],
    ),
    Defect(
        name="a repeated payment is a new one",
        case=Case(
            strategy="redis-hold",
            habits=TRUSTING,
            persistence=ALWAYS,
            options={"idempotency": "none"},
        ),
        story=["hold", "pay", "pay"],
    ),
    Defect(
        name="a repeated request moves the deadline",
        case=Case(strategy="db-cart", habits=CART, options={"rehold": "reset-ttl"}),
        story=["hold", "ask_again"],
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_is_found_and_told_shortly(defect: Defect) -> None:
    """The machine fails, and its smallest failing example is the known one."""
    machine = machine_of(defect.case)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=SEARCH)
    assert machine.steps == defect.story
