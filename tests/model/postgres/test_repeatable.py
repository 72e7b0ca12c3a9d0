"""Equal specs give equal runs on PostgreSQL: in one process, in another one, in several at once."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from chaos.persistence import Persistence
from model.postgres import address
from model.run import simulate
from model.spec import RunSpec
from reservation.catalogue import STRATEGIES
from tests.anomalies.trial import hostile

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


def test_another_process_and_hash_seed_give_the_same_hash() -> None:
    """With many waiting for one row; the other processes have clusters of their own."""
    program = (
        "from tests.model.postgres.test_repeatable import outcome, spec; import json;"
        "print(json.dumps(outcome(spec('db-cart-row-lock'))))"
    )
    here = outcome(spec("db-cart-row-lock"))
    assert here[1] > 0.5, "the run must have waits to be worth comparing"
    for hash_seed in ("0", "4242"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        assert tuple(json.loads(answer.stdout)) == here


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
