"""The kernel: real synchronous code, one greenlet a request, driven by SimPy.

Each request of the reservation code runs in a greenlet. Whenever it touches the world (a Redis or
database connection, the payment provider, the clock) the boundary object calls `Kernel.wait`, which
leaves the greenlet; SimPy enters it again when the awaited event fires. Nothing in the code under
test is changed or aware of it.

When no request is running (set-up, audit) boundaries act at once: `Kernel.current` is None.
"""

import hashlib
import marshal
from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import Any, Protocol

import simpy
from greenlet import getcurrent, greenlet
from simpy.events import NORMAL

from chaos.faults import Leg, Target
from model.agenda import Agenda
from model.spec import Crossing

EPOCH_S = 1_767_225_600.0
"""The wall-clock second (2026-01-01T00:00Z) at which every simulated sale opens."""


class ServerDied(BaseException):
    """The application server running this request died; nothing after this line ever runs.

    A BaseException, so that the code under test cannot survive it in an `except Exception`.
    """


class Host(Protocol):
    """As much of an application server as the kernel and the links look at."""

    paused: simpy.Event | None

    def chance(self, actor: str, purpose: str) -> float:
        """A uniform draw of one actor's own stream."""


def _with_room(job: "Job", leave: Callable[[Any], "Job"]) -> None:
    """The body of a reused greenlet: run one job after the other."""
    while True:
        try:
            job.result = job.call(job.argument)
        except (Exception, ServerDied) as failure:  # noqa: BLE001 - handed to who waits for it
            job.error = failure
        job.over = True
        job = leave(None)


# CPython (3.11 to 3.13) keeps Python frames in chunks of 16 KiB, and a call that crosses the end of
# a chunk maps a new one and unmaps it on return: some 50 us each time, at whatever call happens to
# stand there. A frame that asks for more than a chunk gets a larger one; with this one below them,
# SQLAlchemy's and redis-py's frames stay within it. Measured: runs took 1.6 times as long without.
_with_room.__code__ = _with_room.__code__.replace(co_stacksize=9_000)


class Job:
    """One call to be made in a greenlet."""

    __slots__ = ("argument", "call", "error", "over", "result")

    def __init__(self, call: Callable[[Any], Any], argument: Any) -> None:
        self.call = call
        self.argument = argument
        self.result: Any = None
        self.error: BaseException | None = None
        self.over = False


class WakeUp:
    """The end of a request's sleep: as much of a `simpy.Timeout` as SimPy's step looks at.

    Most waits of a crowded sale are sleeps, so this is made to cost little.
    """

    __slots__ = ("callbacks",)

    _ok = True
    _value = None

    def __init__(self, resume: Callable[[Any], None]) -> None:
        self.callbacks = (resume,)


