"""A statement is about one payment key only if it says so plainly."""

from typing import Any

import pytest

from model.exploring.one_key import one_key

KEY = "pay-A"
BOTH = {"payments", "orders"}
NAMED = {"status": "x", "idempotency_key_1": KEY}
JOINED = (
    "SELECT payments.status, orders.id \nFROM payments LEFT OUTER JOIN orders ON"
    " orders.idempotency_key = payments.idempotency_key \nWHERE payments.idempotency_key = ?"
)

ORDERED = (
    "INSERT INTO orders (idempotency_key, hold_id) VALUES (%(idempotency_key)s::VARCHAR,"
    " %(hold_id)s::VARCHAR) RETURNING orders.id"
)
PAID = "UPDATE payments SET status=? WHERE payments.idempotency_key"


@pytest.mark.parametrize(
    ("sql", "parameters", "tables"),
    [
        (JOINED, (KEY,), BOTH),
        ("INSERT INTO payments (hold_id, idempotency_key) VALUES (?, ?)", ("h", KEY), {"payments"}),
        (ORDERED, {"idempotency_key": KEY}, {"orders"}),
        (f"{PAID} = ? AND payments.status IN (?, ?)", ("x", KEY, "a", "b"), {"payments"}),
        (f"{PAID} = %(idempotency_key_1)s::VARCHAR", NAMED, {"payments"}),
        ("SELECT id FROM orders WHERE status = '? AND' AND idempotency_key = ? FOR UPDATE",
         (KEY,), {"orders"}),
        ("DELETE FROM payments WHERE idempotency_key = ?", (KEY,), {"payments"}),
        ("SELECT 1 FROM payments, orders WHERE payments.idempotency_key = ?", (KEY,), {"payments"}),
    ],
)  # fmt: skip
def test_a_plain_equality_is_about_one_key(sql: str, parameters: Any, tables: set[str]) -> None:
    """The key is found at its place among the parameters, for each table it holds for."""
    assert one_key(sql, parameters) == (KEY, tables)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM payments WHERE idempotency_key <> ?",
        "SELECT count(*) FROM payments WHERE idempotency_key >= ?",
        "SELECT count(*) FROM payments WHERE NOT idempotency_key = ?",
        "SELECT count(*) FROM payments WHERE idempotency_key = ? OR 1 = 1",
        "SELECT count(*) FROM payments WHERE (status = ? AND idempotency_key = ?)",
        "SELECT count(*) FROM payments AS p WHERE p.idempotency_key = ?",
        "SELECT count(*) FROM payments p WHERE idempotency_key = ?",
        "SELECT count(*) FROM payments, payments AS o WHERE payments.idempotency_key = ?",
        "SELECT (SELECT count(*) FROM payments) FROM payments WHERE payments.idempotency_key = ?",
        "SELECT id FROM orders WHERE (orders.idempotency_key LIKE ? || '%') ORDER BY id LIMIT ?",
        "UPDATE payments SET status=?",
        "UPDATE payments SET status=(SELECT 'x') WHERE payments.idempotency_key = ?",
        "INSERT INTO orders (hold_id) VALUES (?)",
        "INSERT INTO orders (idempotency_key) SELECT hold_id FROM carts WHERE idempotency_key = ?",
        "INSERT INTO orders (idempotency_key) VALUES (?) ON CONFLICT DO NOTHING",
        "SELECT 1 FROM payments WHERE hold_id = ? -- AND idempotency_key = ?",
    ],
)
def test_anything_else_is_about_all(sql: str) -> None:
    """Another comparison, OR, a second SELECT, an alias: too much is taken to be touched."""
    assert one_key(sql, (KEY, KEY)) is None


def test_many_rows_are_about_all() -> None:
    """`executemany`, and a key that could be a pattern."""
    insert = "INSERT INTO payments (idempotency_key) VALUES (?)"
    assert one_key(insert, (KEY,)) is not None
    assert one_key(insert, [(KEY,), ("pay-B",)]) is None
    assert one_key(insert, ("pay-*",)) is None
    assert one_key(insert, (1,)) is None
