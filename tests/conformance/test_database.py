"""The engine rules that the simulated SQLite and a real PostgreSQL both promise (P rows)."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exc, func, insert, select, text, update

from chaos.servers.binaries import postgres
from chaos.servers.postgres_server import PostgresServer
from chaos.servers.room import Room, free_ports
from chaos.stacks.contract import StackMissing
from reservation.database_time import database_now
from tests.conformance.databases import DatabaseArm, RealDatabase, SimulatedDatabase
from tests.live.conftest import lacks
from tests.model.driving import SmallWorld

metadata = MetaData()
stock = Table(
    "stock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("left", Integer),
)
tickets = Table("tickets", metadata, Column("id", Integer, primary_key=True, autoincrement=False))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL for the session."""
    try:
        program = postgres()
    except StackMissing as missing:
        lacks("postgres", str(missing))
    with Room() as room:
        server = PostgresServer(room, program, free_ports(1)[0])
        try:
            server.create()
            server.renew()
            yield server.url
        finally:
            server.quit()


@pytest.fixture(params=["simulated", "postgres"])
def arm(request: pytest.FixtureRequest) -> Iterator[DatabaseArm]:
    """A database with one row that has one ticket left."""
    if request.param == "simulated":
        database: DatabaseArm = SimulatedDatabase()
        _fill(database)
        yield database
        SmallWorld.close_all()
        return
    real = RealDatabase(request.getfixturevalue("postgres_url"))
    metadata.drop_all(real.engine)
    _fill(real)
    yield real
    real.close()


def _fill(arm: DatabaseArm) -> None:
    metadata.create_all(arm.engine)
    with arm.engine.begin() as connection:
        connection.execute(insert(stock), [{"id": 1, "left": 1}])


def left_in(arm: DatabaseArm) -> int:
    """What a new transaction reads."""
    with arm.engine.connect() as connection:
        return int(connection.execute(select(stock.c.left)).scalar_one())


def sell(arm: DatabaseArm, beats: float = 0.0) -> int:
    """One ticket by a conditional UPDATE; how many rows it matched."""
    with arm.engine.begin() as connection:
        one = update(stock).where(stock.c.left > 0).values(left=stock.c.left - 1)
        matched = connection.execute(one).rowcount
        arm.pause(beats)
        return int(matched)


def test_p1_a_blocked_conditional_update_looks_again(arm: DatabaseArm) -> None:
    """The second UPDATE waits for the first one's commit, reads its row and matches nothing."""
    arm.at(0.0, "first", lambda: sell(arm, 4.0))
    arm.at(1.0, "second", lambda: sell(arm))
    assert arm.run() == {"first": 1, "second": 0}
    assert left_in(arm) == 0


def test_p1_after_a_rollback_the_blocked_update_matches(arm: DatabaseArm) -> None:
    """It waits all the same, and finds the row as it was."""

    def change_ones_mind() -> int:
        with arm.engine.connect() as connection:
            connection.execute(update(stock).values(left=0))
            arm.pause(4.0)
            connection.rollback()
            return 0

    arm.at(0.0, "first", change_ones_mind)
    arm.at(1.0, "second", lambda: sell(arm))
    assert arm.run()["second"] == 1
    assert left_in(arm) == 0


@pytest.mark.parametrize(("lock", "sold"), [(False, 2), (True, 1)])
def test_p2_p3b_count_then_insert(arm: DatabaseArm, lock: bool, sold: int) -> None:  # noqa: FBT001
    """Two that count before either inserts both fit; a lock on the parent row first, one does."""

    def book(number: int) -> bool:
        with arm.engine.begin() as connection:
            if lock:
                connection.execute(select(stock.c.left).with_for_update())
            taken = connection.execute(select(func.count()).select_from(tickets)).scalar_one()
            arm.pause(2.0)
            if taken:
                return False
            connection.execute(insert(tickets), [{"id": number}])
            arm.pause(2.0)
            return True

    arm.at(0.0, "A", lambda: book(1))
    arm.at(1.0, "B", lambda: book(2))
    assert sum(arm.run().values()) == sold


@pytest.mark.parametrize(("lock", "sold"), [(False, 2), (True, 1)])
def test_a01_read_then_write(arm: DatabaseArm, lock: bool, sold: int) -> None:  # noqa: FBT001
    """One ticket is sold twice by reading and writing back; FOR UPDATE prevents it."""

    def buy() -> bool:
        query = select(stock.c.left)
        with arm.engine.begin() as connection:
            left = connection.execute(query.with_for_update() if lock else query).scalar_one()
            arm.pause(3.0)
            if left:
                connection.execute(update(stock).values(left=left - 1))
            return bool(left)

    arm.at(0.0, "A", buy)
    arm.at(1.0, "B", buy)
    assert sum(arm.run().values()) == sold
    assert left_in(arm) == 0