class Request:
    """One call of the reservation code in flight on an application server.

    `start` enters it; `ended` is (result, error) when it is over, and `done` fires then if anybody
    asked for it. `kill` is how the death of its server reaches it.
    """

    __slots__ = (
        "_awaited",
        "_begun",
        "_body",
        "_done",
        "_job",
        "actor",
        "dying",
        "ended",
        "kernel",
        "kind",
        "operation",
        "pace",
        "server",
    )

    def __init__(
        self, kernel: "Kernel", actor: str, kind: str, operation: str, server: Any, pace: Any
    ) -> None:
        self.kernel = kernel
        self.actor = actor
        self.kind = kind  # buyer | sweeper
        self.operation = operation  # hold | release | checkout | sweep | task
        self.server = server
        self.pace = pace  # this actor's own `model.link.Pace`
        self.dying = False
        self.ended: tuple[Any, BaseException | None] | None = None
        self._done: simpy.Event | None = None
        self._begun = False
        self._body: greenlet
        self._job: Job
        self._awaited: simpy.Event | WakeUp | None = None

    def start(self, call: Callable[[Any], Any], argument: Any) -> None:
        """Enter `call(argument)` now, or when its paused server goes on."""
        job = self._job = Job(call, argument)
        self._body = self.kernel.greenlet_for_a_job()
        paused = self.server.paused
        if paused is None:
            self._enter(job, None)
            return
        begin = self._awaited = simpy.Event(self.kernel.env)
        begin._value = job  # noqa: SLF001 - handed on when the pause ends
        self._after(paused, begin)

    def _after(self, paused: simpy.Event, event: simpy.Event | WakeUp) -> None:
        """Resume in an event of one's own: those who wait together go on together, not in turn."""

        def nudge(_event: simpy.Event) -> None:
            own = simpy.Event(self.kernel.env).succeed()
            assert own.callbacks is not None
            own.callbacks.append(lambda _own: self.resume(event))

        assert paused.callbacks is not None
        paused.callbacks.append(nudge)

    @property
    def done(self) -> simpy.Event:
        """An event that fires when the request is over; ask once, while it is not."""
        self._done = simpy.Event(self.kernel.env)
        return self._done

    def kill(self) -> None:
        """The server died: raise `ServerDied` where the request waits (its caller, if it runs)."""
        if self.dying or self.ended is not None:
            return
        self.dying = True
        if self.kernel.current is not self:
            self._awaited = None
            blow = simpy.Event(self.kernel.env).succeed()
            assert blow.callbacks is not None
            blow.callbacks.append(lambda _event: self._enter(None, ServerDied()))

    def resume(self, event: simpy.Event | WakeUp) -> None:
        """The awaited event fired."""
        if event is not self._awaited:
            return  # the request was killed meanwhile
        paused = self.server.paused
        if paused is not None:
            self._after(paused, event)
            return
        self._enter(event._value, None)  # noqa: SLF001 - the property costs a call per crossing

    def _enter(self, value: Any, error: BaseException | None) -> None:
        """Run the code until it waits again or ends."""
        body, job, kernel = self._body, self._job, self.kernel
        if error is not None and not self._begun:
            job.error, job.over = error, True
            self._end()
            return
        self._begun = True
        while True:
            kernel.current = self
            event = body.switch(value) if error is None else body.throw(error)
            kernel.current = None
            if type(event) is WakeUp:
                self._awaited = event
                return
            if job.over:
                self._end()
                return
            if event.callbacks is not None:
                self._awaited = event
                event.callbacks.append(self.resume)
                return
            value, error = event._value, None  # noqa: SLF001 - it had fired already

    def result(self) -> tuple[Any, BaseException | None]:
        """Hand over what the call returned or raised, once; the request forgets it."""
        assert self.ended is not None
        ended, self.ended = self.ended, (None, None)
        return ended

    def _end(self) -> None:
        self.kernel.idle.append(self._body)
        job = self._job
        self.ended = (job.result, job.error)
        job.result = job.error = None
        if self._done is not None:
            self._done.succeed()


