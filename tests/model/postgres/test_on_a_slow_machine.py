"""How fast the machine is decides nothing: late answers, late stops, a busy monitor."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from model.database import DatabaseUnavailable, TooSlow
from model.exploring.postgres import server as explored
from model.exploring.small_world import SmallWorld
from model.postgres import server as driving
from model.postgres.flight import PROBE_MS, Flight
from model.postgres.server import PostgresServer
from model.postgres.stock import stock_of
from model.run import simulate
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.sampling import Sampling
from properties.exploration.shrinking import Shrinker, repaired
from properties.exploration.trace import Trace, line_of, retrace
from tests.model.postgres import crowd
from tests.model.postgres.test_repeatable import spec
from tests.model.postgres.world import TAKE_ONE, PostgresWorld
from tests.properties.exploration.crews import everything

NAPS_S = (0.0003, 0.002, 0.008, 0.03)
ROWS = {"event_lock": "update"}  # a bad variant that deadlocks
DEADLOCKING: dict[str, Any] = {
    "strategy": "db-cart-row-lock",
    "options": ROWS,
    "visits": ("leave", "leave"),
}


@contextmanager
def late_now_and_then(seed: int) -> Iterator[None]:
    """Naps before and after whatever looks at real time, and answers that are seen a look later."""
    draw = Random(seed)

    def nap() -> None:
        if draw.random() < 0.08:
            time.sleep(draw.choice(NAPS_S))

    def napping(call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*args: Any) -> Any:
            nap()
            try:
                return call(*args)
            finally:
                nap()

        return around

    def unseen(flight: Flight, timeout_ms: float) -> bool:
        nap()
        return draw.random() > 0.1 and advance(flight, timeout_ms)

    def busy(fileno: int, timeout_ms: float) -> bool:
        return draw.random() > 0.05 and readable(fileno, timeout_ms)

    advance, readable = Flight.advance, driving._readable
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flight, "advance", unseen)
        patch.setattr(driving, "_readable", busy)
        for name in ("_signal", "_waiting_pids", "_in_a_cycle", "settle", "interrupt", "at_once"):
            patch.setattr(PostgresServer, name, napping(getattr(PostgresServer, name)))
        yield


def told(strategy: str, fault: str = "none") -> Any:
    """All that a sale says."""
    result = simulate(spec(strategy, fault, buyers=4 if strategy == "deadlocks" else 6))
    history = result.history
    return result.trace_hash, result.metrics, history.operations, history.audit, history.faults


def searched(**small: Any) -> Any:
    """All that a search finds."""
    return everything(Search(SmallWorld(database="postgres", **small)).run())


PLAYED: dict[str, Callable[[], Any]] = {
    "one-row": crowd.one_row,
    "one-key": crowd.one_key,
    "deadlocks": crowd.deadlocks,
    "sale-deadlocks": lambda: told("deadlocks"),
    "sale-restart": lambda: told("db-cart-row-lock", "db-restart"),
    "sale-lost-replies": lambda: told("db-cart-row-lock", "lost-replies"),
    "sale-app-kill": lambda: told("db-derived", "app-kill"),
    "explored": lambda: searched(
        strategy="db-cart", visits=("leave", "leave"), happenings={"app-kill": 1}
    ),
}


@pytest.mark.parametrize("name", sorted(PLAYED))
def test_late_answers_change_nothing(name: str) -> None:
    """What is played with naps at every place that looks at real time is what is played without."""
    at_once = PLAYED[name]()
    with late_now_and_then(4):
        assert PLAYED[name]() == at_once


def _stops_late(
    monkeypatch: pytest.MonkeyPatch, ms: float, times: int, *, again: bool = False
) -> list[Flight]:
    """Let the first statements that wait (`again`) look for a deadlock before they are stopped."""
    late: list[Flight] = []
    waits = PostgresServer._waits

    def stop(server: PostgresServer, flight: Flight) -> bool:
        if len(late) < times and flight.waited is again and server.waiting and flight not in late:
            time.sleep(ms / 1000.0)
            if flight.advance(PROBE_MS) and flight.error is not None:
                late.append(flight)
        return waits(server, flight)

    monkeypatch.setattr(PostgresServer, "_waits", stop)
    return late


@pytest.mark.parametrize("again", [False, True], ids=["first-wait", "second-wait"])
def test_a_run_whose_victim_came_too_early_is_played_again(
    monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    """It closed a cycle and looked before it was stopped: no virtual second had passed."""
    at_once = told("deadlocks")
    late = _stops_late(monkeypatch, 300.0, 1, again=again)
    assert told("deadlocks") == at_once
    assert len(late) == 1


def test_a_machine_that_is_always_too_slow_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is better than one that no seed repeats."""
    late = _stops_late(monkeypatch, 300.0, 99)
    with pytest.raises(DatabaseUnavailable, match="too busy"):
        told("deadlocks")
    assert len(late) == 4


