"""Two states are one only if they have one future: what else than rows and answers tells apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from model.exploring.ground import Ground
from model.exploring.small_world import SmallWorld
from model.exploring.world import World
from properties.exploration.exhaustive import Search
from reservation.api import Hold
from reservation.boundary import database_transaction
from reservation.catalogue import STRATEGIES

Body = Callable[[Connection], object]


def run(statements: list[str]) -> Body:
    """A transaction's body whose answers its code never looks at."""

    def body(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    return body


SEE = "SELECT 1 FROM events WHERE id = 1"
COPY = "UPDATE events SET price_cents = (SELECT count(*) FROM carts)"
UP = "UPDATE events SET capacity = capacity + 1"
DOWN = "UPDATE events SET capacity = capacity - 1"
CART = (
    "INSERT INTO carts (id, event_id, customer_id, quantity, seats, status, created_at, expires_at)"
    " VALUES ('x', 1, 'x', 1, '', 'paid', 0, 0)"
)
SCRIPTS: dict[str, dict[str, list[list[str]]]] = {
    "copies": {"A": [[COPY]], "B": [[CART]]},
    "there-and-back": {"A": [[SEE, UP]], "B": [[UP], [DOWN]]},
    "reads-beside": {"A": [[SEE, UP]], "B": [[SEE]]},
    "reads-later": {
        "A": [[SEE, "SELECT capacity FROM events"]],
        "B": [["UPDATE events SET capacity = 5"]],
        "C": [["UPDATE events SET capacity = 7"]],
    },
    "writes-one-row": {"A": [[UP]], "B": [[UP]], "C": [[UP]]},
}


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strategy for each script: a hold is the transactions of its buyer."""
    info = STRATEGIES["db-cart"]
    for name, script in SCRIPTS.items():

        def build(stores: Any, options: dict[str, Any], script: Any = script) -> Any:
            strategy = info.build(stores, options)

            def hold(request: Any) -> Hold:
                for statements in script[request.customer_id]:
                    with database_transaction(stores.engine) as connection:
                        run(statements)(connection)
                return Hold(
                    hold_id=request.hold_id, event_id=1, customer_id=request.customer_id,
                    quantity=1, seats=(), expires_at=stores.clock.now() + 900.0,
                )  # fmt: skip

            strategy.hold = hold  # type: ignore[method-assign]
            return strategy

        monkeypatch.setitem(STRATEGIES, name, replace(info, name=name, build=build))


def small(strategy: str, **more: Any) -> SmallWorld:
    """Its buyers hold, and leave."""
    visits = ("leave",) * len(SCRIPTS[strategy])
    return SmallWorld(strategy=strategy, visits=visits, database="postgres", **more)


def states(world: SmallWorld, *schedules: str) -> list[tuple[bytes, list[str]]]:
    """The state after each schedule, and what everybody was told until then."""
    ground = Ground(world)
    found = []
    for schedule in schedules:
        execution = World(ground)
        for choice in schedule:
            execution.take(choice)
        told = [actor.io.hexdigest() for actor in execution.actors]
        found.append((execution.state(), told))
        execution.close()
    ground.close()
    return found


def test_equal_schedules_lead_to_equal_states() -> None:
    """The control: without this the rest would mean nothing."""
    once, again = states(small("copies"), "ABB", "ABB")
    assert once == again


@pytest.mark.parametrize(
    ("strategy", "level", "one", "other"),
    [
        # A has copied a count that was 0 or 1 by then; nobody was told which.
        ("copies", "read-committed", "ABB", "BBA"),
        # A's snapshot is older than B's two changes, or younger: the same rows, and yet A's
        # write fails in the first.
        ("there-and-back", "repeatable-read", "ABBBB", "BBBBA"),
        ("there-and-back", "serializable", "ABBBB", "BBBBA"),
        # A has seen the event before B's change or after it; C has changed it since, either way.
        ("reads-later", "repeatable-read", "ABBCC", "BBACC"),
        # What B has read is remembered, because A was there, or forgotten.
        ("reads-beside", "serializable", "ABB", "BBA"),
        # B and C wait for A, in two orders.
        ("writes-one-row", "read-committed", "ABC", "ACB"),
    ],
)
def test_equal_rows_and_answers_are_not_enough(
    strategy: str, level: str, one: str, other: str
) -> None:
    """The committed rows are equal, and everybody was told the same; the futures differ."""
    (first, told), (second, told_too) = states(small(strategy, isolation=level), one, other)
    assert told == told_too
    assert first != second


@pytest.mark.parametrize("level", ["read-committed", "repeatable-read", "serializable"])
@pytest.mark.parametrize("strategy", ["copies", "there-and-back"])
def test_every_future_is_found(strategy: str, level: str) -> None:
    """Against plain enumeration: whatever rows can come out of it."""
    world = small(strategy, isolation=level, attempts=1)
    reduced = Search(world).run()
    enumerated = Search(world, reduce=False, match=False).run()
    assert reduced.complete
    assert enumerated.complete
    assert not reduced.crash
    assert reduced.finals == enumerated.finals
    assert len(reduced.finals) > 1


def test_a_rollback_frees_its_locks_in_its_turn() -> None:
    """B's cart is refused and rolled back within the move that found nothing left."""
    ground = Ground(SmallWorld(strategy="db-cart", visits=("leave", "leave"), database="postgres"))
    world = World(ground)
    for choice in "AAABB":
        turn = world.take(choice)
    assert turn.result.startswith("0 rows")
    assert {"db:(rows)carts:hold-B", "db:(rows)events:*"} <= set(turn.writes)
    assert "db:(keys)events:*" in turn.reads
    world.close()
    ground.close()


def test_a_commit_touches_what_it_frees() -> None:
    """The keys it shared are read by its turn, its rows and what it publishes are written."""
    ground = Ground(SmallWorld(strategy="db-cart", visits=("leave",), database="postgres"))
    world = World(ground)
    for choice in "AAA":
        turn = world.take(choice)
    assert turn.crossing == "database COMMIT"
    assert "db:(keys)events:*" in turn.reads
    assert {"db:(rows)events:*", "db:events:*", "db:carts:*"} <= set(turn.writes)
    world.close()
    ground.close()
