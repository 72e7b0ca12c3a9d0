"""The engine rules of PostgreSQL (P1 to P10), on the real engine under the simulator."""

from typing import Any

import pytest
from sqlalchemy import Connection, exc, func, insert, select, text, update

from tests.model.postgres.world import TAKE_ONE, PostgresWorld, state_of, stock, tickets


def test_p1_a_blocked_conditional_update_looks_again() -> None:
    """P1: the second `UPDATE .. WHERE left > 0` waits for the first commit and matches no row."""
    world = PostgresWorld()

    def sell(connection: Connection) -> tuple[int, float]:
        sold = connection.execute(TAKE_ONE).rowcount
        told_s = world.env.now
        world.kernel.sleep(1.0)
        return sold, told_s

    world.transaction(0.0, "A", sell)
    world.transaction(0.1, "B", sell)
    results = world.run()
    assert results["A"][0] == 1
    assert results["B"][0] == 0
    assert results["B"][1] == pytest.approx(1.003, abs=0.002), "when A's commit reached the server"
    assert world.postgres.lock_waits_s == [pytest.approx(0.902, abs=0.003)]
    assert world.left() == [0]


def test_p2_count_then_insert_skews() -> None:
    """P2: two transactions count none, and both insert."""
    world = PostgresWorld()

    def book(connection: Connection) -> None:
        assert connection.execute(select(func.count()).select_from(tickets)).scalar_one() == 0
        world.kernel.sleep(0.1)
        connection.execute(insert(tickets).values())

    world.transaction(0.0, "A", book)
    world.transaction(0.01, "B", book)
    assert world.run() == {"A": None, "B": None}
    with world.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(tickets)).scalar_one() == 2


def test_p3b_a_count_after_the_lock_sees_the_other_row() -> None:
    """P3b: FOR UPDATE first, then a count in a new statement: READ COMMITTED sees the commit."""
    world = PostgresWorld()

    def book(connection: Connection) -> bool:
        connection.execute(select(stock.c.id).with_for_update()).all()
        if connection.execute(select(func.count()).select_from(tickets)).scalar_one():
            return False
        connection.execute(insert(tickets).values())
        world.kernel.sleep(0.1)
        return True

    world.transaction(0.0, "A", book)
    world.transaction(0.01, "B", book)
    assert world.run() == {"A": True, "B": False}


@pytest.mark.parametrize(("level", "sold"), [("repeatable-read", 2), ("read-committed", 1)])
def test_p4_a_snapshot_before_the_lock_counts_stale_rows(level: Any, sold: int) -> None:
    """P4: REPEATABLE READ, any read first, then the lock: oversold, and nobody gets an error."""
    world = PostgresWorld(isolation=level)

    def book(connection: Connection) -> None:
        connection.execute(select(stock.c.id)).all()
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
        world.kernel.sleep(0.1)
        if not connection.execute(select(func.count()).select_from(tickets)).scalar_one():
            connection.execute(insert(tickets).values())

    world.transaction(0.0, "A", book)
    world.transaction(0.01, "B", book)
    assert world.run() == {"A": None, "B": None}
    with world.engine.connect() as connection:
        found = connection.execute(select(func.count()).select_from(tickets)).scalar_one()
    assert found == sold


def test_p4b_a_row_changed_since_the_snapshot_is_a_serialization_failure() -> None:
    """P4b: REPEATABLE READ, FOR UPDATE on a row that another one has changed: 40001."""
    world = PostgresWorld(isolation="repeatable-read")

    def slow(connection: Connection) -> None:
        connection.execute(select(stock.c.left)).all()
        world.kernel.sleep(1.0)
        connection.execute(select(stock.c.left).with_for_update()).all()

    world.transaction(0.0, "slow", slow)
    world.transaction(0.5, "quick", lambda c: c.execute(TAKE_ONE).rowcount)
    results = world.run()
    assert results["quick"] == 1
    assert state_of(results["slow"]) == "40001"
    assert world.postgres.serialization_failures == 1


def test_p5_serializable_fails_the_second_commit() -> None:
    """P5: of two transactions that read what the other one writes, the second COMMIT fails."""
    world = PostgresWorld(isolation="serializable")
    to_commit: list[str] = []

    def book(connection: Connection, name: str) -> None:
        assert connection.execute(select(func.count()).select_from(tickets)).scalar_one() == 0
        world.kernel.sleep(0.1)
        connection.execute(insert(tickets).values())
        world.kernel.sleep(0.1)
        to_commit.append(name)

    for name, at_s in (("A", 0.0), ("B", 0.01)):
        world.transaction(at_s, name, lambda connection, name=name: book(connection, name))
    results = world.run()
    assert to_commit == ["A", "B"], "both came as far as their COMMIT"
    assert results["A"] is None
    assert state_of(results["B"]) == "40001"


def test_p6_an_unguarded_second_sweeper_matches_again() -> None:
    """P6: two sweepers select the same row unlocked; the second UPDATE by key matches as well."""
    world = PostgresWorld(left=0)

    def sweep(connection: Connection) -> int:
        ids = connection.execute(select(stock.c.id).where(stock.c.left == 0)).scalars().all()
        world.kernel.sleep(0.1)
        give_back = update(stock).where(stock.c.id.in_(ids)).values(left=stock.c.left + 1)
        return connection.execute(give_back).rowcount

    world.transaction(0.0, "A", sweep)
    world.transaction(0.01, "B", sweep)
    assert world.run() == {"A": 1, "B": 1}
    assert world.left() == [2]


