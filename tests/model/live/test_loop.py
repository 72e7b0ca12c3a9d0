"""SimPy in real time."""

import threading
import time
from collections.abc import Generator
from typing import Any

import pytest
import simpy

from model.live.loop import RealTime
from model.live.timescale import TimeScale

FACTOR = 1000.0  # a scenario's second takes a millisecond


def going_on() -> None:
    """Nobody wants the end."""


def test_events_come_in_order_and_not_before_their_time() -> None:
    """Timed events happen when the wall clock says so, in the order of their times."""
    seen: list[float] = []
    with RealTime(TimeScale(FACTOR), going_on) as loop:
        loop.open()

        def wait(seconds: float) -> Generator[simpy.Event, Any, None]:
            yield loop.env.timeout(seconds)
            assert loop.scale.now_s() >= seconds
            seen.append(seconds)

        for seconds in (30.0, 10.0, 20.0):
            loop.env.process(wait(seconds))
        loop.run(40.0)
        assert loop.env.now >= 40.0
    assert seen == [10.0, 20.0, 30.0]


def test_a_sleeping_loop_is_woken_by_an_answer() -> None:
    """Blocking work goes on beside the loop, and its result wakes it at once."""
    with RealTime(TimeScale(FACTOR), going_on) as loop:
        loop.open()
        loop.env.timeout(60_000.0)  # a minute of wall time: nobody waits for that
        began_s = time.monotonic()
        event = loop.in_thread(lambda: threading.current_thread().name)
        loop.run(event)
        assert time.monotonic() - began_s < 5.0
        assert str(event.value).startswith("stack")
        assert loop.env.now < 60_000.0


def test_what_fails_in_a_thread_is_raised_where_it_is_waited_for() -> None:
    """An exception crosses from the thread into the process that waits."""
    caught: list[str] = []

    def fail() -> None:
        raise ValueError("the server is gone")

    with RealTime(TimeScale(FACTOR), going_on) as loop:
        loop.open()

        def ask() -> Generator[simpy.Event, Any, None]:
            try:
                yield loop.in_thread(fail)
            except ValueError as error:
                caught.append(str(error))

        loop.run(loop.env.process(ask()))
    assert caught == ["the server is gone"]


def test_a_late_generator_is_written_down() -> None:
    """Whatever keeps the loop from its events shows in their lateness (a positive control)."""
    with RealTime(TimeScale(FACTOR), going_on) as loop:
        loop.open()

        def block() -> Generator[simpy.Event, Any, None]:
            yield loop.env.timeout(1.0)
            time.sleep(0.2)
            yield loop.env.timeout(1.0)

        loop.run(loop.env.process(block()))
        assert max(loop.lateness_s) > 0.15


def test_an_interrupt_is_heard_while_nothing_happens() -> None:
    """`stop` is asked many times a second, also in the longest sleep."""
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise KeyboardInterrupt

    with RealTime(TimeScale(FACTOR), stop) as loop:
        loop.open()
        began_s = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            loop.run(60_000.0)
        assert time.monotonic() - began_s < 5.0


def test_an_answer_is_taken_after_what_was_due_before_it() -> None:
    """A late loop writes an answer down when it came, never earlier, and time never goes back."""
    seen: list[tuple[str, float]] = []
    blocked = threading.Event()
    with RealTime(TimeScale(FACTOR), going_on) as loop:
        loop.open()

        def tick(at_s: float) -> Generator[simpy.Event, Any, None]:
            yield loop.env.timeout(at_s)
            seen.append((f"due {at_s:g}", loop.env.now))

        def work() -> float:
            blocked.wait()
            return loop.scale.now_s()

        def ask() -> Generator[simpy.Event, Any, None]:
            answered = loop.in_thread(work)
            yield loop.env.timeout(1.0)
            blocked.set()
            time.sleep(0.1)  # the loop is late: the answer is there, and much is due
            answered_s = yield answered
            assert loop.env.now >= answered_s
            seen.append(("answer", loop.env.now))

        for at_s in (20.0, 40.0, 60.0):
            loop.env.process(tick(at_s))
        loop.run(loop.env.process(ask()))
    assert [what for what, _ in seen] == ["due 20", "due 40", "due 60", "answer"]
    assert [at_s for _, at_s in seen] == sorted(at_s for _, at_s in seen)
