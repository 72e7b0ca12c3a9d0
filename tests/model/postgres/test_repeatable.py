"""Equal specs give equal runs on PostgreSQL: in one process, in another one, in several at once."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from chaos.persistence import Persistence
from model.postgres import address
from model.postgres.flight import Flight
from model.postgres.server import LOOK_MS
from model.run import simulate
from model.spec import RunSpec
from reservation.catalogue import STRATEGIES
from tests.anomalies.trial import hostile
from tests.model.postgres import crowd

SLOW = {"database_median_ms": 5.0, "database_p99_ms": 15.0}


def spec(strategy: str, fault: str = "none", *, seed: int = 1, buyers: int = 16) -> RunSpec:
    """A rush on a slow database: many wait for one row; `deadlocks` is a bad variant that does."""
    options = {"event_lock": "update"} if strategy == "deadlocks" else {}
    name = "db-cart-row-lock" if options else strategy
    return RunSpec(
        scenario=hostile(
            sale={"capacity": 12},
            arrivals={"buyers": buyers},
            latency=SLOW,
        ),
        strategy=name,
        options=options,
        fault=fault,
        seed=seed,
        persistence=Persistence.AOF_EVERYSEC if STRATEGIES[name].uses_redis else None,
        database="postgres",
    )


def outcome(wanted: RunSpec) -> tuple[str, float, float]:
    """The run's hash, and how often it waited and deadlocked."""
    result = simulate(wanted)
    metrics = result.metrics
    return result.trace_hash, metrics["db_lock_waits_per_buyer"], metrics["db_deadlocks"]


@pytest.mark.parametrize(
    ("strategy", "fault"),
    [
        ("db-cart", "none"),
        ("db-cart", "db-restart"),
        ("db-cart-row-lock", "lost-replies"),
        ("db-derived", "app-kill"),
        ("redis-hold-recheck", "lost-replies"),
    ],
)
def test_the_same_spec_gives_the_same_run(strategy: str, fault: str) -> None:
    """Twice in one process: the same hash, operations, audit and metrics."""
    first = simulate(spec(strategy, fault))
    second = simulate(spec(strategy, fault))
    assert first.trace_hash == second.trace_hash
    assert first.history.operations == second.history.operations
    assert first.history.audit == second.history.audit
    assert first.metrics == second.metrics


def test_deadlocks_have_the_same_victims() -> None:
    """Who waits longest when the cycle closes is the victim, in every run."""
    wanted = spec("deadlocks", buyers=8)
    first = outcome(wanted)
    assert first[2] >= 2.0
    assert outcome(wanted) == first


def test_a_victim_that_is_slow_to_tell_is_still_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has found the deadlock and let go of its locks, but its answer is not here yet."""
    first = crowd.deadlocks()
    advance, late = Flight.advance, set()

    def slow(flight: Flight, timeout_ms: float) -> bool:
        if timeout_ms == LOOK_MS and flight not in late:
            late.add(flight)
            time.sleep(0.4)  # its check comes after 0.2 s
            return False
        return advance(flight, timeout_ms)

    monkeypatch.setattr(Flight, "advance", slow)
    assert crowd.deadlocks() == first
    assert len(late) >= 2
    crowd.PostgresWorld.close_all()


def test_a_lost_conflict_is_told_alike_in_every_run() -> None:
    """Its details number processes and transactions, which are others each time."""
    operations = simulate(spec("deadlocks", buyers=4)).history.operations
    reasons = [each.reason for each in operations if "deadlock" in each.reason]
    assert reasons
    assert not any("rocess" in reason or "transaction" in reason for reason in reasons)


def everything() -> dict[str, Any]:
    """Two sales, one with waits and one with deadlocks, and every crowd at one row."""
    return {
        "waits": outcome(spec("db-cart-row-lock")),
        "deadlocks": outcome(spec("deadlocks", buyers=8)),
        "crowds": crowd.all_of_them(),
    }


def elsewhere(hash_seed: str) -> Any:
    """The same in a process of its own, with a cluster of its own."""
    program = (
        "from tests.model.postgres.test_repeatable import everything; import json;"
        "print(json.dumps(everything()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def test_another_process_and_hash_seed_give_the_same_hash() -> None:
    """Many wait for one row, one end wakes them all, and some are deadlocks' victims."""
    here = json.loads(json.dumps(everything()))
    assert here["waits"][1] > 0.5, "the run must have waits to be worth comparing"
    assert here["deadlocks"][2] >= 2.0
    crowds = here["crowds"]
    assert crowds["one row"]["order"] == list(crowd.CROWD)
    assert crowds["one row"]["waits"] == len(crowd.CROWD)
    assert crowds["one key"]["order"] == ["A"]
    assert crowds["one key"]["waits"] == len(crowd.CROWD)
    assert crowds["deadlocks"]["deadlocks"] >= 2
    assert crowds["deadlocks"]["waits"] > len(crowd.CROWD)
    assert elsewhere("0") == here
    assert elsewhere("4242") == here


def test_serial_and_parallel_give_the_same_hashes() -> None:
    """Two processes on one cluster, in databases of their own, and the same seeds here."""
    specs = [spec("db-cart", seed=seed) for seed in range(4)]
    serial = [outcome(each) for each in specs]
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=address.use, initargs=(address.known(),)
    ) as pool:
        assert list(pool.map(outcome, specs)) == serial
    assert len({digest for digest, _, _ in serial}) == 4


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_sells_and_comes_to_rest(strategy: str) -> None:
    """Unchanged, on the real server: orders are made, nothing is held or in doubt at the end."""
    kind = "general" if "general" in STRATEGIES[strategy].admits else "seats"
    scenario = hostile(sale={"capacity": 12, "kind": kind}, arrivals={"buyers": 12})
    persistence = Persistence.NONE if STRATEGIES[strategy].uses_redis else None
    result = simulate(
        RunSpec(
            scenario=scenario,
            strategy=strategy,
            seed=5,
            persistence=persistence,
            database="postgres",
        )
    )
    audit = result.history.audit
    assert audit is not None
    assert audit.orders
    assert all(row.held == 0 for row in audit.stock)
    assert result.metrics["db_deadlocks"] == 0.0
