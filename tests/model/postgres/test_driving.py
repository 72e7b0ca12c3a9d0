"""Waiting, waking, dying and failing on a real PostgreSQL, in virtual time."""

import time
from typing import Any

import pytest
from sqlalchemy import Connection, exc, insert, select, text, update

from model.postgres.sql import StatementRefused
from tests.model.postgres.world import TAKE_ONE, PostgresWorld, state_of, stock, tickets

HALF_A_MINUTE_S = 30.0


def hold_the_row(world: PostgresWorld, seconds: float) -> Any:
    """A transaction's body that keeps the row's lock for so long."""

    def body(connection: Connection) -> None:
        connection.execute(update(stock).values(left=stock.c.left - 1))
        world.kernel.sleep(seconds)

    return body


def test_a_long_wait_costs_no_real_time() -> None:
    """Waiting half a minute for a lock is virtual: it takes a moment."""
    world = PostgresWorld(left=9, lock_timeout_s=60.0)
    started = time.perf_counter()
    world.transaction(0.0, "A", hold_the_row(world, HALF_A_MINUTE_S))
    world.transaction(0.1, "B", hold_the_row(world, 0.0))
    assert world.run() == {"A": None, "B": None}
    assert world.postgres.lock_waits_s[0] > HALF_A_MINUTE_S - 1.0
    assert time.perf_counter() - started < HALF_A_MINUTE_S / 3


def woken_in(names: str) -> tuple[list[str], str]:
    """Let everybody wait for one row; returns in which order they got it, and the trace's hash."""
    world = PostgresWorld(left=50)
    order: list[str] = []

    def take(name: str) -> Any:
        def body(connection: Connection) -> None:
            connection.execute(TAKE_ONE)
            order.append(name)

        return body

    world.transaction(0.0, "first", hold_the_row(world, 1.0))
    for turn, name in enumerate(names):
        world.transaction(0.1 + 0.01 * turn, name, take(name))
    world.run()
    assert world.left() == [49 - len(names)]
    return order, world.kernel.trace.digest()


def test_those_who_wait_for_one_row_get_it_in_turn() -> None:
    """Twelve statements wait for one row: first come, first served, again and again."""
    names = "ABCDEFGHIJKL"
    first, digest = woken_in(names)
    assert first == list(names)
    assert woken_in(names) == (first, digest)


def test_all_who_wait_for_one_unique_key_are_woken_by_one_rollback() -> None:
    """Five inserts of one key wait for one transaction; it rolls back, one of them wins."""
    outcomes = []
    for _ in range(2):
        world = PostgresWorld()

        def hesitate(connection: Connection, world: PostgresWorld = world) -> None:
            connection.execute(insert(tickets).values(id=7))
            world.kernel.sleep(1.0)
            connection.rollback()

        world.transaction(0.0, "first", hesitate)
        for turn, name in enumerate("ABCDE"):
            world.transaction(
                0.1 + 0.01 * turn, name, lambda c: bool(c.execute(insert(tickets).values(id=7)))
            )
        results = world.run()
        assert results["A"] is True
        assert all(isinstance(results[name], exc.IntegrityError) for name in "BCDE")
        outcomes.append(world.kernel.trace.digest())
    assert outcomes[0] == outcomes[1]


def test_a_lock_timeout_is_an_error_with_its_own_state() -> None:
    """Who waits longer than the lock timeout is told so (55P03), and its transaction is over."""
    world = PostgresWorld(left=9, lock_timeout_s=5.0)
    world.transaction(0.0, "A", hold_the_row(world, HALF_A_MINUTE_S))
    world.transaction(1.0, "B", hold_the_row(world, 0.0))
    results = world.run()
    assert state_of(results["B"]) == "55P03"
    assert world.postgres.lock_waits_s == [pytest.approx(5.0, abs=0.01)]
    assert world.left() == [8]


def test_a_statement_timeout_ends_a_wait() -> None:
    """`statement_timeout` bounds the whole statement, the wait included (57014)."""
    world = PostgresWorld(left=9, statement_timeout_s=2.0)
    world.transaction(0.0, "A", hold_the_row(world, HALF_A_MINUTE_S))
    world.transaction(1.0, "B", hold_the_row(world, 0.0))
    assert state_of(world.run()["B"]) == "57014"
    assert world.left() == [8]


