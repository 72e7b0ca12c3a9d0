"""Anomalies of the database that one write lock cannot express: A04, A13, A14, A15, A20.

The simulated SQLite refuses what they need (another isolation level, SKIP LOCKED) or cannot have it
(deadlocks); here they are caught on a real PostgreSQL under the simulator.
"""

from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from model.history import History, Outcome
from tests.anomalies import trial
from tests.anomalies.claims import falsely_sold_out, turned_away
from tests.anomalies.trial import Trial, assert_caught, assert_clean, hostile
from tests.model.postgres.world import PostgresWorld, state_of, stock, tickets

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


def test_a13_victims_that_try_again_are_served() -> None:
    """The other fix: the whole call is made again, and nobody is told of a deadlock."""

    def few(conflict_retries: int) -> Trial:
        return Trial(
            scenario=hostile(
                sale={"capacity": 3},
                arrivals={"buyers": 4, "opening_s": 0.001},
                buyers={"party_sizes": {1: 1}},
                servers={"conflict_retries": conflict_retries},
            ),
            seeds=range(1, 3),
        )

    for run in few(conflict_retries=0).run("db-cart-row-lock", event_lock="update"):
        assert deadlocked(run.history)
    fixed = few(conflict_retries=20).run("db-cart-row-lock", event_lock="update")
    assert not any(deadlocked(run.history) for run in fixed)
    assert_clean(fixed, "no-overbooking", "stock-conserved", saw=["sold-out"])


@pytest.mark.parametrize(("second", "victims"), [((2, 1), 1), ((1, 2), 0)])
def test_a13_rows_in_opposite_orders_deadlock(second: tuple[int, int], victims: int) -> None:
    """A checkout takes stock, then hold, a sweeper hold, then stock; in one order, nobody waits."""
    world = PostgresWorld(left=9, rows=2)

    def both(connection: Connection, rows: tuple[int, int]) -> None:
        for row in rows:
            connection.execute(update(stock).where(stock.c.id == row).values(left=1))
            world.kernel.sleep(0.1)

    world.transaction(0.0, "checkout", lambda connection: both(connection, (1, 2)))
    world.transaction(0.01, "sweeper", lambda connection: both(connection, second))
    results = world.run()
    assert [state_of(result) for result in results.values()].count("40P01") == victims
    assert world.postgres.deadlocks == victims


GIVE_BACK = update(stock).where(stock.c.id == 1)


def sweep(world: PostgresWorld, carts: int, batch: int, *, at_the_end: bool) -> None:
    """End carts one by one, so many in a transaction; give back each, or all `at_the_end` of it."""
    for start in range(0, carts, batch):
        with world.engine.begin() as connection:
            ended = range(start, min(carts, start + batch))
            for number in ended:
                connection.execute(insert(tickets).values(id=1 + number))  # a cart's own row
                if not at_the_end:
                    connection.execute(GIVE_BACK.values(left=stock.c.left + 1))
            if at_the_end:
                connection.execute(GIVE_BACK.values(left=stock.c.left + len(ended)))


@pytest.mark.parametrize(
    ("batch", "at_the_end", "refused"),
    [(150, False, 4), (5, False, 0), (150, True, 0)],
    ids=["one transaction", "batches", "one UPDATE at the end"],
)
def test_a14_a_batch_holds_the_hot_row(
    batch: int,
    at_the_end: bool,  # noqa: FBT001 - the variant
    refused: int,
) -> None:
    """One transaction over 150 carts keeps the event's row until its end, and buyers give up.

    A statement takes 1 ms and the lock timeout is 200 ms: batches of five let everybody in, and so
    does a sweep that touches the event once, last. When the first in the queue gives up, the second
    inherits its place and a new timeout (PostgreSQL counts each lock it waits for by itself), and
    gets through.
    """
    world = PostgresWorld(left=100, lock_timeout_s=0.2)
    world.at(0.0, "sweeper", lambda: sweep(world, 150, batch, at_the_end=at_the_end))

    def buy(connection: Connection) -> int:
        taken = update(stock).where(stock.c.left > 0).values(left=stock.c.left - 1)
        return connection.execute(taken).rowcount

    for number in range(5):
        world.transaction(0.02 + 0.01 * number, f"buyer-{number}", buy)
    results = world.run()
    timeouts = [name for name, result in results.items() if state_of(result) == "55P03"]
    assert len(timeouts) == refused
    longest_s = max(world.postgres.lock_waits_s, default=0.0)
    assert longest_s > 0.19 if refused else longest_s < 0.06
    assert world.left() == [100 + 150 - 5 + refused], "the sweep came through"


@pytest.mark.parametrize(
    ("instead", "sold"), [("no", "sold out"), ("wait", "sold"), ("ask again", "sold")]
)
def test_a15_locked_is_not_sold(instead: str, sold: str) -> None:
    """SKIP LOCKED finds nothing while A hesitates over the last unit, which A then leaves.

    The fixed variants wait for what is locked before they say no, or ask again later.
    """
    world = PostgresWorld()
    free = select(stock.c.id).where(stock.c.left > 0).limit(1)
    unlocked = free.with_for_update(skip_locked=True)

    def hesitate(connection: Connection) -> None:
        assert connection.execute(unlocked).scalar() == 1
        world.kernel.sleep(1.0)
        connection.rollback()

    def buy(connection: Connection) -> Any:
        found = connection.execute(unlocked).scalar()
        if found is None and instead == "wait":
            found = connection.execute(free.with_for_update()).scalar()
        elif found is None and instead == "ask again":
            world.kernel.sleep(1.0)
            found = connection.execute(unlocked).scalar()
        if found is None:
            return "sold out"
        connection.execute(update(stock).where(stock.c.id == found).values(left=stock.c.left - 1))
        return "sold"

    world.transaction(0.0, "A", hesitate)
    world.transaction(0.5, "B", buy)
    assert world.run()["B"] == sold
    assert world.left() == [1 if sold == "sold out" else 0]


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
