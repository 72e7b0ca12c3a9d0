"""The kernel: real synchronous code, one greenlet a request, driven by SimPy.

Each request of the reservation code runs in a greenlet. Whenever it touches the world (a Redis or
database connection, the payment provider, the clock) the boundary object calls `Kernel.wait`, which
switches to the SimPy process that drives the request; that process yields the event to SimPy and
switches back when it fires. Nothing in the code under test is changed or aware of it.

When no request is running (set-up, audit) boundaries act at once: `Kernel.current` is None.
"""

import hashlib
from collections.abc import Callable, Generator
from typing import Any

import simpy
from greenlet import getcurrent, greenlet

from chaos.faults import Leg, Target
from model.spec import Crossing

EPOCH_S = 1_767_225_600.0
"""The wall-clock second (2026-01-01T00:00Z) at which every simulated sale opens."""


class ServerDied(BaseException):
    """The application server running this request died; nothing after this line ever runs.

    A BaseException, so that the code under test cannot survive it in an `except Exception`.
    """


class Request:
    """One call of the reservation code in flight on an application server."""

    __slots__ = ("actor", "draw", "dying", "kind", "operation", "process", "server", "statements")

    def __init__(self, actor: str, kind: str, operation: str, server: Any, draw: Any) -> None:
        self.actor = actor
        self.kind = kind  # buyer | sweeper
        self.operation = operation  # hold | release | checkout | sweep | task
        self.server = server
        self.draw = draw  # this actor's own generator for travel times
        self.dying = False
        self.process: simpy.Process | None = None


class Trace:
    """The running hash of every crossing, and the crossings themselves when asked to keep them."""

    __slots__ = ("_hash", "count", "kept")

    def __init__(self, *, keep: bool) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.count = 0
        self.kept: list[Crossing] | None = [] if keep else None

    def note(
        self, at_s: float, actor: str, target: str, leg: str, label: str, outcome: str
    ) -> None:
        """Add one leg of one crossing."""
        self.count += 1
        self._hash.update(f"{at_s!r}|{actor}|{target}|{leg}|{label}|{outcome}\n".encode())
        if self.kept is not None:
            self.kept.append(
                Crossing(
                    at_s=at_s, actor=actor, target=target, leg=leg, label=label, outcome=outcome
                )
            )

    def digest(self) -> str:
        """The hash so far, in hexadecimal."""
        return self._hash.hexdigest()


class Kernel:
    """Runs requests in greenlets under one SimPy environment.

    `ambush` is called at every leg of every crossing while crossing-placed faults are armed; it is
    None otherwise, so that the common case costs nothing.
    """

    def __init__(self, *, keep_crossings: bool = False) -> None:
        self.env = simpy.Environment()
        self.current: Request | None = None
        self.trace = Trace(keep=keep_crossings)
        self.ambush: Callable[[Request, Target, Leg, str], None] | None = None
        self._hub = getcurrent()

    @property
    def now(self) -> float:
        """Virtual seconds since the sale opened."""
        return self.env.now

    def wait(self, event: simpy.Event) -> Any:
        """Suspend the current request until `event` fires; returns the event's value.

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
        """Suspend the current request for `seconds` of virtual time."""
        self.wait(self.env.timeout(seconds))

    def acquire(self, resource: simpy.Resource, timeout_s: float) -> Any:
        """Take one unit of a SimPy resource; None when `timeout_s` passed first."""
        claim = resource.request()
        if claim.triggered:
            return claim
        try:
            self.wait(claim | self.env.timeout(timeout_s))
        except BaseException:
            withdraw(resource, claim)
            raise
        if claim.triggered:
            return claim
        withdraw(resource, claim)
        return None

    def run(
        self, request: Request, call: Callable[[Any], Any], argument: Any
    ) -> Generator[simpy.Event, Any, Any]:
        """Drive `call(argument)` to its end; a SimPy process yields from this.

        Returns what `call` returns and raises what it raises; `ServerDied` when its server died.
        An interrupt of the SimPy process is how a server's death reaches the request.
        """
        body = greenlet(call)
        server = request.server
        value: Any = argument
        error: BaseException | None = None
        while True:
            try:
                while server.paused is not None:
                    yield server.paused
            except simpy.Interrupt:
                request.dying = True
                error = ServerDied()
            self.current = request
            try:
                event = body.switch(value) if error is None else body.throw(error)
            finally:
                self.current = None
            if body.dead:
                return event
            error = None
            try:
                value = yield event
            except simpy.Interrupt:
                request.dying = True
                error = ServerDied()
            except Exception as failure:  # noqa: BLE001 - an event that fails, fails its caller
                error = failure


def withdraw(resource: simpy.Resource, claim: Any) -> None:
    """Give a claim back, whether or not it was granted."""
    if claim.triggered:
        resource.release(claim)
    else:
        claim.cancel()
