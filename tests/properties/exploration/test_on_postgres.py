"""What exploration shows on a real PostgreSQL: its locks, its victims, and what SQLite cannot."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import literal, select

from model.exploring.prepared import prepared_ground
from model.exploring.small_world import SmallWorld, WorldError, world_from_dict
from model.exploring.turn import Turn
from model.exploring.world import World
from properties.exploration.execution import Executions, NotDeterministic
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.sampling import Sampling
from properties.exploration.shrinking import Shrinker, switches
from properties.exploration.trace import read_trace, retrace, trace_text
from properties.verdicts import Status
from reservation.catalogue import STRATEGIES
from reservation.errors import SoldOut
from reservation.tables import events
from tests.properties.exploration.postgres import (
    DEADLOCKING,
    explored,
    needs_postgres,
    on_postgres,
)

pytestmark = needs_postgres


def played(small: SmallWorld, *choices: str) -> tuple[World, list[Turn]]:
    """A world after these choices, each of which must have been possible."""
    world = World(prepared_ground(small))
    for choice in choices:
        assert choice in world.choices(), (choice, world.choices())
        world.take(choice)
    return world, world.turns


def ended(world: World) -> list[tuple[str, str]]:
    """Let everybody go on to their end; returns who was answered what."""
    while not world.over:
        world.take(world.moves()[0])
    answers = [(op.actor, op.reason or "yes") for op in world.history.operations]
    world.close()
    world.ground.close()
    return answers


def test_who_is_blocked_cannot_move_until_the_blocker_ends() -> None:
    """B's UPDATE waits for A's row; after A's commit B finds the last ticket gone."""
    world, turns = played(on_postgres("db-cart", "leave", "leave"), *"AABB")
    assert turns[3].crossing == "database UPDATE events"
    assert turns[3].result == "waits for A"
    assert world.moves() == ["A"]
    world.take("A")
    assert world.moves() == ["B"]  # A has ended
    again = world.take("B")
    assert (again.detail, again.result) == ("after a wait", "0 rows")
    assert ended(world) == [("A", "yes"), ("B", "SoldOut")]


def test_who_was_woken_can_be_overtaken() -> None:
    """B is granted its lock; C comes along before B's process runs, and B waits for C then."""
    small = on_postgres("db-cart", "leave", "leave", "leave", capacity=2)
    world, _ = played(small, *"AABBA")
    assert world.moves() == ["B", "C"]
    world.take("C")
    assert world.take("C").result == "1 row"
    assert world.take("B").result == "waits for C"
    assert world.moves() == ["C"]
    answers = ended(world)
    assert answers == [("A", "yes"), ("B", "SoldOut"), ("C", "yes")]


@pytest.mark.parametrize("victim", ["A", "B"])
def test_either_of_a_deadlock_can_be_the_victim(victim: str) -> None:
    """Whose check comes first is the chooser's; PostgreSQL says the rest, every time."""
    small = on_postgres("db-cart-row-lock", "leave", "leave", options=DEADLOCKING, attempts=1)
    results = []
    for _ in range(2):
        world, turns = played(small, *"ABAB")
        assert [turn.result for turn in turns[2:]] == ["waits for B", "waits for A"]
        assert world.moves() == ["A", "B"]  # nobody but a victim
        turn = world.take(victim)
        assert turn.result == "DeadlockDetected: deadlock detected"
        results.append(ended(world))
    assert results[0] == results[1]
    refused = "the database failed: deadlock detected"
    assert sorted(results[0]) == sorted([(victim, refused), ("B" if victim == "A" else "A", "yes")])


def test_a_restart_ends_who_waits() -> None:
    """Sessions break, what is open is rolled back, and who waited is told so."""
    small = on_postgres("db-cart", "leave", "leave", happenings={"db-restart": 1}, attempts=1)
    world, turns = played(small, *"AAABBB")
    assert turns[-1].result == "waits for A"
    world.take("db-restart")
    assert world.moves() == ["A", "B"]
    answers = dict(ended(world))
    assert all("server closed the connection" in said for said in answers.values())


def test_the_naive_cart_is_caught_and_its_story_replayed(tmp_path: Any) -> None:
    """Three buyers shrink to two and two changes of who moves; the trace goes the same way."""
    small = on_postgres("db-cart-naive", "pay", "pay", "pay")
    found = Search(small, until=lambda found: "no-overbooking" in found.breaches).run()
    executions = Executions(small)
    schedule = executions.expand(found.breaches["no-overbooking"].schedule)
    executions.close()
    example = Shrinker("no-overbooking").shrink(small, schedule)
    assert example.world.visits == ("pay", "pay")
    assert switches(example.schedule) == 2
    path = tmp_path / "trace.json"
    path.write_text(trace_text(example))
    again = retrace(read_trace(path))
    assert again.divergence is None
    assert again.same_bytes


