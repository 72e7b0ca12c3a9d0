"""Anomalies C01 to C08: payments and orders.

See `test_a_stock.py` for how these tests work.
"""

import pytest

from tests.anomalies.crowds import DoubleClicking, Wavering
from tests.anomalies.trial import (
    Trial,
    assert_caught,
    assert_clean,
    evenly,
    hostile,
    lost_reply,
    where,
)

RUSH_OF_A_MINUTE = evenly(40, 60.0)


def test_c01_the_outcome_of_a_commit_is_unknown() -> None:
    """The order is there, the commit's reply is not; the repeat orders again without a key."""
    trial = Trial(
        scenario=hostile(arrivals=evenly(12, 60.0)),
        # The first commit of a checkout notes the payment, the second makes the order.
        faults=tuple(
            lost_reply("database", "COMMIT", "checkout", occurrence=2, from_s=20.0 + 10.0 * turn)
            for turn in range(4)
        ),
    )
    assert_caught(trial.run("redis-hold", idempotency="none"), "charged-once", at_least=3)
    fixed = trial.run("redis-hold")
    assert_clean(fixed, "charged-once", "no-overbooking", saw=["retry-after-unknown"])


def test_c02_paid_after_the_hold_ended() -> None:
    """The money arrives when the tickets are somebody else's: the policy is a refund.

    Selling on a hold that had ended, when tickets are left, is the recheck's policy as well.
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(30, 120.0), hold={"ttl_s": 40.0}, payment={"plain_s": 60.0}
        )
    )
    assert_caught(trial.run("redis-hold-recheck", refund=False), "charged-once", at_least=4)
    fixed = trial.run("redis-hold-recheck")
    price = ["expiry-honoured", "no-overhold"]
    assert_clean(fixed, "charged-once", "no-overbooking", price=price, saw=["refund-made"])


@pytest.mark.parametrize("strategy", ["redis-hold", "redis-counter"])
def test_c03_webhook_and_redirect_together(strategy: str) -> None:
    """Two requests of one payment reach two servers: without a key, two orders for one hold."""
    trial = Trial(scenario=hostile(), crowd=DoubleClicking)
    assert_caught(trial.run(strategy, idempotency="none"), "charged-once", at_least=4)
    assert_clean(trial.run(strategy), "charged-once", "no-overbooking", saw=["sold-out"])


def test_c04_the_hold_is_dropped_before_the_commit() -> None:
    """The commit fails after the hold is gone, and the buyer who paid in time is refused."""
    trial = Trial(
        scenario=hostile(arrivals=RUSH_OF_A_MINUTE),
        faults=(where("db-restart", "database request INSERT orders", "checkout"),),
    )
    bad = trial.run("redis-hold-recheck", drop_hold="before-commit")
    assert_caught(bad, "hold-honoured", at_least=4)
    fixed = trial.run("redis-hold-recheck")
    assert_clean(fixed, "hold-honoured", "no-overbooking", saw=["retry-after-unknown"])


def test_c05_a_crash_between_the_capture_and_the_commit() -> None:
    """The server dies with the money taken, the buyer never asks again: the sweeper must know."""
    trial = Trial(
        scenario=hostile(arrivals=RUSH_OF_A_MINUTE, buyers={"unknown_retries": 0}),
        faults=(where("app-kill", "payment reply capture", "checkout"),),
    )
    bad = trial.run("redis-hold-recheck", payment_intent=False)
    assert_caught(bad, "charged-once", at_least=4)
    assert_clean(trial.run("redis-hold-recheck"), "charged-once", saw=["refund-made"])


@pytest.mark.parametrize("strategy", ["redis-hold", "redis-counter"])
def test_c07_idempotency_by_check_then_insert(strategy: str) -> None:
    """Two clicks both find no order under their key, and both insert one."""
    trial = Trial(scenario=hostile(), crowd=DoubleClicking)
    bad = trial.run(strategy, idempotency="check-then-insert")
    assert_caught(bad, "charged-once", at_least=4)
    assert_clean(trial.run(strategy), "charged-once", "no-overbooking", saw=["sold-out"])


def test_c08_cancel_against_confirm() -> None:
    """A cancel reads `held` and stops, the payment confirms, the cancel gives sold tickets back."""
    trial = Trial(
        scenario=hostile(arrivals=RUSH_OF_A_MINUTE),
        faults=tuple(
            where(
                "app-pause",
                "database request UPDATE carts",
                "release",
                from_s=10.0 + 10.0 * turn,
                duration_s=12.0,
            )
            for turn in range(4)
        ),
        crowd=Wavering,
    )
    bad = trial.run("db-cart", status_guard=False)
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_caught(bad, "no-overhold", at_least=4)
    fixed = trial.run("db-cart")
    assert_clean(fixed, "stock-conserved", "no-overhold", saw=["hold-released", "order-made"])
