"""Anomalies A15, A17, A18 and A21: holds that hoard, and payments that keep connections.

See `test_a_stock.py` for how these tests work.
"""

from tests.anomalies.claims import refused_before_unsold, told_longer_than
from tests.anomalies.crowds import Clinging
from tests.anomalies.trial import (
    LOG,
    Trial,
    assert_caught,
    assert_clean,
    evenly,
    hostile,
    lost_reply,
)

TTL_S = 60.0


def test_a15_held_is_not_sold() -> None:
    """Holders who will abandon make the sale look sold out; who does not ask again goes without.

    Nothing is wrong with the code: the sale is lost unless somebody comes for the second wave.
    """

    def crowd(retry_refused: float) -> Trial:
        buyers = {
            "party_sizes": {1: 1.0},
            "abandon": 0.6,
            "release_on_abandon": 0.0,
            "retry_refused": retry_refused,
            "max_attempts": 30,
            "retry_delay_s": (20.0, 40.0),
        }
        return Trial(scenario=hostile(arrivals={"buyers": 48}, buyers=buyers, hold={"ttl_s": 40.0}))

    for run in crowd(retry_refused=0.0).run("db-cart"):
        assert refused_before_unsold(run.history)
    fixed = crowd(retry_refused=1.0).run("db-cart")
    assert not [run.seed for run in fixed if refused_before_unsold(run.history)]
    assert_clean(fixed, "no-overbooking", "stock-conserved", saw=["sold-out"])


def test_a17_each_retry_resets_the_deadline() -> None:
    """Asking again every 20 s keeps a hold of 60 s for 160 s; no invariant minds, the bound does.

    With the deadline fixed, those who only cling lose their hold: that is what a deadline is for.
    """
    trial = Trial(scenario=hostile(hold={"ttl_s": TTL_S}), crowd=Clinging)
    bad, fixed = trial.run("db-cart", rehold="reset-ttl"), trial.run("db-cart", rehold="same")
    hoarded = [len(told_longer_than(run.history, TTL_S + 1.0)) for run in bad]
    LOG.info("%s hoards in %d of %d seeds", bad.variant, sum(map(bool, hoarded)), len(hoarded))
    assert min(hoarded) > 0
    assert [told_longer_than(run.history, TTL_S + 1.0) for run in fixed] == [[]] * len(hoarded)
    assert_clean(fixed, "stock-conserved", "no-leak", saw=["hold-expired-unpaid"])


def test_a18_asking_again_overwrites_the_quantity() -> None:
    """The answer to a hold is lost and the buyer asks again: deducted twice, given back once."""
    trial = Trial(
        scenario=hostile(sale={"capacity": 60}),  # enough left to deduct the second time
        faults=(lost_reply("database", "COMMIT", "hold"),),
    )
    bad = trial.run("db-cart", rehold="overwrite")
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_caught(bad, "no-leak", at_least=4)
    assert_clean(trial.run("db-cart"), "stock-conserved", saw=["retry-after-unknown"])


def test_a21_the_provider_is_called_inside_the_transaction() -> None:
    """Payments of 200 s each keep a connection, and for minutes nobody else is answered."""
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(30, 400.0),
            buyers={"checkout_median_s": 5.0},
            payment={"plain_s": 200.0},
            hold={"ttl_s": 600.0},
            servers={"database_pool": 1, "database_pool_timeout_s": 5.0},
        )
    )
    bad = trial.run("db-cart", payment_in_transaction=True)
    assert_caught(bad, "sale-goes-on", at_least=4)
    assert_clean(trial.run("db-cart"), "sale-goes-on", "hold-honoured", saw=["order-made"])