def test_a_restart_keeps_commits_and_rolls_back_what_is_open() -> None:
    """Committed is durable; who is open or waits loses the connection; pools connect again."""
    world = PostgresWorld(left=9)
    world.transaction(0.0, "before", hold_the_row(world, 0.1))
    world.transaction(1.0, "open", hold_the_row(world, 10.0))
    world.transaction(1.5, "waits", hold_the_row(world, 0.0))
    world.do(2.0, world.postgres.stop)
    world.transaction(3.0, "down", hold_the_row(world, 0.0))
    world.do(4.0, world.postgres.start)
    world.transaction(5.0, "after", hold_the_row(world, 0.0))
    results = world.run()
    assert results["before"] is None
    for name in ("open", "waits", "down"):
        assert isinstance(results[name], exc.OperationalError), name
    assert results["after"] is None
    assert world.left() == [7]


def test_a_dead_client_frees_its_lock_at_once() -> None:
    """The server rolls back what a killed application server had open, and who waited goes on."""
    world = PostgresWorld(left=9, lock_timeout_s=60.0)
    world.transaction(0.0, "dying", hold_the_row(world, 100.0))
    world.transaction(0.5, "waiting", hold_the_row(world, 0.0))
    world.do(3.0, lambda: world.kill("dying"))
    world.run()
    assert world.postgres.lock_waits_s == [pytest.approx(2.5, abs=0.01)]
    assert world.left() == [8]


def test_a_client_that_dies_waiting_leaves_the_queue() -> None:
    """Its statement is cancelled on the server: it never takes effect when its turn comes."""
    world = PostgresWorld(left=9)
    world.transaction(0.0, "A", hold_the_row(world, 5.0))
    world.transaction(0.5, "dying", hold_the_row(world, 0.0))
    world.transaction(0.6, "C", hold_the_row(world, 0.0))
    world.do(3.0, lambda: world.kill("dying"))
    results = world.run()
    assert results["C"] is None
    assert world.left() == [7]


@pytest.mark.parametrize(("moment", "left"), [("before", 9), ("after", 8)])
def test_a_connection_lost_around_the_commit(moment: str, left: int) -> None:
    """Lost on the way there: nothing is committed. Lost on the way back: it is, and both raise."""
    world = PostgresWorld(left=9)

    def buy(connection: Connection) -> None:
        connection.execute(update(stock).values(left=stock.c.left - 1))
        if moment == "before":
            world.database_link.cut = True
        else:
            world.database_link.loss = 1.0

    world.transaction(0.0, "buy", buy)
    assert isinstance(world.run()["buy"], exc.OperationalError)
    world.database_link.cut, world.database_link.loss = False, 0.0
    assert world.left() == [left]


def test_the_server_dies_while_a_commit_is_on_its_way() -> None:
    """The commit arrives at a server that is gone: rolled back, and the caller cannot know."""
    world = PostgresWorld(left=9)

    def buy(connection: Connection) -> None:
        connection.execute(update(stock).values(left=stock.c.left - 1))
        world.do(world.env.now + 0.0002, world.postgres.stop)  # the commit takes 0.0005 s to arrive

    world.transaction(0.0, "buy", buy)
    assert isinstance(world.run()["buy"], exc.OperationalError)
    world.postgres.start()
    assert world.left() == [9]


def test_an_exhausted_pool_is_waited_for_in_virtual_time() -> None:
    """One place, taken for 60 s: the next one gives up after the pool's timeout of 30 s."""
    world = PostgresWorld(left=9, pool=1)
    world.transaction(0.0, "A", hold_the_row(world, 60.0))
    world.transaction(1.0, "B", hold_the_row(world, 0.0))
    results = world.run()
    assert isinstance(results["B"], exc.TimeoutError)
    assert world.left() == [8]


def test_ids_of_rolled_back_inserts_are_gone() -> None:
    """Sequences do not roll back; and each run begins at 1, whatever the last one did."""
    for _ in range(2):
        world = PostgresWorld()
        new = insert(tickets).returning(tickets.c.id)

        def twice(connection: Connection, new: Any = new) -> int:
            connection.execute(new)
            connection.rollback()
            return int(connection.execute(new).scalar_one())

        world.at(0.0, "ids", lambda world=world, twice=twice: twice(world.engine.connect()))
        assert world.run()["ids"] == 2


