"""The SQL of the database strategies: what it compiles to, and which index it uses."""

import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from sqlalchemy import Executable, select, text
from sqlalchemy.dialects import postgresql, sqlite

from reservation import cart_sql, db_derived, till_statements
from reservation.cart_sql import CART_SQL
from reservation.database_time import database_now
from tests.reservation.shop import Shop


def every_statement() -> Iterator[tuple[str, Executable]]:
    """Walk the statements built at import."""
    for module in (cart_sql, till_statements):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, Executable):
                yield name, value
    for clock, statements in CART_SQL.items():
        for field in fields(statements):
            yield f"{clock}:{field.name}", getattr(statements, field.name)
    for clock, statement in db_derived._STOCK.items():
        yield f"{clock}:stock", statement


BY_AGE = r"SEARCH carts USING .*INDEX ix_carts_status_expires_at \(status=\? AND expires_at<\?\)"
STATEMENTS = dict(every_statement())


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_compiles_for_both_databases(name: str) -> None:
    """PostgreSQL and SQLite; and none skips rows that others have locked."""
    statement = STATEMENTS[name]
    if name == "database:insert":
        statement = statement.values(id="h1")  # type: ignore[attr-defined]  # it is an Insert
    assert "SKIP LOCKED" not in str(statement.compile(dialect=postgresql.dialect()))
    assert str(statement.compile(dialect=sqlite.dialect()))


def test_the_row_lock_is_in_the_sql() -> None:
    """SQLite's compiler drops FOR UPDATE (L1), so it is looked for on PostgreSQL."""
    for statement in (cart_sql.LOCK_REMAINING_AND_KEY, cart_sql.LOCK_SEATS):
        assert "FOR UPDATE" in str(statement.compile(dialect=postgresql.dialect()))
    counter = str(cart_sql.LOCK_REMAINING.compile(dialect=postgresql.dialect()))
    assert "FOR NO KEY UPDATE" in counter, "carts share the event's key: they would deadlock"
    for statements in CART_SQL.values():
        for statement in (statements.locked_read, statements.locked_due_batch):
            assert "FOR UPDATE" in str(statement.compile(dialect=postgresql.dialect()))


def test_the_database_clock_moves_within_a_transaction_on_postgresql() -> None:
    """P7: `now()` would stand still from the transaction's start."""
    compiled = str(select(database_now()).compile(dialect=postgresql.dialect()))
    assert "clock_timestamp()" in compiled


def test_the_database_clock_is_epoch_seconds_on_sqlite(shop: Shop) -> None:
    """To the millisecond, which is what SQLite keeps."""
    with shop.engine.connect() as connection:
        now = connection.execute(select(database_now())).scalar_one()
    assert now == pytest.approx(shop.clock.now(), abs=0.001)


@pytest.mark.parametrize(
    ("statement", "plans"),
    [
        ("expire_batch", [r"SEARCH carts .*\(id=\?\)", BY_AGE]),
        ("due_batch", [BY_AGE]),
        ("scan", [r"SCAN carts$"]),
    ],
)
def test_the_sweepers_use_the_index_and_the_cron_scan_does_not(
    shop: Shop, statement: str, plans: list[str]
) -> None:
    """The seed's remedy, an index on expires_at, is what separates the two."""
    sql = str(
        getattr(CART_SQL["application"], statement).compile(
            dialect=sqlite.dialect(), compile_kwargs={"literal_binds": False}
        )
    )
    sql = re.sub(r"\?", "1", sql)
    with shop.engine.connect() as connection:
        steps = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
    steps = [step for step in steps if "carts" in step]
    assert len(steps) == len(plans)
    assert all(re.search(plan, step) for plan, step in zip(plans, steps, strict=True)), steps
