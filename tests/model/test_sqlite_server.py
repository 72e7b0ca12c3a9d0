"""The simulated SQLite against the engine rules it claims (anomalies.md, P and L rows)."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exc, func, insert, select, text, update

from model.sqlite import leftovers
from model.sqlite.client import StatementRefused
from tests.model.driving import SmallWorld

metadata = MetaData()
stock = Table("stock", metadata, Column("id", Integer, primary_key=True), Column("left", Integer))
tickets = Table("tickets", metadata, Column("id", Integer, primary_key=True))


def shop(left: int = 1) -> SmallWorld:
    """A world whose database has one row with `left` tickets."""
    world = SmallWorld()
    metadata.create_all(world.engine)
    with world.engine.begin() as connection:
        connection.execute(insert(stock), [{"id": 1, "left": left}])
    return world


def left_in(world: SmallWorld) -> int:
    """What the table says, read at rest."""
    with world.engine.connect() as connection:
        return int(connection.execute(select(stock.c.left)).scalar_one())


def read_then_write(world: SmallWorld, *, lock: bool) -> bool:
    """Sell one ticket by reading and writing back, with or without FOR UPDATE."""
    query = select(stock.c.left).where(stock.c.id == 1)
    with world.engine.begin() as connection:
        left = connection.execute(query.with_for_update() if lock else query).scalar_one()
        world.kernel.sleep(0.1)
        if left < 1:
            return False
        connection.execute(update(stock).values(left=left - 1))
        return True


def test_a01_lost_update_happens_without_a_lock_and_not_with_one() -> None:
    """A01/L1: read-modify-write sells one ticket twice; FOR UPDATE is honoured and does not."""
    for lock, expected in ((False, [True, True]), (True, [True, False])):
        world = shop()
        for name, at_s in (("A", 0.0), ("B", 0.01)):
            world.at(at_s, name, lambda world=world, lock=lock: read_then_write(world, lock=lock))
        results = world.run()
        assert [results["A"], results["B"]] == expected
        assert left_in(world) == 0


def test_p1_a_blocked_conditional_update_looks_again() -> None:
    """P1: the second `UPDATE .. WHERE left > 0` waits for the first commit and matches no row."""
    world = shop()

    def sell() -> tuple[int, float]:
        with world.engine.begin() as connection:
            sold = connection.execute(
                update(stock).where(stock.c.left > 0).values(left=stock.c.left - 1)
            ).rowcount
            world.kernel.sleep(1.0)
            return sold, world.env.now

    world.at(0.0, "A", sell)
    world.at(0.1, "B", sell)
    results = world.run()
    assert results["A"][0] == 1
    assert results["B"][0] == 0
    assert results["B"][1] > 2.0, "B waited for A's commit in virtual time"
    assert world.database.lock_wait_s == pytest.approx(0.9, abs=0.05)


def test_p2_count_then_insert_skews() -> None:
    """P2/A02: two transactions count none, both insert; a FOR UPDATE on the parent prevents it."""
    for lock, expected in ((False, 2), (True, 1)):
        world = shop()

        def book(world: SmallWorld = world, *, lock: bool = lock) -> bool:
            with world.engine.begin() as connection:
                if lock:
                    connection.execute(select(stock.c.id).with_for_update()).all()
                taken = connection.execute(select(func.count()).select_from(tickets)).scalar_one()
                world.kernel.sleep(0.1)
                if taken:
                    return False
                connection.execute(insert(tickets).values())
                return True

        world.at(0.0, "A", book)
        world.at(0.01, "B", book)
        assert sum(world.run().values()) == expected


def test_reads_see_the_latest_commit_and_never_an_open_transaction() -> None:
    """READ COMMITTED: a statement sees what was committed before it, even inside a transaction."""
    world = shop(left=5)

    def writer() -> None:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=4))
            world.kernel.sleep(1.0)

    def reader() -> list[int]:
        seen = []
        with world.engine.connect() as connection:
            for _ in range(3):
                seen.append(connection.execute(select(stock.c.left)).scalar_one())
                world.kernel.sleep(0.8)
        return seen

    world.at(0.0, "writer", writer)
    world.at(0.1, "reader", reader)
    assert world.run()["reader"] == [5, 5, 4]


def test_lock_timeout_is_an_operational_error() -> None:
    """Who waits longer than the lock timeout is told so, and its transaction is over."""
    world = shop()

    def slow() -> None:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=0))
            world.kernel.sleep(60.0)

    def impatient() -> None:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=0))

    world.at(0.0, "slow", slow)
    world.at(1.0, "impatient", impatient)
    error = world.run()["impatient"]
    assert isinstance(error, exc.OperationalError)
    assert "lock timeout" in str(error)


def test_an_error_aborts_the_transaction_until_rollback() -> None:
    """As in PostgreSQL: after a failed statement nothing but ROLLBACK is accepted, nothing kept."""
    world = shop(left=3)

    def careless() -> str:
        try:
            with world.engine.begin() as connection:
                connection.execute(update(stock).values(left=2))
                with pytest.raises(exc.IntegrityError):
                    connection.execute(insert(stock), [{"id": 1, "left": 9}])
                connection.execute(select(stock.c.left))
        except exc.OperationalError as error:
            return str(error)
        return "no error"

    world.at(0.0, "careless", careless)
    assert "current transaction is aborted" in world.run()["careless"]
    assert left_in(world) == 3


def test_p10_a_commit_whose_reply_is_lost_is_applied_and_raises() -> None:
    """P10: the row is there although the caller got an OperationalError."""
    world = shop()

    def buy() -> None:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=0))
            world.database_link.loss = 1.0

    world.at(0.0, "buy", buy)
    assert isinstance(world.run()["buy"], exc.OperationalError)
    world.database_link.loss = 0.0
    assert left_in(world) == 0


def test_a_restart_keeps_commits_and_rolls_back_what_is_open() -> None:
    """Committed is durable; the open transaction is gone with its lock; pools reconnect."""
    world = shop(left=9)

    def sell(pause_s: float) -> bool:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=stock.c.left - 1))
            world.kernel.sleep(pause_s)
        return True

    world.at(0.0, "before", lambda: sell(0.1))
    world.at(1.0, "open", lambda: sell(10.0))
    world.do(2.0, world.database.stop)
    world.at(3.0, "down", lambda: sell(0.0))
    world.do(4.0, world.database.start)
    world.at(5.0, "after", lambda: sell(0.0))
    results = world.run()
    assert results["before"] is True
    assert isinstance(results["open"], exc.OperationalError)
    assert isinstance(results["down"], exc.OperationalError)
    assert results["after"] is True
    assert left_in(world) == 7


def test_a_dead_client_frees_its_lock_at_once() -> None:
    """The server rolls back what a killed application server had open."""
    world = shop(left=2)

    def sell(pause_s: float) -> float:
        with world.engine.begin() as connection:
            connection.execute(update(stock).values(left=stock.c.left - 1))
            world.kernel.sleep(pause_s)
        return world.env.now

    world.at(0.0, "dying", lambda: sell(100.0))
    world.at(0.5, "waiting", lambda: sell(0.0))
    world.do(3.0, lambda: world.kill("dying"))
    results = world.run()
    assert results["waiting"] == pytest.approx(3.0, abs=0.05)
    assert left_in(world) == 1


def test_p7_the_database_clock_is_virtual() -> None:
    """`julianday('now')` moves with virtual time (the strategies' database clock)."""
    world = shop()

    def now() -> float:
        with world.engine.connect() as connection:
            sql = text("SELECT (julianday('now') - 2440587.5) * 86400.0")
            return float(connection.execute(sql).scalar_one())

    world.at(0.0, "first", now)
    world.at(900.0, "later", now)
    results = world.run()
    assert results["later"] - results["first"] == pytest.approx(900.0, abs=0.01)


@pytest.mark.parametrize(
    ("clause", "named"),
    [
        ({"skip_locked": True}, "SKIP LOCKED"),
        ({"nowait": True}, "NOWAIT"),
        ({"read": True}, "FOR SHARE"),
        ({"read": True, "key_share": True}, "FOR KEY SHARE"),
    ],
)
def test_finer_row_locks_are_refused_with_the_remedy(clause: dict[str, Any], named: str) -> None:
    """What one write lock cannot express is an error that says --db postgres."""
    world = shop()
    with world.engine.connect() as connection, pytest.raises(exc.CompileError) as caught:
        connection.execute(select(stock.c.left).with_for_update(**clause))
    assert named in str(caught.value)
    assert "--db postgres" in str(caught.value)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"])
def test_other_isolation_levels_are_refused(level: str) -> None:
    """P4, P4b and P5 need PostgreSQL; asking for them here is an error with the remedy."""
    world = shop()
    with pytest.raises(exc.ArgumentError, match="--db postgres"):
        world.engine.connect().execution_options(isolation_level=level)


def test_advisory_locks_are_refused() -> None:
    """A PostgreSQL advisory lock is not approximated by anything."""
    world = shop()
    with world.engine.connect() as connection, pytest.raises(StatementRefused, match="postgres"):
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))


def test_autocommit_commits_each_statement() -> None:
    """AUTOCOMMIT is expressible: each write is its own transaction and frees the lock."""
    world = shop(left=2)

    def write() -> int:
        with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(update(stock).values(left=1))
            world.kernel.sleep(5.0)
            return left_in(world)

    world.at(0.0, "write", write)
    world.at(1.0, "other", lambda: left_in(world))
    assert world.run() == {"write": 1, "other": 1}


def test_folders_of_the_dead_are_removed_and_of_the_living_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed while it opened its files is cleared away after by the next one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"{leftovers.PREFIX}{ended.pid}-abc"
    mine = tmp_path / f"{leftovers.folder_prefix()}abc"
    for folder in (dead, mine):
        folder.mkdir()
        (folder / "shop.db").touch()
    leftovers.sweep_once.__wrapped__()
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
