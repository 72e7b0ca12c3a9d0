"""Anomalies B01 to B07 and B20 to B25: hold, release and reap in Redis, with nothing lost.

See `test_a_stock.py` for how these tests work.
"""

from chaos.persistence import Persistence
from tests.anomalies.crowds import RefreshingAtTheReaper
from tests.anomalies.trial import Trial, assert_caught, assert_clean, at, evenly, hostile, where

SIX_SEATS = {"kind": "seats", "capacity": 6, "row_length": 6}
# Two requests must be between their two steps within the same millisecond or so.
ALL_AT_ONCE = {"opening_s": 0.005}
LATE_RELEASES = {
    "abandon": 0.6,
    "release_on_abandon": 1.0,
    "checkout_median_s": 50.0,  # a release comes after half of it: often, but not always, too late
    "checkout_sigma": 1.0,
}


def test_b01_get_check_set() -> None:
    """Two requests count the holds before either writes, and both fit; one script cannot be."""
    trial = Trial(scenario=hostile(arrivals=ALL_AT_ONCE))
    bad = trial.run("redis-hold-racy")
    assert_caught(bad, "no-overhold", at_least=3)
    assert_caught(bad, "no-overbooking", at_least=3)
    assert_clean(trial.run("redis-hold"), "no-overhold", "no-overbooking", saw=["sold-out"])


def test_b02_setnx_then_a_crash_then_no_expire() -> None:
    """The server dies between SETNX and PEXPIRE, the buyer leaves: the seat is held for ever."""
    trial = Trial(
        scenario=hostile(
            sale=SIX_SEATS,
            arrivals=evenly(12, 60.0),
            buyers={"party_sizes": {1: 1.0}, "abandon": 0.5, "unknown_retries": 0},
        ),
        faults=(
            where("app-kill", "redis reply SETNX", "hold", occurrence=2),
            where("app-kill", "redis reply EVAL", "hold", occurrence=3),
        ),
    )
    assert_caught(trial.run("seat-setnx", expire="separate"), "no-leak", at_least=3)
    assert_clean(trial.run("seat-setnx"), "no-leak", "no-overhold", saw=["reply-lost"])


def test_b03_watch_on_the_client() -> None:
    """`Redis.watch` on the client watches nothing; on the pipeline it makes the counting hold."""
    trial = Trial(scenario=hostile(arrivals=ALL_AT_ONCE))
    assert_caught(trial.run("redis-hold-racy", watch="client"), "no-overhold", at_least=3)
    fixed = trial.run("redis-hold-racy", watch="pipeline")
    assert_clean(fixed, "no-overhold", "no-overbooking", saw=["sold-out"])


def test_b05_delete_without_asking_whose_it_is() -> None:
    """A's late release deletes B's seat, and C gets it while B holds it."""
    trial = Trial(
        scenario=hostile(
            sale=SIX_SEATS,
            arrivals=evenly(80, 200.0),
            buyers={"party_sizes": {1: 1.0}, **LATE_RELEASES},
            hold={"ttl_s": 40.0},
        )
    )
    bad = trial.run("seat-setnx", release="blind")
    assert_caught(bad, "no-overhold", at_least=4)
    assert_caught(bad, "hold-honoured", at_least=1)
    fixed = trial.run("seat-setnx")
    assert_clean(fixed, "no-overhold", "hold-honoured", "seat-sold-once", saw=["hold-released"])


