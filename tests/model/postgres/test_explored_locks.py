"""What a statement is said to touch: too much costs schedules, too little would lose them."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from model.exploring.postgres.locking import EVERYTHING, access_of
from model.exploring.touching import conflict
from model.postgres import sql
from model.scenario import Isolation
from reservation.tables import carts, events, metadata, order_items, orders, payments

DIALECT: Any = pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg").dialect()
HOLD_A = {"id": "hold-A"}
READ = select(events.c.remaining_ticket)
LOCK = select(events.c.id).with_for_update()
LOCK_WEAK = select(events.c.id).with_for_update(key_share=True)
PAID = update(payments).where(payments.c.idempotency_key == "pay-B").values(status="x")
COUNT = update(events).values(remaining_ticket=events.c.remaining_ticket - 1)


def access(
    statement: Any, given: Any = None, level: Isolation = "read-committed", **more: Any
) -> Any:
    """What the statement does in the middle of a transaction."""
    text = statement if isinstance(statement, str) else str(statement.compile(dialect=DIALECT))
    return access_of(sql.read(text), given, level, first=more.get("first", False))


def dependent(one: Any, other: Any) -> bool:
    """Whether a search must try both orders."""
    return conflict(*one.touched, other.touched)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (access(READ), access(COUNT), False),
        (access(COUNT), access(COUNT), True),
        (access(COUNT), access(LOCK_WEAK), True),
        (access(insert(carts), HOLD_A), access(COUNT), False),
        (access(insert(carts), HOLD_A), access(LOCK_WEAK), False),
        (access(insert(carts), HOLD_A), access(LOCK), True),
        (access(insert(carts), HOLD_A), access("DELETE FROM events"), True),
        (access(insert(carts), HOLD_A), access("UPDATE events SET id=2"), True),
        (access(insert(carts), HOLD_A), access(insert(carts), {"id": "hold-B"}), False),
        (access(insert(carts), HOLD_A), access(insert(carts), HOLD_A), True),
        (access(insert(carts), HOLD_A), access(insert(carts)), True),
        (access(insert(carts), HOLD_A), access(update(carts).values(status="paid")), True),
        (access(insert(orders)), access(insert(orders)), True),
        (access(insert(order_items)), access(insert(order_items)), True),
        (access(insert(payments), {"idempotency_key": "pay-A"}),
         access(PAID, {"idempotency_key_1": "pay-B"}), False),
        (access(insert(payments), {"idempotency_key": "pay-A"}),
         access(PAID, {"idempotency_key_1": "pay-A"}), True),
        (access(insert(payments), {"idempotency_key": "pay-A"}),
         access(update(payments).values(status="x"), {"status": "x", "key": "pay-B"}), True),
        (access("SELECT pg_advisory_lock(1)"), access(READ), True),
        (access("WITH a AS (DELETE FROM carts) SELECT 1"), access(READ), True),
    ],
)  # fmt: skip
def test_what_commutes_under_read_committed(one: Any, other: Any, *, expected: bool) -> None:
    """Rows, the keys that foreign keys share, sequences; what is not understood has everything."""
    assert dependent(one, other) is expected
    assert dependent(other, one) is expected


def test_orders_of_two_payments_share_a_sequence() -> None:
    """Different keys, and yet who inserts first gets the lower number."""
    one = access(insert(orders), {"idempotency_key": "pay-A"})
    other = access(insert(orders), {"idempotency_key": "pay-B"})
    assert "db:(sequence)orders:*" in one.touched[1] & other.touched[1]
    assert dependent(one, other)


def test_a_commit_publishes_data_and_frees_locks() -> None:
    """The data of the table it wrote, its rows, and the parents' keys it shared."""
    found = access(insert(carts), HOLD_A)
    assert found.published == {"db:carts:*"}
    assert found.kept == ({"db:(keys)events:*"}, {"db:(rows)carts:hold-A"})
    assert not found.looked_at  # what is inserted is in the statement
    assert access(COUNT).looked_at == {"db:events:*"}


def test_a_snapshot_reads_everything() -> None:
    """The first statement of REPEATABLE READ; a later read commutes with every commit."""
    first = access(READ, level="repeatable-read", first=True)
    assert {f"db:{name}:*" for name in metadata.tables} <= first.touched[0]
    later = access(insert(carts), HOLD_A, "repeatable-read")
    assert {"db:carts:*", "db:events:*"} <= later.touched[0]


def test_nothing_commutes_under_serializable() -> None:
    """PostgreSQL's conflict graph remembers every read."""
    assert access(READ, level="serializable").touched == EVERYTHING
    assert dependent(access(READ, level="serializable"), access(READ, level="serializable"))


def test_the_clock_is_read_where_the_text_asks() -> None:
    """Time that passes does not commute with it."""
    asking = access("SELECT id FROM carts WHERE expires_at < extract(epoch from clock_timestamp())")
    assert "clock" in asking.touched[0]
    assert "clock" not in access(READ).touched[0]
