"""Broken promises: what counts as paid in time, and what is no chance at all."""

from collections.abc import Callable

import pytest

from model.history import History, Outcome
from properties.judge import INVARIANTS
from properties.verdicts import Status, Verdict
from tests.properties.sales import Sale

END_S = 901.0  # ann holds at 1.0 for 900 s


def _check(history: History) -> Verdict:
    return INVARIANTS["hold-honoured"].check(history)


def _sale(**options: object) -> Sale:
    sale = Sale(**options)  # type: ignore[arg-type] # options are fields of Sale
    sale.hold("ann", 1.0, 2)
    return sale


@pytest.mark.parametrize("reason", ["OrderRefused", "HoldExpired", "SoldOut"])
def test_a_refusal_in_time_breaks_the_promise(reason: str) -> None:
    """Each kind of lost ticket is a breach, told with buyer, deadline and reason."""
    sale = _sale()
    sale.refused("ann", 30.0, reason)
    verdict = _check(sale.ended())
    (violation,) = verdict.violations
    assert verdict.examined == 1
    assert violation.amount == 2
    assert violation.op_ids == (1, 2)
    assert violation.actors == ("ann",)
    assert "ann held 2 tickets until 901.0 s" in violation.message
    assert reason in violation.message


def _declined(sale: Sale) -> None:
    sale.refused("ann", 30.0, "PaymentDeclined")


def _released_first(sale: Sale) -> None:
    sale.release("ann", 20.0)
    sale.refused("ann", 30.0, "HoldExpired", 0.02)


def _released_meanwhile(sale: Sale) -> None:
    sale.refused("ann", 30.0, "OrderRefused")
    sale.release("ann", 40.0, outcome=Outcome.UNKNOWN)


def _refused_after_the_end(sale: Sale) -> None:
    sale.refused("ann", 900.5, "HoldExpired", 1.0)


def _captured_after_the_end(sale: Sale) -> None:
    sale.refused("ann", 890.0, "OrderRefused", captured_s=END_S)


def _never_resolved(sale: Sale) -> None:
    for at_s in (30.0, 100.0):
        sale.pay("ann", at_s, outcome=Outcome.UNKNOWN)


def _not_applied(sale: Sale) -> None:
    sale.pay("ann", 30.0, captured_s=None, outcome=Outcome.NOT_APPLIED)


def _never_paid(sale: Sale) -> None:
    pass


@pytest.mark.parametrize(
    "tell",
    [
        _declined,
        _released_first,
        _released_meanwhile,
        _refused_after_the_end,
        _captured_after_the_end,
        _never_resolved,
        _not_applied,
        _never_paid,
    ],
)
def test_what_is_no_chance_leaves_the_promise_open(tell: Callable[[Sale], None]) -> None:
    """Nobody paid in time and got a definite answer: neither kept nor broken."""
    sale = _sale()
    tell(sale)
    verdict = _check(sale.ended())
    assert (verdict.status, verdict.examined) == (Status.INCONCLUSIVE, 0)


def test_a_release_that_had_no_effect_frees_nobody_from_the_promise() -> None:
    """A release that surely was not applied leaves the hold, and the promise, alive."""
    sale = _sale()
    sale.release("ann", 20.0, outcome=Outcome.NOT_APPLIED)
    sale.refused("ann", 30.0, "HoldExpired", 0.02)
    assert _check(sale.ended()).status is Status.VIOLATED


def test_a_hold_nobody_acknowledged_is_no_promise() -> None:
    """A buyer whose hold stayed in doubt was promised nothing."""
    sale = Sale()
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN)
    sale.refused("ann", 30.0, "HoldExpired", 0.02)
    assert _check(sale.ended()).status is Status.INCONCLUSIVE