def test_a_move_whose_victim_came_too_early_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In explored worlds, too."""
    at_once = searched(**DEADLOCKING)
    late = _stops_late(monkeypatch, 2.0 * explored.DEADLOCK_CHECK_MS, 3)
    assert searched(**DEADLOCKING) == at_once
    assert len(late) == 3


def test_a_schedule_whose_victim_came_too_early_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In samples, from the same stream."""

    def sampled() -> Any:
        small = SmallWorld(database="postgres", **DEADLOCKING)
        return everything(Sampling(small, Bounds(), how="random", schedules=12).run())

    at_once = sampled()
    late = _stops_late(monkeypatch, 2.0 * explored.DEADLOCK_CHECK_MS, 2)
    assert sampled() == at_once
    assert len(late) == 2


def test_a_schedule_whose_victim_came_too_early_is_executed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the replay of a trace, and while a counterexample is shrunk."""
    small = SmallWorld(database="postgres", **DEADLOCKING)
    made = Executions(small, reduce=False)
    world = repaired(made, ["A", "B"] * 5)
    turns = tuple(world.turns)
    world.close()
    made.close()
    lines = tuple(line_of(turn) for turn in turns)
    assert any("DeadlockDetected" in line for line in lines)
    schedule = tuple(turn.choice for turn in turns)
    trace = Trace(
        text="", world=small, invariant="no-overbooking", message="", schedule=schedule, lines=lines
    )
    late = _stops_late(monkeypatch, 2.0 * explored.DEADLOCK_CHECK_MS, 1)
    again = retrace(trace)
    assert (again.divergence, tuple(map(line_of, again.turns))) == (None, lines)
    assert len(late) == 1
    late = _stops_late(monkeypatch, 2.0 * explored.DEADLOCK_CHECK_MS, 1)
    assert Shrinker("no-overbooking")._fails(small, schedule) is None
    assert len(late) == 1


def test_a_monitor_that_is_always_slow_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again for ever."""
    first = crowd.one_row()

    def needs_100_ms(fileno: int, timeout_ms: float) -> bool:
        return timeout_ms >= 100.0 and readable(fileno, timeout_ms)

    readable = driving._readable
    monkeypatch.setattr(driving, "_readable", needs_100_ms)
    assert crowd.one_row() == first


FULL = text("DO $$ BEGIN RAISE EXCEPTION 'No space left' USING ERRCODE = '53100'; END $$")


def test_no_code_keeps_a_full_disk_to_itself() -> None:
    """A run that was told so is no run, whatever the code under test made of it."""
    world = PostgresWorld()

    def forgiving(connection: Connection) -> None:
        try:
            connection.execute(FULL)
        except Exception:  # noqa: BLE001 - as careless code has it
            return

    world.transaction(0.0, "A", forgiving)
    world.run()
    with pytest.raises(DatabaseUnavailable, match="out of resources"):
        world.postgres.close()
    assert stock_of("postgres").lost is None


def test_who_came_too_early_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is ended with the run, and nobody goes on with its process after that."""
    late = _stops_late(monkeypatch, 300.0, 1, again=True)
    with pytest.raises(TooSlow):
        crowd.deadlocks()
    server = stock_of("postgres").tenant
    assert server is not None
    assert late[0] not in server.waiting
    with pytest.raises(TooSlow):  # as everybody who closes a run is told
        server.close()


def test_no_explored_code_keeps_a_full_disk_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is its crash after that one of the code under test."""
    drive = explored.ChoosingServer.drive

    def full(server: explored.ChoosingServer, flight: Flight) -> Any:
        result = drive(server, flight)
        try:
            if server.kernel.current is not None:
                raise server.stock.unavailable("the server is out of resources", "no room")
        except DatabaseUnavailable as error:
            raise RuntimeError("as careless code has it") from error
        return result

    monkeypatch.setattr(explored.ChoosingServer, "drive", full)
    with pytest.raises(DatabaseUnavailable, match="out of resources"):
        searched(strategy="db-cart", visits=("leave",))


def test_a_server_that_is_gone_cannot_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a run with it is no crash of the code under test."""
    world = PostgresWorld(left=9)

    def gone(_flight: Flight, _go_on: Callable[[], None]) -> None:
        raise psycopg.OperationalError("cancel failed: connection refused")

    def take(connection: Connection) -> None:
        connection.execute(TAKE_ONE)
        world.kernel.sleep(1.0)

    for name in "AB":
        world.transaction(0.0, name, take)
    world.env.run(until=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(Flight, "cancel", gone)
        with pytest.raises(DatabaseUnavailable, match="went away: cancel failed"):
            world.postgres.stop()
    world.postgres.leave()
