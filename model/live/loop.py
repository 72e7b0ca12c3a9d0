"""SimPy in real time: an event loop that sleeps until the next event or until somebody answers.

`simpy.rt` cannot be woken from outside, so this drives a plain `simpy.Environment` itself: timed
events are stepped when their moment has come, answers of application servers and of threads are
taken as they arrive. `env.now` is in the scenario's seconds. How late timed events were handled is
written down: a generator that lags puts less load on the servers than the scenario asks for.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Self

import simpy

from model.live.timescale import TimeScale

LONGEST_SLEEP_S = 0.05  # an interrupt is heard within this time
LATE_S = 0.05
"""Wall seconds at the 99th percentile beyond which a run says that its generator lagged."""


class RealTime:
    """One run's clock, schedule and ears.

    `stop` is called in every turn and may raise (KeyboardInterrupt, when the user asked for it).
    """

    def __init__(self, scale: TimeScale, stop: Callable[[], None]) -> None:
        self.env = simpy.Environment()
        self.scale = scale
        self.lateness_s: list[float] = []  # wall seconds, of every timed event
        self._stop = stop
        self._inbox: deque[Callable[[], None]] = deque()
        scale.opened_at = time.time()
        self._selector = selectors.DefaultSelector()
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack")
        self._finished: deque[tuple[simpy.Event, Future[Any]]] = deque()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._ring.setblocking(False)
        self.watch(self._bell, self._hear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._selector.close()
        self._bell.close()
        self._ring.close()

    def open(self) -> None:
        """The sale opens now: second 0 of the scenario. Nothing may be scheduled yet."""
        assert self.env.peek() == inf, "scheduled before the sale opened"
        self.scale.opened_at = time.time()
        self.env._now = 0.0  # noqa: SLF001
        self.lateness_s.clear()

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `sock` can be read; it reads, and posts what it has read."""
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def forget(self, sock: socket.socket) -> None:
        """Stop watching; repeatable."""
        with suppress(KeyError):
            self._selector.unregister(sock)

    def in_thread(self, work: Callable[[], Any]) -> simpy.Event:
        """Do blocking work beside the loop, one piece after the other; the event carries its end.

        Whoever waits for the event gets the result, or the exception raised in him.
        """
        event = self.env.event()
        future = self._threads.submit(work)
        future.add_done_callback(lambda done: self._done(event, done))
        return event

    def run(self, until: simpy.Event | float) -> None:
        """Go on until an event has happened, or until a second of the scenario."""
        if not isinstance(until, simpy.Event):
            until = self.env.timeout(max(0.0, until - self.env.now))
        while not until.processed:
            self._turn()

    def post(self, deliver: Callable[[], None]) -> None:
        """Have an answer that was read taken in this turn, after all that was due before it.

        Called by those who are told that their socket can be read. An operation then ends in the
        history no earlier than it really did, however late this loop is: else a hold could seem to
        be granted before the deadline of the one that made room for it.
        """
        self._inbox.append(deliver)

    def _turn(self) -> None:
        self._stop()
        self._step_until(self.scale.now_s())
        wait_s = self.scale.length(self.env.peek() - self.scale.now_s())
        for key, _ in self._selector.select(min(max(0.0, wait_s), LONGEST_SLEEP_S)):
            key.data()
        if self._inbox:
            now_s = self.scale.now_s()  # all that is in the inbox has happened by now
            self._step_until(now_s)
            self.env._now = max(self.env.now, now_s)  # noqa: SLF001
            while self._inbox:
                self._inbox.popleft()()

    def _step_until(self, now_s: float) -> None:
        """Let everything happen that is due."""
        env = self.env
        while (due_s := env.peek()) <= now_s:
            if due_s > env.now:
                self.lateness_s.append((self.scale.now_s() - due_s) / self.scale.factor)
            env.step()

    def _done(self, event: simpy.Event, future: Future[Any]) -> None:
        self._finished.append((event, future))
        try:
            self._ring.send(b"!")
        except (BlockingIOError, OSError):
            return  # it rings already, or the run is over

    def _hear(self) -> None:
        while True:
            try:
                if not self._bell.recv(4096):
                    break
            except BlockingIOError:
                break
        while self._finished:
            self.post(partial(self._finish, *self._finished.popleft()))

    def _finish(self, event: simpy.Event, future: Future[Any]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            event.succeed(future.result())
        elif isinstance(error, Exception):
            event.fail(error)
        else:
            raise error
