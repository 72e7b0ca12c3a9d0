"""Positive controls: what is known to be bad is caught within ten seeds, what is good is not.

One sale does it all, small and clockwork-like: 24 buyers click within 5 ms for 6 tickets, those
refused come back in step, everybody pays after 10 s for 60 s, and some cards are declined. So many
hold, look and deduct within the same milliseconds. Redis is killed, or not, while people pay. If
a bad strategy slips through here, the checkers or the simulator have gone blind, and every "holds"
printed anywhere means nothing.
"""

import pytest

from chaos.persistence import Persistence
from model.scenario import FaultEntry, Scenario
from tests.anomalies.trial import Trial, assert_caught, assert_clean, at, hostile

SEEDS = range(1, 11)
KILL = (at("redis-kill", 30.0, down_s=1.0),)


def clockwork(kind: str) -> Scenario:
    """Make the sale."""
    return hostile(
        sale={"capacity": 6, "kind": kind},
        arrivals={"opening_s": 0.005},
        buyers={
            "party_sizes": {1: 1.0},
            "checkout_median_s": 10.0,
            "checkout_sigma": 0.0,
            "retry_refused": 1.0,
            "max_attempts": 10,
            "retry_delay_s": (5.0, 5.01),
        },
        payment={"challenged": 0.4, "challenge_fail": 1.0, "plain_s": 60.0},
        hold={"ttl_s": 150.0},
    )


@pytest.mark.parametrize(
    ("strategy", "faults", "invariant", "within"),
    [
        pytest.param("db-cart-naive", (), "no-overbooking", 1, id="db-cart-naive"),
        pytest.param("redis-hold-blind", (), "no-overhold", 1, id="redis-hold-blind-overholds"),
        pytest.param("redis-hold-blind", (), "no-overbooking", 1, id="redis-hold-blind-overbooks"),
        pytest.param("redis-hold-racy", (), "no-overhold", 3, id="redis-hold-racy"),
        pytest.param("redis-hold", KILL, "no-overbooking", 3, id="redis-hold-killed"),
        pytest.param(
            "redis-hold-read-check", KILL, "no-overbooking", 10, id="redis-hold-read-check-killed"
        ),
        pytest.param("redis-hold-recheck", KILL, "hold-honoured", 3, id="promises-without-a-disk"),
        pytest.param("db-cart-naive", (), "linearizable", 1, id="db-cart-naive-order"),
        pytest.param("redis-hold-blind", (), "linearizable", 1, id="redis-hold-blind-order"),
        pytest.param("redis-hold-racy", (), "linearizable", 3, id="redis-hold-racy-order"),
        pytest.param("redis-hold-recheck", KILL, "linearizable", 3, id="order-without-a-disk"),
    ],
)
def test_the_bad_are_caught(
    strategy: str, faults: tuple[FaultEntry, ...], invariant: str, within: int
) -> None:
    """Each known-bad strategy, and a Redis that keeps nothing, breaks its invariant soon enough."""
    trial = Trial(scenario=clockwork("general"), faults=faults, seeds=range(1, within + 1))
    assert_caught(trial.run(strategy, persistence=Persistence.NONE), invariant, at_least=1)


@pytest.mark.parametrize("faults", [(), KILL], ids=["no-fault", "redis-kill"])
@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("db-cart", "general"),
        ("db-cart", "seats"),
        ("db-cart-row-lock", "general"),
        ("db-derived", "general"),
        ("redis-hold-recheck", "general"),
        ("redis-counter", "general"),
        ("seat-setnx", "seats"),
    ],
)
def test_the_good_are_not(strategy: str, kind: str, faults: tuple[FaultEntry, ...]) -> None:
    """In the same seeds no good strategy breaks anything, with holds that outlive the kill."""
    trial = Trial(scenario=clockwork(kind), faults=faults, seeds=SEEDS)
    runs = trial.run(strategy, persistence=Persistence.AOF_ALWAYS)
    sold = "no-overbooking" if kind == "general" else "seat-sold-once"
    held = ("no-overhold", "hold-honoured", "linearizable")
    assert_clean(runs, sold, *held, "stock-conserved", "charged-once")
