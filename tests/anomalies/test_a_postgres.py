"""Anomalies of the database that one write lock cannot express: A04, A13, A14, A15, A20.

The simulated SQLite refuses what they need (another isolation level, SKIP LOCKED) or cannot have it
(deadlocks); here they are caught on a real PostgreSQL under the simulator.
"""

from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from model.history import History, Outcome
from tests.anomalies import trial
from tests.anomalies.claims import falsely_sold_out, turned_away
from tests.anomalies.trial import Trial, assert_caught, assert_clean, hostile
from tests.model.postgres.world import PostgresWorld, state_of, stock

pytest.importorskip("psycopg", reason="no psycopg: pip install 'holdfast[postgres]'")


@pytest.fixture(autouse=True)
def _on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "DATABASE", "postgres")


def deadlocked(history: History) -> int:
    """Count the calls that ended because PostgreSQL chose them as a deadlock's victim."""
    return sum("deadlock detected" in op.reason for op in history.operations)


def unserialized(history: History) -> int:
    """Count the calls that ended with a serialization failure nobody retried."""
    return sum("could not serialize" in op.reason for op in history.operations)


def test_a04_the_lock_comes_after_the_snapshot() -> None:
    """REPEATABLE READ takes its snapshot before it waits for the event's lock: the count is stale.

    Nothing is updated in common, so nobody gets an error; READ COMMITTED counts after the lock.
    """
    seeds = range(1, 4)
    stale = hostile(servers={"isolation": "repeatable-read"})
    bad = Trial(scenario=stale, seeds=seeds).run("db-derived")
    assert_caught(bad, "no-overhold", at_least=3)
    assert_caught(bad, "no-overbooking", at_least=3)
    fixed = Trial(scenario=hostile(), seeds=seeds).run("db-derived")
    assert_clean(fixed, "no-overbooking", "no-overhold", saw=["sold-out"])


def test_a13_two_carts_of_one_event_deadlock() -> None:
    """Each inserts its cart (a share lock on the event's key), then wants that key for itself.

    FOR UPDATE waits for the other's share lock, both ways; FOR NO KEY UPDATE does not.
    """
    small = Trial(
        scenario=hostile(arrivals={"buyers": 8, "opening_s": 0.01}, buyers={"party_sizes": {1: 1}}),
        seeds=range(1, 4),
    )
    bad = small.run("db-cart-row-lock", event_lock="update")
    assert all(deadlocked(run.history) >= 2 for run in bad)
    fixed = small.run("db-cart-row-lock")
    assert not any(deadlocked(run.history) for run in fixed)
    assert_clean(fixed, "no-overbooking", "stock-conserved", saw=["sold-out"])


GIVE_BACK = update(stock).where(stock.c.id == 1).values(left=stock.c.left + 1)


def sweep(world: PostgresWorld, carts: int, batch: int) -> None:
    """Give carts back one by one, so many in a transaction."""
    for start in range(0, carts, batch):
        with world.engine.begin() as connection:
            for _ in range(start, min(carts, start + batch)):
                connection.execute(GIVE_BACK)


@pytest.mark.parametrize(("batch", "refused"), [(300, 4), (10, 0)])
def test_a14_a_batch_holds_the_hot_row(batch: int, refused: int) -> None:
    """One transaction over 300 carts keeps the event's row until its end, and buyers give up.

    A statement takes 1 ms and the lock timeout is 200 ms: batches of ten let everybody in. When the
    first in the queue gives up, the second inherits its place and a new timeout (PostgreSQL counts
    each lock it waits for by itself), and gets through.
    """
    world = PostgresWorld(left=100, lock_timeout_s=0.2)
    world.at(0.0, "sweeper", lambda: sweep(world, 300, batch))

    def buy(connection: Connection) -> int:
        taken = update(stock).where(stock.c.left > 0).values(left=stock.c.left - 1)
        return connection.execute(taken).rowcount

    for number in range(5):
        world.transaction(0.02 + 0.01 * number, f"buyer-{number}", buy)
    results = world.run()
    timeouts = [name for name, result in results.items() if state_of(result) == "55P03"]
    assert len(timeouts) == refused
    longest_s = max(world.postgres.lock_waits_s)
    assert longest_s > 0.19 if refused else longest_s < 0.06


@pytest.mark.parametrize(("patient", "sold"), [(False, "sold out"), (True, "sold")])
def test_a15_locked_is_not_sold(patient: bool, sold: str) -> None:  # noqa: FBT001 - the variant
    """SKIP LOCKED finds nothing while A hesitates over the last unit, which A then leaves.

    The fixed variant waits for what is locked before it says no.
    """
    world = PostgresWorld()
    free = select(stock.c.id).where(stock.c.left > 0).limit(1)

    def hesitate(connection: Connection) -> None:
        connection.execute(free.with_for_update(skip_locked=True)).all()
        world.kernel.sleep(1.0)
        connection.rollback()

    def buy(connection: Connection) -> Any:
        found = connection.execute(free.with_for_update(skip_locked=True)).scalar()
        if found is None and patient:
            found = connection.execute(free.with_for_update()).scalar()
        if found is None:
            return "sold out"
        connection.execute(update(stock).where(stock.c.id == found).values(left=stock.c.left - 1))
        return "sold"

    world.transaction(0.0, "A", hesitate)
    world.transaction(0.5, "B", buy)
    assert world.run()["B"] == sold
    assert world.left() == [0 if patient else 1]


def test_a20_a_serialization_failure_is_not_retried() -> None:
    """Under SERIALIZABLE the losers of a conflict are turned away from tickets that stay unsold.

    The fixed variant repeats the whole call a few times; the buyers here never ask twice.
    """

    def shop(conflict_retries: int) -> Trial:
        return Trial(
            scenario=hostile(
                sale={"capacity": 16},
                buyers={"unknown_retries": 0, "retry_refused": 0.0},
                latency={"database_median_ms": 5.0, "database_p99_ms": 10.0},
                servers={"isolation": "serializable", "conflict_retries": conflict_retries},
            ),
            seeds=range(1, 4),
        )

    for run in shop(conflict_retries=0).run("db-cart"):
        assert unserialized(run.history) >= 10
        assert turned_away(run.history)
    fixed = shop(conflict_retries=30).run("db-cart")
    for run in fixed:
        assert not unserialized(run.history)
        assert not turned_away(run.history)
        assert not falsely_sold_out(run.history)
        assert not [op for op in run.history.operations if op.outcome is Outcome.NOT_APPLIED]
    assert_clean(fixed, "no-overbooking", "stock-conserved", saw=["sold-out"])


def test_a02_serializable_with_retries_prevents_the_skew() -> None:
    """Counting without a lock is safe under SERIALIZABLE, if the losers of a conflict try again."""
    shop = {"isolation": "serializable", "conflict_retries": 20}
    fixed = Trial(scenario=hostile(servers=shop)).run("db-derived", lock="none")
    assert_clean(fixed, "no-overbooking", "no-overhold", saw=["sold-out"])
