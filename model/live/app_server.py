"""An application server: a process of its own with worker threads, pools and a strategy.

It is forked by `model.live.nursery` and talks to the runner over two sequenced-packet sockets. On
the first, each worker takes one call at a time and puts its answer back; the kernel hands a call to
one idle worker, so nothing stands in between. The second carries the rest: payments, delayed tasks,
traps and clocks. What was sent on it survives the sender's death, as a task queue's rows would.
"""

import ctypes
import itertools
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple, NoReturn

from chaos.faults import Leg, Target
from model.buyers import EVENT_ID
from model.live import wire
from model.live.crossings import Crossings, Trap
from model.live.database_client import make_engine
from model.live.redis_client import make_client
from model.scenario import Isolation
from reservation.api import PaymentStatus, PaymentTimeout, Stores
from reservation.catalogue import find
from reservation.conflicts import retrying
from reservation.errors import NotApplied, Refused, UnknownOutcome

THREAD_STACK_BYTES = 512 * 1024  # 200 workers a server; the default asks for 8 MiB each
SWITCH_INTERVAL_S = 0.001
"""A worker that is handed an answer waits for the interpreter at most so long (default: 5 ms)."""
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2), PR_SET_PDEATHSIG


class ServerSettings(NamedTuple):
    """What a server is started with; every length in wall seconds."""

    number: int
    seed: int
    strategy: str
    options: dict[str, Any]
    redis_url: str | None
    database_url: str
    workers: int
    database_pool: int
    database_pool_timeout_s: float
    database_timeout_s: float
    lock_timeout_s: float
    redis_pool: int
    redis_timeout_s: float
    redis_retries: int
    backoff_s: tuple[float, float]
    skew_s: float
    isolation: Isolation
    conflict_retries: int
    statement_timeout_s: float  # 0: none


class SkewedClock:
    """The machine's clock plus this server's error."""

    def __init__(self, skew_s: float) -> None:
        self.skew_s = skew_s

    def now(self) -> float:
        """Epoch seconds on this server."""
        return time.time() + self.skew_s

    def sleep(self, seconds: float) -> None:
        """Wait; other workers go on."""
        time.sleep(seconds)


class Line:
    """The second socket: questions that are answered by number, and news that are not."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._numbers = itertools.count(1)
        self._asked: dict[int, queue.SimpleQueue[tuple[Any, ...]]] = {}
        self.on_news: dict[str, Callable[..., None]] = {}

    def tell(self, *message: Any) -> None:
        """Send news; once this returns it outlives this process."""
        self._socket.send(wire.pack(message))

    def ask(self, *message: Any) -> tuple[Any, ...]:
        """Ask, and wait for the answer however long it takes."""
        number = next(self._numbers)
        box: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._asked[number] = box
        self.tell("ask", number, *message)
        return box.get()

    def listen(self) -> NoReturn:
        """Hand out what the runner says, until it is gone; then this process goes too."""
        while True:
            raw = self._socket.recv(wire.LARGEST)
            if not raw:
                os._exit(0)
            kind, *rest = wire.unpack(raw)
            if kind == "answer":
                self._asked.pop(rest[0]).put(tuple(rest[1:]))
            else:
                self.on_news[kind](*rest)


class Gateway:
    """The payment provider as this server sees it: the runner's ledger at the end of the line."""

    def __init__(self, line: Line, crossings: Crossings) -> None:
        self._line = line
        self._crossings = crossings

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        """See `reservation.api.PaymentGateway`."""
        return self._call("capture", key, amount_cents)

    def refund(self, key: str) -> PaymentStatus:
        """See `reservation.api.PaymentGateway`."""
        return self._call("refund", key, 0)

    def lookup(self, key: str) -> PaymentStatus:
        """See `reservation.api.PaymentGateway`."""
        return self._call("lookup", key, 0)

    def _call(self, what: str, key: str, amount_cents: int) -> PaymentStatus:
        self._crossings.request(Target.PAYMENT, what)
        (status,) = self._line.ask("pay", what, key, amount_cents, self._crossings.caller.actor)
        if self._crossings.loses_reply(Target.PAYMENT, what) or status is None:
            raise PaymentTimeout("the payment provider's answer did not arrive")
        return PaymentStatus(status)


class Tasks:
    """The shop's durable task queue: the runner keeps it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def schedule(self, at: float, name: str, argument: str) -> None:
        """See `reservation.api.DelayedTasks`."""
        self._line.tell("task", at, name, argument)


def serve(calls: socket.socket, line_socket: socket.socket, settings: ServerSettings) -> NoReturn:
    """Be this application server until the runner is gone or a signal comes; never returns."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    line = Line(line_socket)

    def spring(trap: Trap, label: str, actor: str) -> bool:
        return line.ask("sprung", trap.number, label, actor, trap.leg) == (Leg.REPLY,)

    draw = Random(f"{settings.seed}|loss|{settings.number}")
    crossings = Crossings(draw, spring, lambda target: line.tell("lost", target))
    clock = SkewedClock(settings.skew_s)
    strategy = _build(settings, line, crossings, clock)

    def step_clock(step_s: float) -> None:
        clock.skew_s += step_s

    with suppress(NotApplied, UnknownOutcome):  # a store may be down: then the first buyer waits
        strategy.availability(EVENT_ID)  # opens connections, and makes SQLAlchemy get to know them
    line.on_news = {
        "trap": lambda *fields: crossings.set_trap(Trap(*fields)),
        "untrap": crossings.clear_trap,
        "lose": crossings.lose,
        "step": step_clock,
    }
    threading.stack_size(THREAD_STACK_BYTES)
    for _ in range(settings.workers):
        threading.Thread(target=_work, args=(calls, strategy, crossings), daemon=True).start()
    line.tell("ready", os.getpid())
    line.listen()


def _die_with_parent() -> None:
    """Be killed when the nursery is, also while stopped (Linux; elsewhere the closed line does)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _build(settings: ServerSettings, line: Line, crossings: Crossings, clock: SkewedClock) -> Any:
    engine = make_engine(
        settings.database_url,
        crossings,
        connections=settings.database_pool,
        pool_timeout_s=settings.database_pool_timeout_s,
        timeout_s=settings.database_timeout_s,
        lock_timeout_s=settings.lock_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
        isolation=settings.isolation,
    )
    redis = None
    if settings.redis_url is not None:
        redis = make_client(
            settings.redis_url,
            crossings,
            connections=settings.redis_pool,
            timeout_s=settings.redis_timeout_s,
            retries=settings.redis_retries,
            backoff_s=settings.backoff_s,
        )
    stores = Stores(
        engine=engine,
        redis=redis,
        payments=Gateway(line, crossings),
        clock=clock,
        tasks=Tasks(line),
    )
    strategy = find(settings.strategy).build(stores, settings.options)
    return retrying(strategy, clock, settings.conflict_retries)


def _work(calls: socket.socket, strategy: Any, crossings: Crossings) -> None:
    """One worker: a call, its answer, the next call."""
    caller = crossings.caller
    while True:
        raw = calls.recv(wire.LARGEST)
        if not raw:
            os._exit(0)
        number, actor, kind, operation, method, arguments = wire.unpack(raw)
        caller.actor, caller.kind, caller.operation = actor, kind, operation
        try:
            answer: tuple[Any, ...] = (number, "ok", wire.obey(strategy, method, arguments))
        except (Refused, NotApplied, UnknownOutcome) as error:
            answer = (number, type(error).__name__, str(error))
        except Exception:  # noqa: BLE001 - a defect of the code under test, told to the runner
            answer = (number, "crash", traceback.format_exc())
        calls.send(wire.pack(answer))