def test_p7_now_stands_still_and_the_clock_moves() -> None:
    """P7: `now()` is the transaction's begin, `clock_timestamp()` moves; both in virtual time."""
    world = PostgresWorld()
    asked = text(
        "SELECT extract(epoch from now())::float8, extract(epoch from clock_timestamp())::float8,"
        " extract(epoch from CURRENT_TIMESTAMP)::float8"
    )

    def ask(connection: Connection) -> list[tuple[float, ...]]:
        seen = [tuple(connection.execute(asked).one())]
        world.kernel.sleep(900.0)
        return [*seen, tuple(connection.execute(asked).one())]

    world.transaction(0.0, "asks", ask)
    first, second = world.run()["asks"]
    assert first[0] == pytest.approx(first[1], abs=0.001)
    assert second[0] == first[0] == second[2]
    assert second[1] - first[1] == pytest.approx(900.0, abs=0.01)


@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_p7_defaults_of_a_table_are_in_virtual_time_too(level: Any) -> None:
    """A column's DEFAULT now() is not written in the INSERT, and yet no real time gets in."""
    world = PostgresWorld()
    with world.engine.begin() as connection:
        connection.execute(text("CREATE TABLE noted (id int, at timestamptz DEFAULT now())"))

    def note() -> float:
        with world.engine.connect().execution_options(isolation_level=level) as connection:
            connection.execute(text("INSERT INTO noted (id) VALUES (1)"))
            read = text("SELECT extract(epoch from at)::float8 FROM noted")
            return float(connection.execute(read).scalar_one())

    world.at(100.0, "note", note)
    began_s = world.run()["note"]
    assert began_s == pytest.approx(world.postgres.now_s - world.env.now + 100.0, abs=0.01)


@pytest.mark.parametrize(("ends_s", "paid"), [(9.0, 1), (7.0, 0)])
def test_p7_a_condition_is_looked_at_again_with_a_clock_that_has_moved(
    ends_s: float, paid: int
) -> None:
    """P1 and P7: a hold that ended while its payment waited for the row is not paid (A08, A09)."""
    world = PostgresWorld()
    ends = {"ends": world.postgres.now_s + ends_s}
    pay = update(stock).where(text(":ends > extract(epoch from clock_timestamp())")).values(left=0)

    def touch(connection: Connection) -> None:
        connection.execute(update(stock).values(left=5))
        world.kernel.sleep(8.0)

    world.transaction(0.0, "touches", touch)
    world.transaction(1.0, "pays", lambda c: c.execute(pay, ends).rowcount)
    assert world.run()["pays"] == paid, "8 s: after the wait, not before it"


def test_p8_opposite_orders_deadlock_with_one_victim() -> None:
    """P8: hold, then stock, against stock, then hold: one victim, 40P01, after the timeout."""
    world = PostgresWorld(left=5, rows=2, deadlock_timeout_s=1.0)

    def both(first: int, second: int) -> Any:
        def body(connection: Connection) -> float:
            connection.execute(TAKE_ONE.where(stock.c.id == first))
            world.kernel.sleep(0.1)
            connection.execute(TAKE_ONE.where(stock.c.id == second))
            return world.env.now

        return body

    world.transaction(0.0, "A", both(1, 2))
    world.transaction(0.01, "B", both(2, 1))
    results = world.run()
    assert state_of(results["A"]) == "40P01", "A's wait reaches the timeout first"
    assert results["B"] == pytest.approx(1.1, abs=0.02), "B goes on when A is rolled back"
    assert world.postgres.deadlocks == 1
    assert world.left() == [4, 4]


def test_p9_skip_locked_sees_nothing_while_the_last_unit_is_locked() -> None:
    """P9: B is told "none left" while A holds the last unit; A rolls back and it is free again."""
    world = PostgresWorld(rows=1)
    free = select(stock.c.id).where(stock.c.left > 0).limit(1).with_for_update(skip_locked=True)

    def hesitate(connection: Connection) -> None:
        assert connection.execute(free).scalar() == 1
        world.kernel.sleep(1.0)
        connection.rollback()

    world.transaction(0.0, "A", hesitate)
    world.transaction(0.5, "B", lambda c: c.execute(free).scalar())
    world.transaction(2.0, "C", lambda c: c.execute(free).scalar())
    results = world.run()
    assert results["B"] is None
    assert results["C"] == 1


def test_p10_a_commit_whose_reply_is_lost_is_applied_and_raises() -> None:
    """P10: the row is there although the caller got an OperationalError."""
    world = PostgresWorld()

    def buy(connection: Connection) -> None:
        connection.execute(TAKE_ONE)
        world.database_link.loss = 1.0

    world.transaction(0.0, "buy", buy)
    assert isinstance(world.run()["buy"], exc.OperationalError)
    world.database_link.loss = 0.0
    assert world.left() == [0]
