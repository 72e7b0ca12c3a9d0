"""When the server plans a statement again: never at a moment that the run alone does not decide.

Nor by what an earlier run has left.

A lookup of five carts by their keys reads an empty table from end to end, and a large one by its
index; `EXPLAIN EXECUTE` says which plan a session keeps.
"""

from typing import Any

import pytest
from sqlalchemy import Connection, insert, text, update

from model.exploring.small_world import SmallWorld
from model.postgres.client import VirtualConnection
from properties.exploration.execution import Executions
from reservation.tables import events, metadata
from tests.model.postgres.world import PostgresWorld

LOOKUP = "SELECT id FROM carts WHERE id IN (%s, %s, %s, %s, %s)"
KEYS = ("a", "b", "c", "d", "e")
EVENT = {"id": 1, "capacity": 9, "remaining_ticket": 9, "price_cents": 1}
SELL_ONE = update(events).values(remaining_ticket=events.c.remaining_ticket - 1)
MADE_WHEN_EMPTY, MADE_WHEN_LARGE = "Seq Scan on carts", "Bitmap Heap Scan on carts"


class Shop(PostgresWorld):
    """The shop's tables and one event, and nothing else, as in a run."""

    def make_tables(self, _filled: Any) -> None:
        """Make them, unless the run before has."""
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(insert(events), EVENT)

    def session(self) -> VirtualConnection:
        """The real connection of a session that is kept."""
        self.kept = self.engine.raw_connection()
        found = self.kept.driver_connection
        assert isinstance(found, VirtualConnection)
        return found


def look_up(session: VirtualConnection, times: int = 1) -> None:
    """Send the lookup, and leave no transaction open."""
    for _ in range(times):
        session.cursor().execute(LOOKUP, KEYS)
        session.rollback()


def plan(session: VirtualConnection) -> str:
    """The plan that the last lookup had, or the next one would have."""
    form = session._forms[LOOKUP, False]
    name = form._names[form._query.types, form._plan].decode()
    told = session.pgconn.exec_(f"EXPLAIN (COSTS OFF) EXECUTE {name}{KEYS}".encode())
    line: Any = told.get_value(0, 0)
    return str(line.decode())


def fill(session: VirtualConnection) -> None:
    """Make many carts, in the open transaction."""
    session.cursor().execute(
        "INSERT INTO carts SELECT g::text, 1, '', 1, '', '', 0, 0 FROM generate_series(1, 5000) g"
    )


def test_a_plan_is_kept_until_the_statement_was_sent_four_times_as_often() -> None:
    """The second sending's plan lasts to the seventh, whatever has become of the table."""
    shop = Shop()
    session = shop.session()
    look_up(session, 2)
    assert plan(session) == MADE_WHEN_EMPTY
    fill(session)
    session.commit()
    look_up(session, 5)
    assert plan(session) == MADE_WHEN_EMPTY
    look_up(session)
    assert plan(session) == MADE_WHEN_LARGE


def test_what_an_earlier_run_sent_does_not_count() -> None:
    """The same connection, and the names it knows: the second sending of *this* run is planned."""
    earlier = Shop()
    session = earlier.session()
    look_up(session, 2)
    earlier.close_all()
    shop = Shop()
    again = shop.session()
    assert again.pid == session.pid
    look_up(again)
    fill(again)
    again.commit()
    look_up(again)
    assert plan(again) == MADE_WHEN_LARGE


@pytest.mark.parametrize("waits", [True, False])
def test_after_a_wait_everything_is_planned_anew(*, waits: bool) -> None:
    """While it is stopped a session can lose its plans unseen; so it always does."""
    shop = Shop()
    plans: list[str] = []

    def first(connection: Connection) -> None:
        connection.execute(SELL_ONE)
        shop.kernel.sleep(1.0 if waits else 0.0)

    def second(connection: Connection) -> None:
        session: Any = connection.connection.driver_connection
        for _ in range(2):
            session.cursor().execute(LOOKUP, KEYS)
        fill(session)
        connection.execute(SELL_ONE)
        session.cursor().execute(LOOKUP, KEYS)
        plans.append(plan(session))

    shop.transaction(0.0, "first", first)
    shop.transaction(0.1, "second", second)
    shop.run()
    assert plans == [MADE_WHEN_LARGE if waits else MADE_WHEN_EMPTY]


