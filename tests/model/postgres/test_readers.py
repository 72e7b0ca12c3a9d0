"""The rollback of a transaction that only read waits for its connection's next statement.

Nobody can tell: what a reader keeps from others until then is executed before they ask for it.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select, text, update

from model.postgres import sql
from model.postgres.client import VirtualConnection
from model.postgres.server import PostgresServer
from tests.model.postgres.world import TAKE_ONE, PostgresWorld, stock

READ = select(stock.c.left)


@pytest.fixture
def rolled_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes of those whose rollback was executed by itself, in this order."""
    found: list[int] = []
    real = VirtualConnection.roll_back

    def noted(self: VirtualConnection) -> None:
        found.append(self.pid)
        real(self)

    monkeypatch.setattr(VirtualConnection, "roll_back", noted)
    return found


def read_beside(
    world: PostgresWorld,
    ask: Callable[[Connection], object],
    read: object = READ,
    **options: str,
) -> object:
    """One connection reads and rolls back; another asks; the first reads on."""

    def reader() -> None:
        with world.engine.connect().execution_options(**options) as connection:
            for _ in range(2):
                connection.execute(read)
                connection.rollback()
                world.kernel.sleep(2.0)

    world.at(0.0, "reader", reader)
    world.transaction(1.0, "other", ask)
    return world.run()["other"]


def test_it_goes_with_the_next_statement(rolled_back: list[int]) -> None:
    """Also when others ask in between, and write what was read."""
    world = PostgresWorld(left=9)
    assert read_beside(world, lambda c: c.execute(TAKE_ONE).rowcount) == 1
    assert rolled_back == []
    assert world.left() == [8]


@pytest.mark.parametrize(
    "statement",
    ["LOCK TABLE stock", "TRUNCATE stock", "ALTER TABLE stock ADD COLUMN more integer"],
)
def test_a_table_is_wanted_for_oneself(statement: str) -> None:
    """A reader's transaction shares a lock on the table: it is over by then, and nobody waits."""
    world = PostgresWorld()
    read_beside(world, lambda c: c.execute(text(statement)))
    assert world.results["other"] is not None
    assert world.postgres.lock_waits_s == []
    if statement.startswith("ALTER"):
        with world.engine.begin() as connection:
            connection.execute(text("ALTER TABLE stock DROP COLUMN more"))


def test_without_that_it_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the lock of a reader whose rollback is left does keep others waiting."""
    monkeypatch.setattr(PostgresServer, "pay_readers", lambda _self: None)
    world = PostgresWorld()
    read_beside(world, lambda c: c.execute(text("LOCK TABLE stock")))
    assert world.postgres.lock_waits_s


@pytest.mark.parametrize(
    "read",
    [
        text("SELECT pg_advisory_xact_lock(7)"),
        text("SELECT * FROM stock FOR UPDATE"),
        update(stock).values(left=1),
    ],
)
def test_what_locks_is_rolled_back_before_anybody_asks(
    read: object, rolled_back: list[int]
) -> None:
    """It is no reader, whatever its first word."""
    world = PostgresWorld(left=9)

    def take(connection: Connection) -> bool:
        connection.execute(text("SELECT 1 FROM stock FOR UPDATE NOWAIT"))
        free = text("SELECT pg_try_advisory_xact_lock(7)")
        return bool(connection.execute(free).scalar_one())

    assert read_beside(world, take, read) is True
    assert rolled_back


def test_a_view_may_hide_a_lock() -> None:
    """Once somebody has defined one, no text is trusted to only read."""
    world = PostgresWorld()
    with world.engine.begin() as connection:
        hiding = "CREATE OR REPLACE VIEW hiding AS SELECT pg_advisory_xact_lock(7)::text AS locked"
        connection.execute(text(hiding))
    asks = text("SELECT pg_try_advisory_xact_lock(7)")
    try:
        taken = read_beside(
            world, lambda c: bool(c.execute(asks).scalar_one()), text("SELECT locked FROM hiding")
        )
        assert taken is True
    finally:
        with world.engine.begin() as connection:
            connection.execute(text("DROP VIEW hiding"))
        world.postgres.stock.hides = False


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_reader_with_a_snapshot_is_rolled_back_at_once(
    level: str, rolled_back: list[int]
) -> None:
    """Its snapshot is something that it keeps."""
    world = PostgresWorld(left=9)
    read_beside(world, lambda c: c.execute(TAKE_ONE).rowcount, isolation_level=level)
    assert rolled_back


def test_the_level_changes_between_two_transactions() -> None:
    """Psycopg refuses that within one: the rollback that was left is executed before."""
    world = PostgresWorld()

    def levels() -> list[str]:
        asks = text("SHOW transaction_isolation")
        found = []
        for level in ("READ COMMITTED", "SERIALIZABLE", "READ COMMITTED"):
            options = {"isolation_level": level}
            with world.engine.connect().execution_options(**options) as connection:
                connection.execute(READ)
                connection.rollback()
                found.append(str(connection.execute(asks).scalar_one()))
        return found

    world.at(0.0, "levels", levels)
    assert world.run()["levels"] == ["read committed", "serializable", "read committed"]


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        ("SELECT a, count(*) FROM t WHERE b IN (1, 2) AND c = ANY (ARRAY[1])", True),
        ("SELECT coalesce(sum(q), 0) FROM (SELECT 1 AS q) AS x", True),
        ("SELECT a FROM t WHERE at <= now()", True),
        ("SELECT a FROM t FOR UPDATE", False),
        ("SELECT a FROM t\nFOR NO KEY UPDATE SKIP LOCKED", False),
        ("SELECT a INTO b FROM t", False),
        ("SELECT nextval('s')", False),
        ("SELECT public.count(1)", False),
        ('SELECT "count me"(1)', False),
        ("SELECT set_config('a', 'b', false)", False),
        ("WITH gone AS (DELETE FROM t RETURNING a) SELECT a FROM gone", False),
        ("SELECT 1; DELETE FROM t", False),
        ("UPDATE t SET a = 1", False),
    ],
)
def test_what_surely_only_reads(statement: str, reads: bool) -> None:  # noqa: FBT001
    """Anything that calls a function which is not known to be harmless does not."""
    assert sql.read(statement).reads is reads
