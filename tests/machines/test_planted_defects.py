"""Positive controls: with a safeguard switched off, the machine finds it and tells it shortly.

What stands here is the smallest example there is. Hypothesis comes down to it, or to one with a
step more, such as a hold that is refused; a longer one means that the machine, or the shrinking,
has become worse at its work.
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

SEARCH = settings(BOUNDED, max_examples=150, stateful_step_count=5, report_multiple_bugs=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """A strategy with something wrong, what may be done, and the story it must come down to."""

    name: str
    case: Case
    rules: tuple[str, ...]
    story: list[str]


DEFECTS = [
    Defect(
        name="holds are not counted",
        case=Case(strategy="redis-hold-blind", habits=TRUSTING),
        rules=("hold", "pay", "wait"),
        story=["hold"],
    ),
    Defect(
        name="stock is given back whether or not the hold is there",
        case=Case(strategy="redis-counter", habits=COUNTER, options={"give_back": "unguarded"}),
        rules=("hold", "release", "wait", "sweep"),
        story=["hold", "release", "release"],
    ),
    Defect(
        name="seats are freed without asking whose they are",
        case=Case(strategy="seat-setnx", habits=KEYS, kind=SEATS, options={"release": "blind"}),
        rules=("hold", "release", "wait"),
        story=["hold", "hold", "release"],
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
        rules=("hold", "pay", "pay_slowly"),
        story=["hold", "pay slowly crash hold", "pay"],
    ),
    Defect(
        name="a cart is confirmed whatever its status",
        case=Case(strategy="db-cart", habits=CART, options={"confirm": "blind"}),
        rules=("hold", "pay", "pay_slowly", "sweep"),
        story=["hold", "pay slowly too long"],
    ),
    Defect(
        name="a repeated request is a new one",
        case=Case(strategy="redis-counter", habits=COUNTER, options={"request_id": False}),
        rules=("hold", "ask_again", "wait"),
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
        rules=("hold", "pay", "wait"),
        story=["hold", "pay", "pay"],
    ),
    Defect(
        name="a repeated request moves the deadline",
        case=Case(strategy="db-cart", habits=CART, options={"rehold": "reset-ttl"}),
        rules=("hold", "ask_again", "wait"),
        story=["hold", "ask_again"],
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name.replace(" ", "-"))
def test_a_planted_defect_is_found_and_told_shortly(defect: Defect) -> None:
    """The machine fails, and its smallest failing example is the known one, in that order."""
    machine = machine_of(defect.case, defect.rules)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=SEARCH)
    steps = iter(machine.steps)
    assert all(step in steps for step in defect.story), machine.steps
    assert len(machine.steps) <= len(defect.story) + 1, machine.steps
