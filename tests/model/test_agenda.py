"""The kernel's environment orders events exactly as SimPy's own does."""

from collections.abc import Callable, Generator
from math import inf
from typing import Any

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st
from simpy.events import NORMAL, URGENT

from model.agenda import PAGE_S, Agenda, TurnPage

# Whole pages and their halves too: events meet at the edge of a page and at one instant.
DELAYS = st.one_of(
    st.integers(0, 12).map(lambda halves: halves * PAGE_S / 2),
    st.floats(0.0, 3.0),
    st.floats(100.0, 2000.0),
)
PROGRAMS = st.lists(st.lists(DELAYS, max_size=6), max_size=8)
Log = list[tuple[float, int, int]]


def told_by(env: simpy.Environment, programs: list[list[float]]) -> Log:
    """What happened when: processes that sleep, and events put in beside them."""
    log: Log = []

    def lives(number: int, delays: list[float]) -> Generator[simpy.Event, Any, None]:
        for step, delay in enumerate(delays):
            env.timeout(delay).callbacks.append(note(number, 100 + step))
            aside = env.event()
            aside._ok, aside._value = True, None
            env.schedule(aside, URGENT if step % 2 else NORMAL, delay)
            aside.callbacks.append(note(number, 200 + step))
            yield env.timeout(delay / 2)
            log.append((env.now, number, step))

    def note(number: int, step: int) -> Callable[[simpy.Event], None]:
        return lambda _event: log.append((env.now, number, step))

    for number, delays in enumerate(programs):
        env.process(lives(number, delays))
    env.run()
    return log


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages from the first event on, that small programs meet them."""
    monkeypatch.setattr("model.agenda.FULL", 0)


@given(PROGRAMS)
def test_the_order_of_events_is_simpys(programs: list[list[float]]) -> None:
    """Processes, timeouts and urgent events, at the same instants too."""
    assert told_by(Agenda(), programs) == told_by(simpy.Environment(), programs)


@given(PROGRAMS, st.floats(0.01, 30.0))
def test_stopping_and_going_on_changes_nothing(programs: list[list[float]], every_s: float) -> None:
    """`run(until=...)` again and again, as a run's end and its audit do."""

    def stopped(env: simpy.Environment) -> list[tuple[float, float]]:
        seen = []
        for delays in programs:
            for delay in delays:
                env.timeout(delay).callbacks.append(lambda _e: seen.append((env.now, 0.0)))
        for stop in range(1, 20):
            env.run(until=stop * every_s)
            seen.append((env.now, float(len(seen))))
        return seen

    assert stopped(Agenda()) == stopped(simpy.Environment())


def test_an_earlier_page_may_come_between() -> None:
    """A page scheduled before the one that was to be turned to next."""
    env, log = Agenda(), []
    for delay in (50.0, 10.0, 30.0, 10.1, 50.05):
        env.timeout(delay, delay).callbacks.append(lambda event: log.append(event.value))
    assert env.peek() == 10.0  # a sleep beside it looks here for how far it may go
    env.run()
    assert log == [10.0, 10.1, 30.0, 50.0, 50.05]


def test_the_heap_holds_what_is_near() -> None:
    """A thousand timers far away are one entry; this is what the class is for."""
    env = Agenda()
    for second in range(1, 1000):
        env.timeout(float(second))
    assert len(env._queue) == 1
    assert env.peek() == 1.0


def test_a_small_heap_needs_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundled sale has hundreds of timers at most, and pays for no turning."""
    monkeypatch.setattr("model.agenda.FULL", 3)
    env = Agenda()
    for second in (1.0, 2.0, 3.0, 4.0, 0.5, 0.1):
        env.timeout(second)
    turns = [at_s for at_s, _, _, event in env._queue if isinstance(event, TurnPage)]
    assert turns == [0.5, 4.0]
    env.run()
    assert env.now == 4.0


def test_what_never_happens_is_no_error() -> None:
    """A timer at infinity, as of a statement without a timeout."""
    env = Agenda()
    env.timeout(inf)
    env.timeout(1.0)
    env.run(until=5.0)
    assert env.now == 5.0
    assert env.peek() == 5.0  # SimPy's own leftover of the stop
    env.step()
    assert env.peek() == inf
