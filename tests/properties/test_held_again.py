"""A hold that was given back and is acknowledged again is a promise like any other."""

import pytest

from model.history import History, Outcome
from properties.judge import INVARIANTS
from properties.verdicts import Status
from tests.properties.brute_force import has_an_order
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


def test_two_have_a_ticket_that_one_was_given_again_when_it_had_run_out() -> None:
    """A hold that is acknowledged anew after its deadline counts until the new one."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("ann", 950.0)
    sale.hold("bob", 1000.0)
    assert says("no-overhold", sale.ended()) is Status.VIOLATED
    sale.operations[1].expires_s = 901.0  # the old deadline, told again
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


def test_a_sale_on_a_hold_that_may_have_been_taken_anew_is_not_late() -> None:
    """Its deadline was never told: the request that took it anew stayed in doubt."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.hold("ann", 950.0, outcome=Outcome.UNKNOWN)
    sale.pay("ann", 960.0)
    assert says("expiry-honoured", sale.ended()) is Status.INCONCLUSIVE


def test_a_repeat_that_settles_a_doubtful_one_tells_the_deadline() -> None:
    """A request in doubt and its acknowledged repeat are one hold, and a late sale is late."""
    sale = Sale()
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN, completed_s=4.0)
    sale.hold("ann", 5.0)
    sale.pay("ann", 950.0)
    assert says("expiry-honoured", sale.ended()) is Status.VIOLATED


def test_what_is_told_after_the_sale_does_not_excuse_it() -> None:
    """A late sale stays late when the hold is asked for again afterwards."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 950.0)
    sale.hold("ann", 1100.0)
    assert says("expiry-honoured", sale.ended()) is Status.VIOLATED


@pytest.mark.parametrize("again", [True, False])
def test_a_refusal_that_is_told_late_may_be_about_the_hold_before(*, again: bool) -> None:
    """It began before the hold ended, was taken anew and sold; a hold taken once has no before."""
    sale = Sale(ttl_s=7.0 if again else 900.0)
    sale.hold("ann", 1.0)
    sale.refused("ann", 6.0, "HoldExpired", took_s=4.0)
    if again:
        sale.hold("ann", 8.5)
    sale.pay("ann", 9.0, 0.5)
    expected = Status.HOLDS if again else Status.VIOLATED
    assert says("hold-honoured", sale.ended()) is expected


def test_before_the_first_acknowledgement_there_is_no_promise() -> None:
    """A payment that was refused while nobody had said yes broke none."""
    sale = Sale()
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN)
    sale.refused("ann", 3.0, "HoldExpired", took_s=1.0)
    sale.hold("ann", 10.0)
    assert says("hold-honoured", sale.ended()) is Status.INCONCLUSIVE


def test_a_sale_before_any_acknowledgement_is_judged() -> None:
    """A give-back in doubt, a sale, and only then the first yes to the hold."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN)
    sale.release("ann", 3.0, outcome=Outcome.UNKNOWN)
    sale.pay("ann", 5.0, 1.0)
    sale.hold("ann", 10.0)
    sale.sold_out("bob", 20.0)
    assert says("linearizable", sale.ended()) is Status.HOLDS


def test_what_was_in_doubt_and_given_back_may_have_been_held() -> None:
    """Ann's second request may have had the ticket when bob was refused, and her third took it."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 5.0)
    sale.hold("ann", 10.0, outcome=Outcome.UNKNOWN)
    sale.sold_out("bob", 12.0)
    sale.release("ann", 15.0)
    sale.hold("bob", 20.0)
    sale.release("bob", 25.0)
    sale.hold("ann", 30.0)
    history = sale.ended()
    assert has_an_order(history)
    assert says("linearizable", history) is Status.HOLDS
    sale.operations[3].invoked_s, sale.operations[3].completed_s = 18.0, 18.5  # she had let it go
    assert not has_an_order(history)
    assert says("linearizable", history) is Status.VIOLATED


@pytest.mark.parametrize("settled", [True, False])
def test_a_request_in_doubt_is_settled_by_one_that_follows_it(*, settled: bool) -> None:
    """Not by one beside it: that one may have been served first, and given back."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN, completed_s=2.0 if settled else 9.0)
    sale.hold("ann", 3.0)
    sale.release("ann", 5.0)
    sale.sold_out("bob", 12.0)
    expected = Status.VIOLATED if settled else Status.HOLDS
    assert says("linearizable", sale.ended()) is expected
