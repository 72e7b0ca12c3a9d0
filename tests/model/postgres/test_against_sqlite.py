"""The simulated SQLite beside the real PostgreSQL: the same scenarios, the same verdicts."""

from dataclasses import replace

import pytest

from chaos.persistence import Persistence
from model.run import simulate
from model.spec import RunSpec
from properties.judge import judge
from properties.verdicts import Status
from reservation.catalogue import STRATEGIES
from tests.anomalies.trial import SAFETY, hostile

SEEDS = (1, 2, 3)

DIFFERENCES: dict[tuple[str, str], frozenset[str]] = {}
"""(strategy, fault): the invariants whose verdict differs by right; docs/postgres.md says why."""


def broken(strategy: str, fault: str, database: str) -> dict[int, frozenset[str]]:
    """Per seed, which invariants break."""
    persistence = Persistence.NONE if STRATEGIES[strategy].uses_redis else None
    wanted = RunSpec(
        scenario=hostile(),
        strategy=strategy,
        seed=0,
        fault=fault,
        persistence=persistence,
        database=database,
    )
    found = {}
    for seed in SEEDS:
        verdicts = judge(simulate(replace(wanted, seed=seed)).history)
        found[seed] = frozenset(n for n in SAFETY if verdicts[n].status is Status.VIOLATED)
    return found


@pytest.mark.parametrize("fault", ["none", "db-restart", "lost-replies"])
@pytest.mark.parametrize("strategy", ["db-cart-naive", "db-cart", "db-cart-row-lock", "db-derived"])
def test_both_databases_give_the_same_verdicts(strategy: str, fault: str) -> None:
    """A cheap database that judged otherwise than the real one would be worth nothing."""
    simulated = broken(strategy, fault, "sqlite")
    real = broken(strategy, fault, "postgres")
    for seed in SEEDS:
        differ = simulated[seed] ^ real[seed]
        assert differ <= DIFFERENCES.get((strategy, fault), frozenset()), f"seed {seed}: {differ}"


def test_row_locks_wait_less_than_one_lock_for_all() -> None:
    """What differs by design: one write lock makes more waits, so its waits are an upper bound."""
    wanted = RunSpec(scenario=hostile(), strategy="db-cart", seed=2)
    one_lock = simulate(wanted).metrics
    row_locks = simulate(replace(wanted, database="postgres")).metrics
    assert one_lock["db_lock_waits_per_buyer"] > row_locks["db_lock_waits_per_buyer"]
    assert one_lock["db_lock_wait_ms_per_buyer"] > row_locks["db_lock_wait_ms_per_buyer"]