def test_b06_the_hold_ends_during_the_payment() -> None:
    """A pays for longer than the hold lasts, and B holds the tickets and pays too: no fault needed.

    The recheck sells to whoever comes first and refunds the other, so it still sells on holds that
    had ended (its price), but never one ticket twice.
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(30, 120.0), hold={"ttl_s": 40.0}, payment={"plain_s": 60.0}
        )
    )
    bad = trial.run("redis-hold")
    assert_caught(bad, "no-overbooking", at_least=4)
    assert_clean(
        trial.run("redis-hold-recheck"),
        "no-overbooking",
        "charged-once",
        price=["expiry-honoured", "no-overhold"],
        saw=["refund-made"],
    )


def test_b07_unlocked_double_check() -> None:
    """A looks, stops, and deducts what others sold meanwhile; the recheck looks as it deducts.

    Redis loses every hold while their buyers pay, so that more pay than there are tickets. The
    price of the recheck is the promise to those who come too late.
    """
    trial = Trial(
        scenario=hostile(
            buyers={
                "party_sizes": {1: 1.0},  # a ticket left over suits whoever is next
                "checkout_median_s": 10.0,
                "checkout_sigma": 0.2,
                "retry_refused": 1.0,
                "max_attempts": 10,
            },
            payment={"plain_s": 60.0},
            hold={"ttl_s": 300.0},
            servers={"count": 6},  # so that one that stops leaves most buyers served
        ),
        faults=(
            at("redis-kill", 30.0, down_s=1.0),
            # The first statement after the capture, or after the look that follows it; no lock yet.
            where("app-pause", "database request UPDATE payments", "checkout", duration_s=150.0),
        ),
    )
    bad = trial.run("redis-hold-read-check", persistence=Persistence.NONE)
    assert_caught(bad, "no-overbooking", at_least=4)
    fixed = trial.run("redis-hold-recheck", persistence=Persistence.NONE)
    price = ["hold-honoured", "no-overhold", "expiry-honoured"]
    assert_clean(fixed, "no-overbooking", "charged-once", price=price, saw=["refund-made"])


def test_b20_soft_decrement_leaks() -> None:
    """The server dies between DECRBY and noting the hold: tickets that nobody holds or gets."""
    trial = Trial(
        scenario=hostile(sale={"capacity": 40}, arrivals=evenly(24, 60.0), buyers={"abandon": 0.5}),
        faults=(
            where("app-kill", "redis reply DECRBY", "hold", occurrence=3),
            where("app-kill", "redis reply EVAL", "hold", occurrence=4),
        ),
    )
    bad = trial.run("redis-counter", script="two-steps")
    assert_caught(bad, "no-leak", at_least=4)
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_clean(trial.run("redis-counter"), "no-leak", "stock-conserved", saw=["reply-lost"])


def test_b21_give_back_twice() -> None:
    """The reaper gives a hold back, and so does its owner's late release, unless it looks first."""
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(60, 200.0),
            buyers=LATE_RELEASES,
            hold={"ttl_s": 40.0},
            sweeper={"period_s": 10.0},
        )
    )
    bad = trial.run("redis-counter", give_back="unguarded")
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_caught(bad, "no-overhold", at_least=4)
    fixed = trial.run("redis-counter")
    assert_clean(fixed, "stock-conserved", "no-overhold", "no-leak", saw=["hold-released"])


def test_b23_the_reaper_against_an_extension() -> None:
    """The reaper lists a hold as due, its owner extends it, and the reaper gives it away.

    A slow Redis keeps the reaper's two steps 0.8 s apart, and the owners ask again in that second.
    """
    trial = Trial(
        scenario=hostile(
            buyers={"checkout_median_s": 15.0, "retry_refused": 1.0, "max_attempts": 10},
            hold={"ttl_s": 25.0},
        ),
        faults=(at("redis-slow", 28.0, extra_s=0.2, duration_s=4.0),),
        crowd=RefreshingAtTheReaper,
    )
    bad = trial.run("redis-counter", reaper_recheck=False)
    assert_caught(bad, "hold-honoured", at_least=4)
    assert_clean(trial.run("redis-counter"), "hold-honoured", "no-overhold", "no-overbooking")


def test_b25_stale_total() -> None:
    """A request reads the stock and stops, a sale drops its hold, the request holds too much."""
    trial = Trial(
        scenario=hostile(arrivals=evenly(60, 80.0)),
        faults=(
            where(
                "app-pause",
                "database reply SELECT events",
                "hold",
                from_s=20.0,
                duration_s=30.0,
            ),
        ),
        seeds=range(1, 9),
    )
    bad = trial.run("redis-hold", sale_floor=False)
    assert_caught(bad, "no-overhold", at_least=4)
    assert_caught(bad, "no-overbooking", at_least=4)
    assert_clean(trial.run("redis-hold"), "no-overhold", "no-overbooking", saw=["sold-out"])