def test_reads_see_the_latest_commit_at_once(arm: DatabaseArm) -> None:
    """READ COMMITTED: each statement of one transaction sees what was committed before it."""

    def read() -> list[int]:
        with arm.engine.connect() as connection:
            seen = []
            for _ in range(3):
                seen.append(int(connection.execute(select(stock.c.left)).scalar_one()))
                arm.pause(2.0)
            return seen

    arm.at(0.0, "reader", read)
    arm.at(1.0, "writer", lambda: sell(arm, 2.0))  # open at beat 2, committed at 3
    assert arm.run()["reader"] == [1, 1, 0]
    assert left_in(arm) == 0


def test_a_commit_is_visible_when_it_returns(arm: DatabaseArm) -> None:
    """A transaction that begins after the commit returned sees it; without a delay."""

    def write_then_read() -> int:
        sell(arm)
        return left_in(arm)

    arm.at(0.0, "A", write_then_read)
    assert arm.run() == {"A": 0}


def test_p7_the_clock_of_the_database_moves_within_a_transaction(arm: DatabaseArm) -> None:
    """`database_now()` is the clock and not the transaction's beginning."""

    def twice() -> float:
        with arm.engine.begin() as connection:
            first = connection.execute(select(database_now())).scalar_one()
            arm.pause(2.0)
            return float(connection.execute(select(database_now())).scalar_one() - first)

    arm.at(0.0, "A", twice)
    assert arm.run()["A"] > 0.2


def test_a_failed_statement_aborts_the_transaction(arm: DatabaseArm) -> None:
    """After a unique violation nothing but ROLLBACK is accepted, and nothing is kept."""

    def careless() -> str:
        with arm.engine.connect() as connection:
            connection.execute(update(stock).values(left=7))
            with pytest.raises(exc.IntegrityError):
                connection.execute(insert(stock), [{"id": 1, "left": 9}])
            with pytest.raises(exc.DBAPIError) as caught:
                connection.execute(select(stock.c.left))
            connection.commit()  # which rolls back
            return str(caught.value)

    arm.at(0.0, "A", careless)
    assert "current transaction is aborted" in str(arm.run()["A"])
    assert left_in(arm) == 1


def test_a_unique_key_is_taken_once(arm: DatabaseArm) -> None:
    """The second INSERT of a key waits for the first one's commit, and is an IntegrityError."""

    def take(beats: float) -> bool:
        with arm.engine.begin() as connection:
            connection.execute(insert(tickets), [{"id": 7}])
            arm.pause(beats)
        return True

    arm.at(0.0, "first", lambda: take(3.0))
    arm.at(1.0, "second", lambda: take(0.0))
    results = arm.run()
    assert results["first"] is True
    assert isinstance(results["second"], exc.IntegrityError)


def test_a_lost_connection_rolls_back_and_frees_its_locks(arm: DatabaseArm) -> None:
    """What its transaction wrote is gone, and who waited for its row goes on."""
    arm.at(0.0, "lost", lambda: sell(arm, 8.0))
    arm.at(1.0, "waiting", lambda: sell(arm))
    arm.cut(3.0, "lost")
    results = arm.run()
    assert isinstance(results["lost"], BaseException)
    assert results["waiting"] == 1
    assert left_in(arm) == 0


@pytest.mark.parametrize("clause", [{"skip_locked": True}, {"nowait": True}, {"read": True}])
def test_finer_locks_are_granted_or_refused_by_name(
    arm: DatabaseArm, clause: dict[str, bool]
) -> None:
    """PostgreSQL has them; the simulated SQLite says that it has not, and where they are."""
    query = select(stock.c.left).with_for_update(**clause)
    with arm.engine.connect() as connection:
        if arm.is_simulated:
            with pytest.raises(exc.CompileError, match="--db postgres"):
                connection.execute(query)
        else:
            assert connection.execute(query).scalar_one() == 1


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_other_levels_are_granted_or_refused_by_name(arm: DatabaseArm, level: str) -> None:
    """As are isolation levels beyond READ COMMITTED."""
    if arm.is_simulated:
        with pytest.raises(exc.ArgumentError, match="--db postgres"):
            arm.engine.connect().execution_options(isolation_level=level)
        return
    with arm.engine.connect().execution_options(isolation_level=level) as connection:
        said = connection.execute(text("SHOW transaction_isolation")).scalar_one()
    assert said.upper() == level
