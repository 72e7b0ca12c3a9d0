"""The kernel of explored worlds: time stands still, and every crossing waits for the chooser.

An actor's code runs in a greenlet until it wants to cross. There it stops, with a `Stop` that says
what it is about to do; `Actor.go_on` lets the effect happen and runs the code to its next stop. How
long anything takes is not modelled: whatever order is possible is one of the chooser's schedules.
"""

import hashlib
import marshal
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

from chaos.faults import Leg, Target
from model.database import DatabaseUnavailable
from model.exploring.touching import NOTHING, Touched, of_redis, of_sql
from model.kernel import Kernel, Places, ServerDied
from model.link import Link, ReplyLost, TravelTime

BEGIN = "begin"
PLAIN, LOST, DIES = "", "lost", "dies"
"""How a crossing goes: with its reply, without it, or with the caller's server dying on it."""


class Stop:
    """Where an actor waits: the store it is about to reach and what for."""

    __slots__ = ("detail", "incarnation", "label", "locks", "store", "touched")

    def __init__(
        self,
        store: str,
        label: str,
        detail: str = "",
        touched: Touched = NOTHING,
        *,
        locks: bool = False,
        incarnation: int = 0,
    ) -> None:
        self.store = store
        self.label = label
        self.detail = detail
        self.touched = touched
        self.locks = locks  # it needs the database's write lock first
        self.incarnation = incarnation  # of the server its connection was made to

    @property
    def name(self) -> str:
        """As a trace shows it."""
        return f"{self.store} {self.label}" if self.store != BEGIN else f"{BEGIN} {self.label}"


class Actor:
    """Somebody whose code runs here: a buyer, one of their second calls, a sweeper, a task.

    It stands where the kernel and the links of the simulator expect a request.
    """

    def __init__(self, kernel: "ChoosingKernel", name: str, kind: str) -> None:
        self.kernel = kernel
        self.actor = name
        self.kind = kind
        self.operation = ""
        self.server: Any = None
        self.dying = False
        self.leaving = False  # its world is being put away
        self.stop: Stop | None = None
        self.ended = False
        self.crash: BaseException | None = None
        self.database_life = 0  # of the database, when its latest connection to it was made
        self.calls = 0  # calls made so far; tells the clocks of two tries apart
        self.results: list[str] = []  # of this turn, for people
        self.io = hashlib.blake2b(digest_size=12)
        self._body: greenlet

    def start(self, program: Callable[["Actor"], None]) -> None:
        """Run the program up to its first stop."""

        def body() -> None:
            try:
                program(self)
            except ServerDied:
                pass  # the world is being put away
            except DatabaseUnavailable:  # the real server went away
                self._leave()
                raise
            except Exception as error:  # noqa: BLE001 - a crash of the code under test is told
                self.crash = error
            self._leave()

        self._body = greenlet(body)
        self._run(None)

    def _leave(self) -> None:
        self.ended = True
        self.stop = None

    def go_on(self, how: str) -> None:
        """Let the crossing it waits at happen, and run to the next stop or the end."""
        self.results = []
        self._run(how)

    def _run(self, how: str | None) -> None:
        kernel = self.kernel
        before, kernel.current = kernel.current, self  # type: ignore[assignment]
        hub, kernel.hub = kernel.hub, getcurrent()
        try:
            self._body.switch() if how is None else self._body.switch(how)
        finally:
            kernel.current, kernel.hub = before, hub

    def learn(self, result: object) -> None:
        """Note what the world told this actor: with its code, it decides what it does next."""
        text = result if isinstance(result, str) else repr(result)
        self.io.update(text.encode())
        self.io.update(b"\0")
        self.results.append(text)

    def put_away(self) -> None:
        """End its code where it stands."""
        if self.ended or self.stop is None:
            return
        self.dying = self.leaving = True
        while not self.ended:
            self._run(DIES)