@pytest.mark.parametrize("buyers", [2, 3])
def test_the_good_cart_survives_every_schedule(buyers: int) -> None:
    """Complete, and nothing is overbooked."""
    found = explored(on_postgres("db-cart", *("pay",) * buyers))
    assert found.statuses()["no-overbooking"] is Status.HOLDS
    assert {"sold-out", "refused-sold-out"} <= set(found.seen)


@pytest.mark.parametrize(
    ("level", "status"),
    [
        ("read-committed", Status.HOLDS),
        ("repeatable-read", Status.VIOLATED),
        ("serializable", Status.HOLDS),
    ],
)
def test_a_stale_snapshot_sells_too_much(level: str, status: Status) -> None:
    """A04: REPEATABLE READ counts before it has the lock; SQLite refuses to say so."""
    found = explored(on_postgres("db-derived", "leave", "leave", isolation=level))
    assert found.statuses()["no-overhold"] is status
    assert ("serialization-failure" in found.seen) == (level == "serializable")
    if level != "read-committed":
        with pytest.raises(WorldError, match="--db postgres"):
            replace(found.world, database="sqlite")


@pytest.mark.parametrize(("database", "expected"), [("postgres", True), ("sqlite", False)])
def test_a_deadlock_is_seen_where_rows_are_locked(database: str, expected: bool) -> None:  # noqa: FBT001 - the expectation
    """A13: two carts share the event's key and each wants it alone; one lock for all cannot."""
    small = on_postgres("db-cart-row-lock", "leave", "leave", options=DEADLOCKING, attempts=1)
    found = explored(replace(small, database=database))
    assert ("deadlock" in found.seen) is expected
    assert "deadlock" not in explored(replace(small, database=database, options={})).seen


@pytest.mark.parametrize("how", ["random", "pct"])
def test_samples_are_the_same_every_time(how: str) -> None:
    """Drawn schedules find the race, twice in the same way."""
    small = on_postgres("db-cart-naive", "leave", "leave")
    first = Sampling(small, Bounds(), how=how, schedules=25, twice=True)
    second = Sampling(small, Bounds(), how=how, schedules=25)
    one, other = first.run(), second.run()
    assert first.failed == second.failed
    assert one.finals == other.finals
    assert "no-overhold" in one.breaches


def test_the_fence_sees_what_is_not_under_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that depends on something else than the stores is caught, and named."""
    info, calls = STRATEGIES["db-cart"], iter(range(1_000_000))

    def build(stores: Any, options: dict[str, Any]) -> Any:
        strategy: Any = info.build(stores, options)
        hold = strategy.hold

        def leaky(asked: Any) -> Any:
            with stores.engine.connect() as connection:
                connection.execute(select(literal(next(calls)), events.c.id)).all()
            return hold(asked)

        strategy.hold = leaky
        return strategy

    monkeypatch.setitem(STRATEGIES, "leaking", replace(info, name="leaking", build=build))
    with pytest.raises(NotDeterministic) as caught:
        Search(on_postgres("leaking", "leave"), twice=True).run()
    assert "SELECT events" in caught.value.first
    assert caught.value.first != caught.value.second


def test_a_transaction_left_open_is_the_codes_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for somebody that has ended without ending its transaction: a crash is told."""
    info = STRATEGIES["db-cart"]
    kept: list[Any] = []

    def build(stores: Any, options: dict[str, Any]) -> Any:
        strategy: Any = info.build(stores, options)

        def leaky(_asked: Any) -> Any:
            kept.append(stores.engine.connect())
            kept[-1].exec_driver_sql("UPDATE events SET price_cents = price_cents + 1")
            raise SoldOut("the code under test gives up")

        strategy.hold = leaky
        return strategy

    monkeypatch.setitem(STRATEGIES, "leaking", replace(info, name="leaking", build=build))
    world, _ = played(on_postgres("leaking", "leave", "leave"))
    world.take("B")
    world.take("A")
    assert world.turns[-1].result == "waits for B"
    assert world.choices() == []
    assert "A waits for B, whose code has ended" in str(world.actor("A").crash)
    world.close()
    world.ground.close()


def test_a_trace_names_its_level_only_if_it_has_one() -> None:
    """Traces of SQLite are what they were; one of PostgreSQL comes back with its level."""
    assert "isolation" not in SmallWorld(strategy="db-cart").as_dict()
    small = on_postgres("db-cart", isolation="serializable")
    assert world_from_dict(small.as_dict()) == small
    with pytest.raises(WorldError, match="serialisable"):
        world_from_dict({**small.as_dict(), "isolation": "serialisable"})
    secret = replace(small, database="postgresql://me:secret@db.example/shop").as_dict()
    assert secret["database"] == "postgresql://me@db.example/shop"