class Trace:
    """The running hash of every crossing, and the crossings themselves when asked to keep them."""

    __slots__ = ("_hash", "_pending", "count", "kept")

    _BATCH = 4096

    def __init__(self, *, keep: bool) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._pending: list[tuple[float, str, str, str, str, str]] = []
        self.count = 0
        self.kept: list[Crossing] | None = [] if keep else None

    def note(
        self, at_s: float, actor: str, target: str, leg: str, label: str, outcome: str
    ) -> None:
        """Add one leg of one crossing; every text a plain `str`, which is what gets hashed."""
        self._pending.append((at_s, actor, target, leg, label, outcome))
        if len(self._pending) >= self._BATCH:
            self._flush()

    def _flush(self) -> None:
        """Hash what is pending; marshal is the cheapest exact form (version 2: no object refs)."""
        if not self._pending:
            return  # asking for the digest twice must not change it
        self._hash.update(marshal.dumps(self._pending, 2))
        self.count += len(self._pending)
        if self.kept is not None:
            self.kept += [
                Crossing(at_s=a, actor=b, target=c, leg=d, label=e, outcome=f)
                for a, b, c, d, e, f in self._pending
            ]
        self._pending.clear()

    def digest(self) -> str:
        """The hash so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()


class Places:
    """A counted resource (workers, connections, a lock), first come, first served.

    Like `simpy.Resource`, built on SimPy events, except that taking a free place costs no event.
    """

    __slots__ = ("_env", "_queue", "capacity", "taken")

    def __init__(self, env: simpy.Environment, capacity: int) -> None:
        self._env = env
        self.capacity = capacity
        self.taken = 0
        self._queue: deque[simpy.Event] = deque()

    def take(self) -> bool:
        """Take a place if one is free and nobody waits."""
        if self.taken < self.capacity and not self._queue:
            self.taken += 1
            return True
        return False

    def join(self) -> simpy.Event:
        """Queue up; the event fires with True when the place is yours, False when they closed."""
        place = simpy.Event(self._env)
        self._queue.append(place)
        return place

    def leave(self, place: simpy.Event) -> None:
        """Stop waiting; gives the place back if it had just been granted."""
        if not place.triggered:
            self._queue.remove(place)
        elif place.value:
            self.free()

    def free(self) -> None:
        """Give a place back, to whoever waits longest."""
        if self._queue:
            self._queue.popleft().succeed(True)
        else:
            self.taken -= 1

    def close(self) -> None:
        """Send everybody who waits away."""
        while self._queue:
            self._queue.popleft().succeed(False)


class Kernel:
    """One virtual world: SimPy's environment, the request that runs now, and the trace.

    `ambush` is called at every leg of every crossing while crossing-placed faults are armed; it is
    None otherwise, so that the common case costs nothing.
    """

    def __init__(self, *, keep_crossings: bool = False) -> None:
        self.env = Agenda()
        self.current: Request | None = None
        self.trace = Trace(keep=keep_crossings)
        self.ambush: Callable[[Request, Target, Leg, str], None] | None = None
        self.idle: list[greenlet] = []
        self._hub = getcurrent()

    def greenlet_for_a_job(self) -> greenlet:
        """A greenlet that takes a `Job` when switched to; used ones are reused."""
        if self.idle:
            return self.idle.pop()
        hub = self._hub
        return greenlet(lambda job: _with_room(job, hub.switch))

    @property
    def now(self) -> float:
        """Virtual seconds since the sale opened."""
        return self.env.now

    def wait(self, event: simpy.Event) -> Any:
        """Leave the current request until `event` fires; returns the event's value.

        Raises:
            ServerDied: the request's server died meanwhile (or already).
        """
        request = self.current
        if request is None:
            raise RuntimeError("Kernel.wait outside a request: set-up and audit must not block")
        if request.dying:
            raise ServerDied
        return self._hub.switch(event)

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass for the current request.

        When nothing at all is due before then, there is nobody to switch to: the clock is moved and
        the request goes on. Most legs of most crossings end here, which is what makes runs cheap.

        Raises:
            ServerDied: as `wait`.
        """
        request = self.current
        if request is None:
            raise RuntimeError("Kernel.sleep outside a request: set-up and audit must not block")
        if request.dying:
            raise ServerDied
        env = self.env
        wakes_s = env._now + seconds  # noqa: SLF001
        queue = env._queue  # noqa: SLF001
        if queue and queue[0][0] > wakes_s and request.server.paused is None:
            env._now = wakes_s  # noqa: SLF001
            return
        wake_up: Any = WakeUp(request.resume)
        heappush(queue, (wakes_s, NORMAL, next(env._eid), wake_up))  # noqa: SLF001
        self._hub.switch(wake_up)

    def acquire(self, places: Places, timeout_s: float) -> bool:
        """Take one place for the current request; False when `timeout_s` passed first."""
        if places.take():
            return True
        place = places.join()
        try:
            self.wait(place | self.env.timeout(timeout_s))
        except BaseException:
            places.leave(place)
            raise
        if place.triggered:
            return bool(place.value)
        places.leave(place)
        return False
