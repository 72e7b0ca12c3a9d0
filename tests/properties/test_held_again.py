"""A hold that was given back and is acknowledged again is a promise like any other."""

import pytest

from model.history import History, Outcome
from properties.judge import INVARIANTS
from properties.verdicts import Status
from tests.properties.sales import Sale


def says(invariant: str, history: History) -> Status:
    """The verdict of one invariant."""
    return INVARIANTS[invariant].check(history).status


@pytest.mark.parametrize("between", ["nothing", "a refused payment", "an earlier deadline"])
def test_two_have_a_ticket_that_one_gave_back_and_was_given_again(between: str) -> None:
    """Ann's second hold counts from its own acknowledgement, whatever became of the first."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0, expires_s=15.0 if between == "an earlier deadline" else 901.0)
    sale.release("ann", 10.0)
    if between == "a refused payment":
        sale.refused("ann", 12.0, "HoldExpired", took_s=1.0)
    sale.hold("ann", 20.0)
    sale.hold("bob", 30.0)
    assert says("no-overhold", sale.ended()) is Status.VIOLATED


@pytest.mark.parametrize(
    ("outcome", "at_s"),
    [
        (Outcome.OK, 25.0),  # given back again
        (Outcome.UNKNOWN, 10.0),  # in doubt: it may have its effect whenever it likes
        (Outcome.OK, 20.005),  # overlaps the second request
    ],
)
def test_what_may_have_been_given_back_is_not_held(outcome: Outcome, at_s: float) -> None:
    """Only a give-back that was surely over lets a hold begin anew, and any may end it."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 5.0)
    sale.release("ann", at_s, outcome=outcome)
    sale.hold("ann", 20.0)
    sale.hold("bob", 30.0)
    assert says("no-overhold", sale.ended()) is Status.HOLDS


def test_a_hold_asked_for_twice_is_held_once() -> None:
    """A repeat without a give-back in between, and one after it, take one ticket, not two."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("ann", 2.0)
    sale.release("ann", 10.0)
    sale.hold("ann", 20.0)
    sale.hold("ann", 21.0)
    assert says("no-overhold", sale.ended()) is Status.HOLDS


def test_a_hold_given_again_is_a_promise() -> None:
    """A payment in time on it is not refused for the give-back before."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.release("ann", 10.0)
    sale.hold("ann", 20.0)
    sale.refused("ann", 30.0, "HoldExpired", took_s=1.0)
    assert says("hold-honoured", sale.ended()) is Status.VIOLATED


def test_a_hold_given_back_after_all_is_none() -> None:
    """Nor is one whose give-back was in doubt before it was paid for."""
    for outcome in (Outcome.OK, Outcome.UNKNOWN):
        sale = Sale()
        sale.hold("ann", 1.0)
        sale.release("ann", 10.0)
        sale.hold("ann", 20.0)
        sale.release("ann", 25.0, outcome=outcome)
        sale.refused("ann", 30.0, "HoldExpired", took_s=1.0)
        assert says("hold-honoured", sale.ended()) is Status.INCONCLUSIVE