class ChoosingKernel(Kernel):
    """A kernel in which nothing takes time, and crossings wait."""

    def __init__(self) -> None:
        super().__init__()
        self.hub: greenlet = getcurrent()
        self.how = PLAIN  # of the crossing under way
        self.read_clock = False  # whether this turn looked at the time
        self.intent: Stop | None = None  # what a client is about to ask its store
        self.tick = 0
        self.database_version = 0  # changes with every commit
        self.database_life = 0  # changes with every restart
        self.freed: Touched = NOTHING  # what transactions that ended in this turn let go
        self.swept_along = False  # whether somebody who was not chosen went on in this turn

    @property
    def stamp_s(self) -> float:
        """Now, with the turns since the sale opened in its micro-seconds: it orders a history."""
        return self.env.now + 1e-6 * self.tick

    def wait_for_the_chooser(self, stop: Stop) -> str:
        """Stop the running actor; returns how its crossing is to go.

        Raises:
            ServerDied: the world is being put away.
        """
        actor: Any = self.current
        if actor.dying:
            raise ServerDied
        actor.stop = stop
        how: str = self.hub.switch()
        actor.stop = None
        if actor.dying:
            raise ServerDied
        return how

    def sleep(self, seconds: float) -> None:  # noqa: ARG002 - time stands still
        """Pass no time: whoever might move meanwhile can move at the next crossing.

        Raises:
            ServerDied: as in the simulator.
        """
        if self.current is not None and self.current.dying:
            raise ServerDied

    def wait(self, event: Any) -> Any:
        """Refuse: nothing here waits for an event.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"an explored world waits for its chooser, never for {event!r}")

    def acquire(self, places: Places, timeout_s: float) -> bool:  # noqa: ARG002 - as in `sleep`
        """Take a place; False when its own caller holds the last one (it would wait for ever)."""
        return places.take()


class ChoosingLink(Link):
    """A link whose crossings wait for the chooser, once each, before their effect."""

    kernel: ChoosingKernel

    def request(self, label: str, travel: TravelTime) -> float:  # noqa: ARG002 - no time passes
        """Stop before the effect. Making a connection and rolling back decide nothing: no stop.

        Raises:
            ServerDied: the caller's server died, or the world is being put away.
        """
        kernel = self.kernel
        actor: Any = kernel.current
        if actor is None:
            return 0.0
        if actor.dying:
            raise ServerDied
        stop, kernel.intent = kernel.intent, None
        kernel.how = PLAIN
        if label in {"CONNECT", "ROLLBACK"}:
            return 0.0
        if stop is None:
            stop = Stop(str(self.target), label)
        kernel.how = kernel.wait_for_the_chooser(stop)
        return 0.0

    def reply(self, label: str, leg_s: float, after_s: float = 0.0, waited_s: float = 0.0) -> None:
        """Bring the answer back, or lose it.

        Raises:
            ReplyLost: the chooser wants so; the effect happened.
            ServerDied: the chooser wants so; the caller never learns anything.
        """
        del leg_s, after_s, waited_s
        kernel = self.kernel
        actor: Any = kernel.current
        if actor is None or label in {"CONNECT", "ROLLBACK"}:
            return
        how, kernel.how = kernel.how, PLAIN
        if how == LOST:
            actor.learn(f"{label}: reply lost")
            raise ReplyLost(label)
        if how == DIES:
            actor.learn(f"{label}: the server died")
            actor.dying = True
            raise ServerDied


def redis_stop(commands: list[list[bytes]], incarnation: int) -> Stop:
    """The stop of one Redis command, or of a pipeline."""
    touched = of_redis(commands)
    label = commands[0][0].decode()
    keys = sorted(one for one in touched[0] | touched[1] if one.startswith("redis:"))
    detail = " ".join(key.removeprefix("redis:") for key in keys if "(" not in key)
    return Stop(str(Target.REDIS), label, detail, touched, incarnation=incarnation)


def sql_stop(sql: str, parameters: Any, label: str, *, locks: bool, writing: bool) -> Stop:
    """The stop of one statement; `locks` if it writes, `writing` if the lock is its own already."""
    target = label.split(" ", 1)[1] if locks and " " in label else None
    if label.startswith("SELECT"):
        target = None
    touched = of_sql(sql, parameters, target=target)
    return Stop(str(Target.DATABASE), label, "", touched, locks=locks and not writing)


def plain_bytes(value: Any) -> bytes:
    """A value of numbers, texts, tuples, lists and dicts as bytes that are equal when it is."""
    return marshal.dumps(value, 2)


__all__ = [
    "BEGIN",
    "DIES",
    "LOST",
    "PLAIN",
    "Actor",
    "ChoosingKernel",
    "ChoosingLink",
    "Leg",
    "Stop",
    "plain_bytes",
    "redis_stop",
    "sql_stop",
]
