"""Anomalies A01 to A12: the stock in the database, taken and given back by many at once.

Each test plays one hostile sale twice: the bad variant must break the stated invariant, the fixed
one must keep it in the same seeds. `tests/README.md` has the table.
"""

from unittest.mock import patch

import pytest
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

from chaos.faults import At, ClockStep, FaultPlan, PlannedFault
from model.sqlite import client as sqlite_client
from model.sqlite.dialect import SimulatedSQLiteCompiler
from tests.anomalies.trial import Trial, assert_caught, assert_clean, evenly, hostile, where

# The first sweepers wake at 30 s and find what everybody held at the opening expired.
ABANDONED = {"abandon": 0.6, "release_on_abandon": 0.0}
SLOW_DATABASE = {"database_median_ms": 20.0, "database_p99_ms": 60.0}


def test_a01_lost_update() -> None:
    """Two buyers read the same stock and both write it back less their own; I1 and I3 break."""
    trial = Trial(scenario=hostile())
    bad = trial.run("db-cart-naive")
    assert_caught(bad, "no-overbooking", at_least=4)
    assert_caught(bad, "stock-conserved", at_least=4)
    for fixed in ("db-cart", "db-cart-row-lock"):
        assert_clean(trial.run(fixed), "no-overbooking", "stock-conserved", saw=["sold-out"])


def test_a02_write_skew() -> None:
    """Two buyers count the same rows and both insert; locking the parent row first prevents it."""
    trial = Trial(scenario=hostile())
    assert_caught(trial.run("db-derived", lock="none"), "no-overbooking", at_least=3)
    assert_clean(trial.run("db-derived"), "no-overbooking", "no-overhold", saw=["sold-out"])


def test_a05_sqlite_tests_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy drops FOR UPDATE on SQLite, so right code fails; our dialect lets it lock."""
    stock = Trial(scenario=hostile())
    sweep = Trial(scenario=hostile(buyers=ABANDONED, latency=SLOW_DATABASE, hold={"ttl_s": 40.0}))
    # The templates keep compiled statements: a fresh list compiles them the silent way.
    with patch.object(sqlite_client, "_templates", []), monkeypatch.context() as silent:
        silent.setattr(
            SimulatedSQLiteCompiler, "for_update_clause", SQLiteCompiler.for_update_clause
        )
        sold_twice, given_back_twice = stock.run("db-derived"), sweep.run("db-cart-row-lock")
    assert_caught(sold_twice, "no-overbooking", at_least=3)
    assert_caught(given_back_twice, "stock-conserved", at_least=4)
    assert_clean(stock.run("db-derived"), "no-overbooking", saw=["sold-out"])
    assert_clean(sweep.run("db-cart-row-lock"), "stock-conserved", saw=["hold-expired-unpaid"])


def test_a06_two_sweepers_give_back_twice() -> None:
    """Both sweepers read the same expired carts; unguarded, each gives them back."""
    trial = Trial(
        scenario=hostile(buyers=ABANDONED, latency=SLOW_DATABASE, hold={"ttl_s": 40.0}),
    )
    bad = trial.run("db-cart", status_guard=False)
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_clean(trial.run("db-cart"), "stock-conserved", saw=["hold-expired-unpaid"])


def test_a07_the_sweeper_unsells() -> None:
    """A sweeper whose clock is ahead stops before its write, and un-sells what was paid meanwhile.

    The invariants leave five standard deviations of the clocks' error to the code, so a hold that
    the fast clock ends early breaks none of them by itself.
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(40, 200.0),
            buyers={"last_minute": 1.0, "last_minute_s": 6.0},
            payment={"plain_s": 0.5},
            hold={"ttl_s": 40.0},
            sweeper={"period_s": 5.0},
            servers={"clock_skew_sd_s": 5.0},
        ),
        faults=tuple(
            where(
                "app-pause",
                "database request UPDATE carts",
                "sweep",
                from_s=30.0 + 20.0 * turn,
                duration_s=12.0,
            )
            for turn in range(6)
        ),
    )
    bad = trial.run("db-cart", status_guard=False)
    assert_caught(bad, "stock-conserved", at_least=3)
    assert_caught(bad, "no-overbooking", at_least=1)
    assert_clean(trial.run("db-cart"), "stock-conserved", "no-overhold")