@pytest.mark.parametrize("waits", [True, False])
def test_a_snapshot_is_taken_by_the_first_that_needs_one(*, waits: bool) -> None:
    """A table is locked before anything is seen of it, also by who has waited for something."""
    shop = Shop(isolation="repeatable-read")
    session = shop.session()
    left: list[Any] = []

    def first(connection: Connection) -> None:
        connection.execute(text("LOCK TABLE seats"))
        shop.kernel.sleep(1.0 if waits else 0.0)

    def seller(connection: Connection) -> None:
        connection.execute(SELL_ONE)
        shop.kernel.sleep(1.0)

    def second() -> None:
        session.cursor().execute("LOCK TABLE seats")
        session.commit()
        shop.kernel.sleep(2.5 - shop.env.now)
        session.cursor().execute("LOCK TABLE events")
        cursor = session.cursor().execute("SELECT remaining_ticket FROM events")
        left.append(cursor.fetchall())
        session.commit()

    shop.transaction(0.0, "first", first)
    shop.at(0.1, "second", second)
    shop.transaction(2.0, "seller", seller)
    shop.run()
    assert left == [[(8,)]]


BUILT_IN = "suppress_redundant_updates_trigger"
CHANGES = (
    "CREATE INDEX by_customer ON carts (customer_id)",
    "DROP INDEX ix_carts_event_status",
    "ALTER TABLE carts ADD COLUMN note text",
    "ALTER TABLE carts DROP COLUMN customer_id",
    "ALTER TABLE carts ADD CHECK (quantity > 0)",
    "CREATE RULE nothing AS ON DELETE TO carts DO INSTEAD NOTHING",
    f"CREATE TRIGGER lazy BEFORE UPDATE ON carts FOR EACH ROW EXECUTE FUNCTION {BUILT_IN}()",
    "CREATE TABLE notes (text text)",
)


def tables(shop: Shop) -> Any:
    """What the catalogue says of the shop's tables."""
    asked = (
        "SELECT c.relname, relkind, attname, pg_get_constraintdef(k.oid), ev_type, tgname"
        " FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid"
        " LEFT JOIN pg_constraint k ON conrelid = c.oid LEFT JOIN pg_rewrite ON ev_class = c.oid"
        " LEFT JOIN pg_trigger ON tgrelid = c.oid AND NOT tgisinternal"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 ORDER BY 1, 2, 3, 4, 5, 6"
    )
    return shop.postgres.stock.ask(asked)


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_earlier_run_changed_of_the_tables_is_gone(change: str) -> None:
    """An index, a column, a rule: a run has the shop's tables as a first run has them."""
    first = Shop()
    as_made = tables(first)
    session = first.session()
    session.cursor().execute(change)
    session.commit()
    assert tables(first) != as_made
    first.close_all()
    again = Shop()
    assert tables(again) == as_made
    again.postgres.stock.hides = False  # a rule may, and is gone


def test_explored_worlds_plan_each_time_anew() -> None:
    """They go back and forth in the same sessions: no plan of another branch may be left."""
    made = Executions(SmallWorld(database="postgres", strategy="db-cart", visits=("leave",)))
    world = made.fresh()
    world.take(world.moves()[0])
    server: Any = made.ground.database
    sessions = list(server.server.sessions)
    assert sessions
    for session in sessions:
        shown = session.pgconn.exec_(b"SHOW plan_cache_mode")
        assert shown.get_value(0, 0) == b"force_custom_plan"
    world.close()
    made.close()
