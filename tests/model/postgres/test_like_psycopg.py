"""A cursor in virtual time beside psycopg's own: the same rows, counts, columns and errors."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from tests.model.postgres.world import PostgresWorld

TABLE = (
    "CREATE TEMP TABLE t (id int PRIMARY KEY, a text, b bytea, c numeric(12, 4), d timestamptz,"
    " e date, f bool, g float8, h jsonb, i int[], j text[], k interval, l uuid, m bigint)"
)
INSERT = "INSERT INTO t VALUES (" + "%s, " * 13 + "%s)"
MOMENT = dt.datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
TEXT, BYTES, JSON, WORDS = "x%s 'q'\n", b"\x00\xff'\\", '{"a": [1, null]}', ["a", None, '"']
DAY, THREE, SOME, ODD = dt.date(1999, 12, 31), dt.timedelta(days=3), Decimal("1.50"), UUID(int=7)
TINY, VAST = 1e-300, float("inf")
NIL = dt.timedelta(0)
ROWS = [
    (1, TEXT, BYTES, SOME, MOMENT, DAY, True, TINY, JSON, [1, 2], WORDS, THREE, ODD, 2**62),
    (2, *[None] * 13),
    (3, "", b"", -SOME, None, None, False, VAST, "null", [], [], NIL, None, -(2**63)),
]
BACK = ("ROLLBACK", None)
STATEMENTS: list[tuple[str, Any]] = [
    ("SELECT * FROM t ORDER BY id", None),
    *(("SELECT * FROM t WHERE id = %s", (number,)) for number in (1, 2, 3, 99)),
    ("UPDATE t SET a = %s WHERE id <= %s RETURNING id, a", ("z", 2)),
    ("UPDATE t SET a = 'y'", None),
    ("DELETE FROM t WHERE id = %(id)s", {"id": 9}),
    ("SELECT 1 AS x, 2 AS x", None),
    ("SELECT '%'", None),
    ("SELECT '%%' || %s::text", ("q",)),
    ("SELECT WHERE false", None),
    ("", None),
    ("SELECT %s::int, %s::bigint, %s::numeric", (2**31, 2**40, 2**70)),
    BACK,
    ("SELECT %s = ANY(%s), %s, %b::bytea, %s", (3, [1, 3], None, b"\x01", MOMENT)),
    ("INSERT INTO t (id) VALUES (%s)", (1,)),
    ("SELECT 1", None),  # the transaction is aborted
    ("SELECT %s", (1,)),
    BACK,
    ("SELECT 1 / %s", (0,)),
    BACK,
    ("SELEC", None),
    BACK,
    ("SELECT * FROM nowhere WHERE 1 = %s", (1,)),
    BACK,
    ("INSERT INTO t (id, c) VALUES (50, 1e20)", None),
    BACK,
    ("SELECT %s", (1, 2)),
    BACK,
    ("SELECT %s", (object(),)),
    BACK,
    ("CREATE TEMP TABLE five AS SELECT generate_series(1, 5) g", None),
    ("SELECT array_agg(g), row(1, 'a') FROM five", None),
    BACK,
]
MANY: list[tuple[str, list[Any]]] = [
    ("INSERT INTO t (id) VALUES (%s)", [(70,), (71,)]),
    ("UPDATE t SET a = %s WHERE id = %s", [("p", 1), ("q", 2), ("r", 99)]),
    ("INSERT INTO t (id) VALUES (%s)", [(60,), (61,), (60,)]),
]


def told(connection: Any, statement: str, parameters: Any, *, many: bool = False) -> Any:
    """What a cursor says after a statement: count, columns and rows, or the error."""
    cursor = connection.cursor()
    try:
        (cursor.executemany if many else cursor.execute)(statement, parameters)
    except psycopg.Error as error:
        diag = error.diag
        return type(error), error.sqlstate, diag.message_primary, diag.constraint_name
    if cursor.description is None:
        return cursor.rowcount
    columns = [(column[0], column[1]) for column in cursor.description]
    return cursor.rowcount, columns, cursor.fetchall()


def test_both_cursors_say_the_same() -> None:
    """Three times over: as it is sent first, when it is prepared, and when it is known by name."""
    world = PostgresWorld()
    ours: Any = world.engine.raw_connection().driver_connection
    place = world.postgres.stock
    with psycopg.connect(place.address.conninfo, dbname=place.name) as theirs:
        for each in (ours, theirs):
            told(each, TABLE, None)
            each.commit()
        for turn in range(3):
            for each in (ours, theirs):
                told(each, INSERT, ROWS, many=True)
                each.commit()
            for statement, parameters in STATEMENTS:
                if statement == "ROLLBACK":
                    ours.rollback()
                    theirs.rollback()
                    continue
                said = repr(told(ours, statement, parameters))
                assert said == repr(told(theirs, statement, parameters)), f"{turn}: {statement}"
            for statement, rows in MANY:
                said = repr(told(ours, statement, rows, many=True))
                assert said == repr(told(theirs, statement, rows, many=True)), statement
            for each in (ours, theirs):
                each.rollback()
                told(each, "TRUNCATE t", None)
                each.commit()