def test_repeats_of_one_key_count_once_by_the_last_answer() -> None:
    """Unknown, then ok: one kept promise; unknown, then refused: one broken one."""
    kept, broken = _sale(), _sale()
    for sale in (kept, broken):
        sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN)
    kept.pay("ann", 95.0, 1.0, captured_s=None)
    broken.refused("ann", 95.0, "OrderRefused", 1.0, captured_s=None)
    assert (_check(kept.ended()).status, _check(kept.ended()).examined) == (Status.HOLDS, 1)
    verdict = _check(broken.ended())
    assert (verdict.status, verdict.examined) == (Status.VIOLATED, 1)


def test_a_payment_in_time_stays_in_time_when_its_repeat_is_late() -> None:
    """Captured before the deadline, answered no after it: still a broken promise."""
    sale = _sale()
    sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN)
    sale.refused("ann", 1000.0, "HoldExpired", 0.02)
    assert _check(sale.ended()).status is Status.VIOLATED


def test_an_ok_taken_back_is_a_breach() -> None:
    """The same key acknowledged and later refused is a breach, whenever that happens."""
    sale = _sale()
    sale.pay("ann", 30.0)
    sale.refused("ann", 2000.0, "HoldExpired", 0.02)
    (violation,) = _check(sale.ended()).violations
    assert "although order 1 exists" in violation.message


def test_another_key_on_a_bought_hold_is_refused_rightly() -> None:
    """Paying twice for one hold with two keys gets one order; that is no broken promise."""
    sale = _sale()
    sale.pay("ann", 30.0)
    sale.refused("ann", 100.0, "HoldExpired", 0.02, key="another")
    verdict = _check(sale.ended())
    assert (verdict.status, verdict.examined) == (Status.HOLDS, 1)


def test_an_order_nobody_was_told_of_is_a_kept_promise() -> None:
    """All answers lost, and the order is there: the promise was kept."""
    sale = _sale()
    sale.order(sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN), 1)
    verdict = _check(sale.ended())
    assert (verdict.status, verdict.examined) == (Status.HOLDS, 1)


def test_an_order_denied_to_its_buyer_is_a_broken_promise() -> None:
    """The order is there and its buyer is told no: a breach."""
    sale = _sale()
    sale.order(sale.refused("ann", 30.0, "HoldExpired"), 1)
    assert _check(sale.ended()).status is Status.VIOLATED


@pytest.mark.parametrize(("captured_s", "status"), [(899.0, "violated"), (900.95, "inconclusive")])
def test_the_clocks_slack_is_given_to_the_code(captured_s: float, status: str) -> None:
    """A refusal within five standard deviations of the clocks' skew is no breach."""
    sale = _sale(meta={"clock_skew_sd_s": 0.02})
    sale.refused("ann", 850.0, "OrderRefused", captured_s=captured_s)
    assert _check(sale.ended()).status.value == status


def test_the_slack_is_read_from_the_recorded_scenario_too() -> None:
    """A run's meta carries the scenario; its server clocks' skew counts."""
    sale = _sale(meta={"scenario": {"servers": {"clock_skew_sd_s": 0.02}}})
    sale.refused("ann", 850.0, "OrderRefused", captured_s=900.95)
    assert _check(sale.ended()).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("at_s", "status"), [(30.0, "violated"), (1500.0, "violated"), (1801.0, "inconclusive")]
)
def test_an_extension_is_a_promise_too(at_s: float, status: str) -> None:
    """Ann's hold ended at 901 s; asking again at 900 s she was told 1800 s, and relies on that."""
    sale = _sale()
    if at_s > END_S:
        sale.hold("ann", 900.0, 2)
    sale.refused("ann", at_s, "HoldExpired", 0.02)
    verdict = _check(sale.ended())
    assert verdict.status == status
    if at_s == 1500.0:
        assert "until 1800.0 s" in verdict.violations[0].message


def test_the_first_deadline_counts_until_another_is_told() -> None:
    """Refused at 950 s, ann asks again and gets a new deadline: that came too late to be broken."""
    sale = _sale()
    sale.refused("ann", 950.0, "HoldExpired", 0.02)
    sale.hold("ann", 960.0, 2)
    assert _check(sale.ended()).status is Status.INCONCLUSIVE
