"""What the server does by itself: its bounds and its end, whatever its clients are doing."""

from typing import Any

import pytest
from sqlalchemy import Connection, exc, update

from model.database import DatabaseUnavailable
from model.postgres.stock import WAITING
from tests.model.driving import FakeServer
from tests.model.postgres.world import TAKE_ONE, PostgresWorld, state_of, stock


def take(world: PostgresWorld, *steps: tuple[int, float]) -> Any:
    """A transaction's body: takes one of each row in turn, and then waits so many seconds."""

    def body(connection: Connection) -> float:
        for row, seconds in steps:
            connection.execute(TAKE_ONE.where(stock.c.id == row))
            world.kernel.sleep(seconds)
        return float(world.env.now)

    return body


def pause(world: PostgresWorld, name: str, *, until_s: float) -> None:
    """The application server of one request stands still from now on."""
    server = world.requests[name].server = FakeServer()
    server.paused = world.env.timeout(until_s - world.env.now)
    server.paused.callbacks.append(lambda _event: setattr(server, "paused", None))


def test_a_lock_timeout_comes_while_its_client_is_paused() -> None:
    """The server cancels in time; the row, free later, is not taken for a client that stood still.

    Who waited behind it goes on when it is cancelled, not when its client does.
    """
    world = PostgresWorld(left=9, lock_timeout_s=5.0)
    world.transaction(0.0, "first", take(world, (1, 8.0)))
    world.transaction(1.0, "paused", take(world, (1, 0.0)))
    world.transaction(4.0, "behind", take(world, (1, 0.0)))
    world.do(2.0, lambda: pause(world, "paused", until_s=60.0))
    results = world.run()
    assert state_of(results["paused"]) == "55P03"
    assert results["behind"] == pytest.approx(8.0, abs=0.01)
    assert world.postgres.lock_waits_s == pytest.approx([5.0, 4.0], abs=0.01)
    assert world.left() == [7]


def test_a_deadlock_is_found_while_its_victim_is_paused() -> None:
    """Who looks first is the victim, paused or not, and the other one goes on at that moment."""
    world = PostgresWorld(left=9, rows=2)
    world.transaction(0.0, "victim", take(world, (1, 0.5), (2, 0.0)))
    world.transaction(0.1, "other", take(world, (2, 0.5), (1, 0.0)))
    world.do(0.7, lambda: pause(world, "victim", until_s=60.0))
    results = world.run()
    assert state_of(results["victim"]) == "40P01"
    assert results["other"] == pytest.approx(1.5, abs=0.01)
    assert world.postgres.deadlocks == 1


def test_each_lock_waited_for_has_a_deadlock_check_of_its_own() -> None:
    """`heir` inherits its place at 5.0 and looks at 6.0; the one in front waits since 5.5 only."""
    world = PostgresWorld(left=9, rows=2)
    world.transaction(0.0, "first", take(world, (1, 5.0)))
    world.transaction(0.1, "front", take(world, (1, 0.5), (2, 0.0)))
    world.transaction(0.2, "heir", take(world, (2, 0.1), (1, 0.0)))
    results = world.run()
    assert state_of(results["heir"]) == "40P01"
    assert results["front"] == pytest.approx(6.0, abs=0.01)


@pytest.mark.parametrize("first", ["holder", "waiter"], ids=lambda name: f"{name}-connects-first")
def test_a_restart_lets_nobody_inherit_a_lock(first: str) -> None:
    """All die at one instant: who waited for the row of another is told so then, and has it not."""
    world = PostgresWorld(left=9, lock_timeout_s=60.0)
    told_s: dict[str, float] = {}

    def waits() -> None:
        with world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            world.kernel.sleep(1.0)
            try:
                connection.execute(update(stock).values(left=100))
            except exc.OperationalError:
                told_s["waiter"] = world.env.now

    world.transaction(0.1 if first == "waiter" else 0.0, "holder", take(world, (1, 30.0)))
    world.at(0.0 if first == "waiter" else 0.1, "waiter", waits)
    world.do(4.0, world.postgres.stop)
    world.run()
    assert told_s == {"waiter": pytest.approx(4.0, abs=0.01)}
    world.postgres.start()
    assert world.left() == [9]


def test_a_monitor_that_is_refused_an_answer_can_be_asked_again() -> None:
    """The refusal ends the run, under its own name, and not what the process does after it."""
    monitored = PostgresWorld().postgres.stock
    monitored.monitor.execute("DEALLOCATE waiting")
    try:
        with pytest.raises(DatabaseUnavailable, match="does not say who waits"):
            monitored.who_waits()
        assert monitored.ask("SELECT 1") == [(1,)]
    finally:
        monitored.lost = None
        monitored.monitor.pgconn.prepare(b"waiting", WAITING)
    assert monitored.who_waits() == set()
