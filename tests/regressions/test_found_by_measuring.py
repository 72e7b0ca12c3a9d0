"""Defects that showed as time or memory first, each in its smallest world."""

import gc

import pytest

from chaos.faults import Death
from chaos.persistence import Persistence
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from reservation.lua import Script
from tests.model.driving import SmallWorld

MOST_GARBAGE_PER_CALL = 1.0  # there were 45 with database carts, and 184 with Redis under a kill


def test_eval_teaches_a_restarted_redis_its_script_again() -> None:
    """A compiled script ran without being remembered, so every later EVALSHA went twice."""
    world = SmallWorld()
    client = world.client()
    script = Script("return redis.call('INCR', KEYS[1])")
    assert script(client, ["k"], []) == 1
    world.redis.die(Death.SIGKILL)
    world.redis.start()
    assert script(client, ["k"], []) == 1  # nothing is kept; this call teaches the script
    calls_before = world.redis.calls
    assert script(client, ["k"], []) == 2
    assert world.redis.calls == calls_before + 1


@pytest.mark.parametrize(
    ("strategy", "fault", "persistence"),
    [("db-cart", "none", None), ("redis-hold-recheck", "redis-kill", Persistence.AOF_EVERYSEC)],
)
def test_a_run_leaves_next_to_no_cycles(
    strategy: str, fault: str, persistence: Persistence | None
) -> None:
    """Every refusal held its own frames: a third of a big sale went into collecting them."""
    spec = RunSpec(
        scenario=load_scenario("on-sale", {}),
        strategy=strategy,
        seed=1,
        fault=fault,
        persistence=persistence,
    )
    simulate(spec)  # what is made once is made now
    gc.collect()
    gc.disable()
    try:
        result = simulate(spec)
        calls = len(result.history.operations)
        garbage = gc.collect()
    finally:
        gc.enable()
    assert garbage < MOST_GARBAGE_PER_CALL * calls