def test_a08_checkout_after_the_sweep() -> None:
    """A pays longer than the hold lasts, B gets the tickets; a blind confirmation sells them twice.

    The fixed one refunds everybody here: its price is paid by those whose payment takes too long.
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(30, 120.0), hold={"ttl_s": 40.0}, payment={"plain_s": 60.0}
        )
    )
    bad = trial.run("db-cart", confirm="blind")
    assert_caught(bad, "no-overbooking", at_least=4)
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_clean(
        trial.run("db-cart"), "stock-conserved", "no-overhold", "charged-once", saw=["refund-made"]
    )


def test_a09_expires_between_check_and_commit_margin() -> None:
    """With nothing that looks again, a margin at the checkout is what keeps late payments out.

    Its price: a buyer who comes within the margin is refused though the hold still lives.
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(30, 200.0),
            buyers={"checkout_median_s": 20.0, "checkout_sigma": 0.6},
            payment={"plain_s": 20.0},
            hold={"ttl_s": 40.0},
            sweeper={"period_s": 5.0},
        )
    )
    bad = trial.run("db-cart", confirm="blind")
    assert_caught(bad, "no-overbooking", at_least=4)
    assert_caught(bad, "expiry-honoured", at_least=4)
    fixed = trial.run("db-cart", confirm="blind", checkout_margin_s=25.0)
    assert_clean(fixed, "no-overbooking", "stock-conserved", price=["hold-honoured"])


def test_a09_expires_between_check_and_commit_grace() -> None:
    """A pause after the capture makes a payment in time late; the sweeper's grace still honours it.

    Its price: within the grace, a payment after the deadline is honoured as well.
    """
    trial = Trial(
        scenario=hostile(
            buyers={"checkout_median_s": 30.0, "checkout_sigma": 0.0},
            payment={"plain_s": 4.0},
            hold={"ttl_s": 40.0},
            sweeper={"period_s": 5.0},
        ),
        faults=(where("app-pause", "payment reply capture", "checkout", duration_s=12.0),),
    )
    assert_caught(trial.run("db-cart"), "hold-honoured", at_least=4)
    fixed = trial.run("db-cart", sweeper_grace_s=30.0)
    assert_clean(fixed, "hold-honoured", "no-overbooking", price=["expiry-honoured"])


def test_a10_clock_skew_between_servers() -> None:
    """A server that is ahead sells what a slower one still lets its holder pay; one clock cures it.

    Everybody pays 36 s into a hold of 40 s, on clocks that differ by 10 s (standard deviation).
    """
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(40, 150.0),
            buyers={
                "checkout_median_s": 36.0,
                "checkout_sigma": 0.0,
                "retry_refused": 1.0,
                "max_attempts": 10,
                "retry_delay_s": (1.0, 5.0),
            },
            payment={"plain_s": 0.5},
            hold={"ttl_s": 40.0},
            servers={"clock_skew_sd_s": 10.0},
        )
    )
    assert_caught(trial.run("db-derived"), "no-overbooking", at_least=3)
    fixed = trial.run("db-derived", clock="database")
    assert_clean(fixed, "no-overbooking", "no-overhold", saw=["sold-out"])


def test_a10_the_application_clocks_step() -> None:
    """The servers' clocks jump ten minutes: holds end early, unless the database decides."""
    step = ClockStep(target=None, step_s=600.0)
    when = At(earliest_s=40.0, latest_s=40.0)
    plan = FaultPlan(
        name="clock-step",
        summary="the application servers' clocks jump ahead",
        faults=(PlannedFault(fault=step, when=when),),
    )
    trial = Trial(scenario=hostile(arrivals=evenly(24, 60.0)), plan=plan)
    assert_caught(trial.run("db-cart"), "hold-honoured", at_least=4)
    assert_clean(trial.run("db-cart", clock="database"), "hold-honoured", "no-overbooking")


def test_a11_double_release() -> None:
    """A release reads `held` and stops; the sweeper gives back; unguarded, the release does too."""
    trial = Trial(
        scenario=hostile(
            buyers={
                "abandon": 1.0,
                "release_on_abandon": 1.0,
                "checkout_median_s": 110.0,  # they release halfway, 5 s before the hold ends
                "checkout_sigma": 0.0,
            },
            hold={"ttl_s": 60.0},
        ),
        faults=(where("app-pause", "database request UPDATE carts", "release", duration_s=60.0),),
    )
    assert_caught(trial.run("db-cart", status_guard=False), "stock-conserved", at_least=4)
    assert_clean(trial.run("db-cart"), "stock-conserved", saw=["hold-released"])


def test_a12_release_not_atomic() -> None:
    """The server dies between ending carts and returning their tickets, which never come back."""
    trial = Trial(
        scenario=hostile(buyers=ABANDONED, hold={"ttl_s": 40.0}),
        faults=(where("app-kill", "database reply COMMIT", "sweep", from_s=40.0),),
    )
    bad = trial.run("db-cart", give_back="split")
    assert_caught(bad, "no-leak", at_least=4)
    assert_clean(trial.run("db-cart"), "no-leak", "stock-conserved", saw=["hold-expired-unpaid"])