REAL_TIME = (
    "SELECT pg_sleep(1)",
    "SELECT LOCALTIMESTAMP",
    "SELECT pg_catalog.now()",
    "SELECT date 'today'",
    "SELECT age(timestamp '2026-01-01')",
    "LISTEN x",
    "COPY stock TO STDOUT",
)
CHANCE = (
    "SELECT id FROM stock ORDER BY random()",
    "SELECT gen_random_uuid()",
    "SELECT id FROM stock TABLESAMPLE bernoulli (50)",
)


@pytest.mark.parametrize("statement", REAL_TIME)
def test_real_time_is_refused(statement: str) -> None:
    """What would wait or look at the clock in real time says so, instead of being approximated."""
    world = PostgresWorld()
    with (
        world.engine.connect() as connection,
        pytest.raises(StatementRefused, match="virtual time"),
    ):
        connection.execute(text(statement))


@pytest.mark.parametrize("statement", CHANCE)
def test_chance_is_refused(statement: str) -> None:
    """What is different each time would make a run that no seed repeats."""
    world = PostgresWorld()
    with (
        world.engine.connect() as connection,
        pytest.raises(StatementRefused, match="another value in each run"),
    ):
        connection.execute(text(statement))


def test_a_cursor_of_the_server_is_refused() -> None:
    """It would read rows between the virtual instants."""
    world = PostgresWorld()
    with (
        world.engine.connect().execution_options(stream_results=True) as connection,
        pytest.raises(exc.StatementError, match="virtual time"),
    ):
        connection.execute(select(stock.c.left))


def test_a_rollback_is_seen_by_whoever_asks_next() -> None:
    """It goes to the server with the next statement; nobody can tell, however they ask."""
    world = PostgresWorld(left=9)
    asked = {}

    def take() -> None:
        with world.engine.connect() as connection:
            connection.execute(update(stock).values(left=1))
            connection.rollback()
            world.kernel.sleep(1.0)
            asked["itself"] = connection.execute(select(stock.c.left)).scalar_one()
            connection.execute(update(stock).values(left=2))
            connection.rollback()
            world.kernel.sleep(1.0)

    def other(connection: Connection) -> None:
        connection.execute(select(stock.c.left))
        world.kernel.sleep(1.0)
        asked["another"] = connection.execute(TAKE_ONE).rowcount

    world.at(0.0, "A", take)
    world.transaction(0.5, "B", other)
    world.run()
    assert asked == {"itself": 9, "another": 1}
    assert world.postgres.lock_waits_s == []
    assert world.left() == [8]


def test_the_same_text_with_other_columns() -> None:
    """A statement that the server has parsed is parsed again when its table has changed."""
    world = PostgresWorld(left=9)
    read = text("SELECT * FROM stock WHERE id = :id")
    for count in range(1, 4):
        with world.engine.begin() as connection:
            rows = [connection.execute(read, {"id": 1}).mappings().one() for _ in range(3)]
            assert {len(row) for row in rows} == {1 + count}
            connection.execute(text(f"ALTER TABLE stock ADD COLUMN more_{count} integer"))


def test_autocommit_commits_each_statement() -> None:
    """Under AUTOCOMMIT each write is its own transaction and frees its lock at once."""
    world = PostgresWorld(left=9)

    def write() -> int:
        with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(update(stock).values(left=1))
            world.kernel.sleep(5.0)
            return world.left()[0]

    world.at(0.0, "write", write)
    world.transaction(1.0, "other", lambda c: c.execute(select(stock.c.left)).scalar_one())
    assert world.run() == {"write": 1, "other": 1}


def test_a_transaction_of_its_own_level() -> None:
    """One transaction asks for SERIALIZABLE on an engine that is READ COMMITTED, and gets it."""
    world = PostgresWorld()

    def ask() -> str:
        with world.engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
            return str(connection.execute(text("SHOW transaction_isolation")).scalar_one())

    world.at(0.0, "ask", ask)
    world.transaction(
        1.0, "other", lambda c: c.execute(text("SHOW transaction_isolation")).scalar()
    )
    assert world.run() == {"ask": "serializable", "other": "read committed"}
