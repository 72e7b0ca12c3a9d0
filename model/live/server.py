"""The runner's end of one application server: its process, its sockets, its calls in flight."""

import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import simpy

from model.kernel import Places
from model.live import wire
from model.live.app_server import ServerSettings
from model.live.crossings import Trap
from model.live.loop import RealTime
from model.live.nursery import Nursery

BUFFER_BYTES = 1 << 20
News = Callable[..., None]
OUTLIVES = frozenset({"task", "lost"})
"""News that stay true when who sent them has died."""


class AppServer:
    """One application server, from process to process.

    `on_news` maps what a server says of its own accord to who hears it; each gets this server
    first. A call's event carries its answer, or None when the server died with the call in it.
    """

    def __init__(
        self, loop: RealTime, nursery: Nursery, settings: ServerSettings, on_news: dict[str, News]
    ) -> None:
        self.name = f"app-{settings.number}"
        self.alive = False
        self.answered = 0
        self.ready: simpy.Event = loop.env.event()
        self.workers = Places(loop.env, settings.workers)
        self._loop = loop
        self._nursery = nursery
        self._settings = settings
        self._on_news = on_news
        self._pid = 0
        self._numbers = 0
        self._calls: dict[int, simpy.Event] = {}
        self._unsent: deque[bytes] = deque()
        self._standing: dict[str, tuple[Any, ...]] = {}  # what a new process must be told too
        self._sockets: list[socket.socket] = []
        self._stopped = False

    def start(self) -> None:
        """A fresh process: empty pools, no memory. `ready` fires when it takes calls."""
        self.ready = self._loop.env.event()
        self.workers = Places(self._loop.env, self._settings.workers)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self._sockets = [ours for ours, _ in pairs]
        for ours in self._sockets:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        theirs = [theirs for _, theirs in pairs]
        self._pid = self._nursery.fork(self._settings, theirs)
        for sock in theirs:
            sock.close()
        self._loop.watch(self._sockets[0], partial(self._hear, self._sockets[0], self._answer))
        self._loop.watch(self._sockets[1], partial(self._hear, self._sockets[1], self._news))
        for message in self._standing.values():
            self._say(message)

    def call(self, actor: str, kind: str, operation: str, command: wire.Command) -> simpy.Event:
        """Send one call to a worker (a place must have been taken)."""
        self._numbers += 1
        event = self._calls[self._numbers] = self._loop.env.event()
        raw = wire.pack((self._numbers, actor, kind, operation, command.method, command.arguments))
        self._unsent.append(raw)
        self._flush()
        return event

    def set_trap(self, trap: Trap) -> None:
        """Wait for a crossing, in this process and its successors."""
        self._stand(f"trap {trap.number}", ("trap", *trap))

    def clear_trap(self, number: int) -> None:
        """Wait for it no more."""
        self._standing.pop(f"trap {number}", None)
        if self.alive:
            self._say(("untrap", number))

    def lose(self, target: str, probability: float) -> None:
        """Lose each reply of `target` with this probability."""
        self._stand(f"lose {target}", ("lose", target, probability))

    def step_clock(self, step_s: float) -> None:
        """Move the clock by so many wall seconds; a restarted process keeps the machine's step."""
        before = self._standing.get("step", ("step", 0.0))[1]
        self._standing["step"] = ("step", before + step_s)
        if self.alive:
            self._say(("step", step_s))

    @property
    def process(self) -> int:
        """The id of the process it runs in now; 0 while there is none."""
        return self._pid

    def answer(self, process: int, number: int, *answer: Any) -> None:
        """Answer a question of one process; its successor counts its own questions from 1."""
        if self.alive and process == self._pid:
            self._say(("answer", number, *answer))

    def kill(self) -> None:
        """SIGKILL: the process dies with every request in it."""
        if not self._pid:
            return
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        if self._sockets:
            self._hear(self._sockets[1], self._news)  # what it had said already is heard
        self._gone()

    def pause(self) -> None:
        """SIGSTOP."""
        if not self._pid:
            return  # nothing is there to stop; process 0 would be our own group
        self._stopped = True
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT; repeatable."""
        if self._stopped and self._pid:
            self._stopped = False
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGCONT)

    def _gone(self) -> None:
        self.alive = False
        self._stopped = False
        self._pid = 0
        for sock in self._sockets:
            self._loop.forget(sock)
            sock.close()
        self._sockets = []
        self._unsent.clear()
        calls, self._calls = self._calls, {}
        for event in calls.values():
            event.succeed(None)
        self.workers.close()

    def _stand(self, key: str, message: tuple[Any, ...]) -> None:
        self._standing[key] = message
        if self._sockets:
            self._say(message)

    def _say(self, message: tuple[Any, ...]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self._sockets[1].send(wire.pack(message))

    def _flush(self) -> None:
        """Send what the kernel takes; a paused server's socket may be full."""
        while self._unsent and self._sockets:
            try:
                self._sockets[0].send(self._unsent[0])
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                return  # its death is about to be heard
            self._unsent.popleft()

    def _hear(self, sock: socket.socket, take: Callable[[tuple[Any, ...]], None]) -> None:
        while sock.fileno() >= 0:
            try:
                raw = sock.recv(wire.LARGEST)
            except BlockingIOError:
                return
            except ConnectionResetError:
                raw = b""
            if not raw:
                self._loop.forget(sock)
                self._loop.post(partial(self._died, self._pid))
                return
            self._loop.post(partial(self._take, self._pid, take, wire.unpack(raw)))

    def _take(
        self, pid: int, take: Callable[[tuple[Any, ...]], None], message: tuple[Any, ...]
    ) -> None:
        # Else it was killed in this very turn: calls end with it, a delayed task does not.
        if pid == self._pid or message[0] in OUTLIVES:
            take(message)

    def _answer(self, message: tuple[Any, ...]) -> None:
        number, *rest = message
        self.answered += 1
        self._calls.pop(number).succeed(rest)
        if self._unsent:
            self._flush()

    def _news(self, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "ready":
            self.alive = True
            self.ready.succeed()
            return
        self._on_news[kind](self, *rest)

    def _died(self, pid: int) -> None:
        """The process ended without being asked to: a defect of its own, not a fault."""
        if pid != self._pid:
            return
        self._gone()
        raise wire.StrategyCrashed(
            f"{self.name} ended by itself (out of memory, or killed from outside)"
        )
