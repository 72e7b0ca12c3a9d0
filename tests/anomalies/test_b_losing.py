"""Anomalies B08 to B11 and B18: Redis restarts with less than it had, or its clock steps.

See `test_a_stock.py` for how these tests work. The price of the recheck, where holds are lost, is
always the same: nobody is sold tickets that are not there, and buyers with a valid hold are refused
and refunded. `no-overhold` goes with it: the lost hold was promised, and so was its successor.
"""

import pytest

from chaos.faults import At, ClockStep, FaultPlan, PlannedFault, Target
from chaos.persistence import Persistence
from model.scenario import Scenario
from tests.anomalies.trial import Trial, assert_caught, assert_clean, at, evenly, hostile

LOST = ("hold-honoured", "no-overhold")
# Everybody holds at the opening and begins to pay after 10 s, which takes a minute.
PAYING: Scenario = hostile(
    buyers={
        "checkout_median_s": 10.0,
        "checkout_sigma": 0.2,
        "retry_refused": 1.0,
        "max_attempts": 10,
    },
    payment={"plain_s": 60.0},
    hold={"ttl_s": 300.0},
)
# Everybody clicks within 0.6 s, and Redis ends 0.3 s later.
FILLING: Scenario = hostile(arrivals={"opening_s": 0.6})


def test_b08_a_restart_loses_holds() -> None:
    """Redis restarts empty while holds are paid: I1 breaks without a check, I5 with one."""
    trial = Trial(scenario=PAYING, faults=(at("redis-kill", 30.0, down_s=1.0),))
    bad = trial.run("redis-hold", persistence=Persistence.NONE)
    assert_caught(bad, "no-overbooking", at_least=4)
    checked = trial.run("redis-hold-recheck", persistence=Persistence.NONE)
    assert_caught(checked, "hold-honoured", at_least=4)
    assert_clean(checked, "no-overbooking", "charged-once", price=LOST, saw=["refund-made"])
    for strategy in ("redis-hold", "redis-hold-recheck"):
        kept = trial.run(strategy, persistence=Persistence.AOF_ALWAYS)
        assert_clean(kept, "no-overbooking", "hold-honoured", "no-overhold")


def test_b08_holds_in_the_database_survive() -> None:
    """The other fix: a hold that is a committed row outlives the restart of the store it is in."""
    trial = Trial(scenario=PAYING, faults=(at("db-restart", 30.0, down_s=1.0),))
    for strategy in ("db-cart", "db-derived"):
        assert_clean(trial.run(strategy), "no-overbooking", "hold-honoured", "no-overhold")


@pytest.mark.parametrize("strategy", ["redis-hold-recheck", "redis-counter"])
def test_b09_everysec_and_a_power_loss(strategy: str) -> None:
    """What was acknowledged since the last fsync is gone with the power; `always` waits for it."""
    trial = Trial(scenario=FILLING, faults=(at("redis-power-loss", 0.9, down_s=1.0),))
    bad = trial.run(strategy, persistence=Persistence.AOF_EVERYSEC)
    assert_caught(bad, "hold-honoured", at_least=4)
    assert_clean(bad, "no-overbooking", price=LOST)
    fixed = trial.run(strategy, persistence=Persistence.AOF_ALWAYS)
    assert_clean(fixed, "hold-honoured", "no-overhold", "no-overbooking")


def test_b10_everysec_and_a_kill_on_a_slow_disk() -> None:
    """While an fsync runs, writes wait in the process: a kill takes them along, but not `always`.

    On a healthy disk a kill loses nothing: the page cache survives the process.
    """
    kill = at("redis-kill", 0.9, down_s=1.0)
    slow = Trial(
        scenario=FILLING, faults=(at("slow-fsync", 0.0, fsync_s=1.5, duration_s=30.0), kill)
    )
    bad = slow.run("redis-hold-recheck", persistence=Persistence.AOF_EVERYSEC)
    assert_caught(bad, "hold-honoured", at_least=4)
    fixed = slow.run("redis-hold-recheck", persistence=Persistence.AOF_ALWAYS)
    assert_clean(fixed, "hold-honoured", "no-overhold", "no-overbooking")
    healthy = Trial(scenario=FILLING, faults=(kill,))
    fixed = healthy.run("redis-hold-recheck", persistence=Persistence.AOF_EVERYSEC)
    assert_clean(fixed, "hold-honoured", "no-overhold", "no-overbooking")


def test_b11_rdb_only() -> None:
    """A kill at 110 s loses the holds since the snapshot of 60 s; SIGTERM saves, AOF has them."""
    scenario = hostile(
        sale={"capacity": 20},
        arrivals=evenly(24, 200.0),
        buyers={"checkout_median_s": 60.0},
        hold={"ttl_s": 600.0},
        redis_disk={"save_points": ((60, 1),)},
    )
    killed = Trial(scenario=scenario, faults=(at("redis-kill", 110.0, down_s=1.0),))
    bad = killed.run("redis-hold-recheck", persistence=Persistence.RDB)
    assert_caught(bad, "hold-honoured", at_least=4)
    fixed = killed.run("redis-hold-recheck", persistence=Persistence.AOF_ALWAYS)
    assert_clean(fixed, "hold-honoured", "no-overhold", "no-overbooking")
    stopped = Trial(scenario=scenario, faults=(at("redis-restart", 110.0, down_s=1.0),))
    saved = stopped.run("redis-hold-recheck", persistence=Persistence.RDB)
    assert_clean(saved, "hold-honoured", "no-overhold", "no-overbooking")


def _step(step_s: float) -> FaultPlan:
    fault = ClockStep(target=Target.REDIS, step_s=step_s)
    return FaultPlan(
        name="clock-step",
        summary="the clock of Redis's machine jumps",
        faults=(PlannedFault(fault=fault, when=At(earliest_s=30.0, latest_s=30.0)),),
    )


def test_b18_the_clock_of_redis_steps_forward() -> None:
    """901 s forward, every hold has ended, on the best disk; the database knows better."""
    trial = Trial(scenario=PAYING, plan=_step(901.0))
    bad = trial.run("redis-hold", persistence=Persistence.AOF_ALWAYS)
    assert_caught(bad, "no-overbooking", at_least=4)
    checked = trial.run("redis-hold-recheck", persistence=Persistence.AOF_ALWAYS)
    assert_caught(checked, "hold-honoured", at_least=4)
    assert_clean(checked, "no-overbooking", "charged-once", price=LOST, saw=["refund-made"])
    assert_clean(trial.run("db-cart"), "no-overbooking", "hold-honoured", "no-overhold")


def test_b18_the_clock_of_redis_steps_back() -> None:
    """An hour back, abandoned holds live for an hour more; carts in the database end in time."""
    scenario = hostile(arrivals=evenly(40, 60.0), buyers={"abandon": 0.6})
    trial = Trial(scenario=scenario, plan=_step(-3600.0))
    bad = trial.run("redis-hold-recheck", persistence=Persistence.AOF_ALWAYS)
    assert_caught(bad, "no-leak", at_least=4)
    assert_clean(trial.run("db-cart"), "no-leak", "stock-conserved", saw=["hold-expired-unpaid"])
