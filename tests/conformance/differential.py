"""One sequence of steps, taken by the simulated Redis and by a real one, and where they part.

The real server has the real clock, and the simulated one follows it: before each step its virtual
clock is brought to the same instant. What is left is the time one command takes, so replies that
tell a time may differ by `CLOCK_MS`; everything else must be the same. No step is taken while a
deadline is near: the runner lets it pass first. When this machine stalls in the middle of a step,
nothing can be said, and the whole sequence is taken again.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from chaos.faults import Death
from tests.conformance.arms import RealArm, Refusal, Reply, SimulatedArm, Wire

STALLED_S = 0.015  # a step that took longer says nothing
CLOCK_MS = 32  # two steps: that which set a deadline, and that which tells it
NEAR_S = 0.035
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Command:
    """A command, on the first or the second connection."""

    words: tuple[bytes, ...]
    wire: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a strategy's own code, which sends what it sends in production."""

    name: str
    call: Callable[[redis.Redis], Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    ms: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The server ends, time passes, and it comes back."""

    death: Death
    down_ms: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An RDB snapshot is completed."""


Step = Command | Call | Wait | Restart | Snapshot


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where the two parted."""

    steps: tuple[Step, ...]
    at: int
    what: str
    real: Reply
    simulated: Reply

    def __str__(self) -> str:
        story = "\n".join(
            f"  {number}. {step}" for number, step in enumerate(self.steps[: self.at])
        )
        return (
            f"after\n{story}\n{self.what}\n  real:      {self.real!r}\n"
            f"  simulated: {self.simulated!r}"
        )


class Stalled(Exception):
    """This machine stopped for a moment; nothing can be said about times."""


def disagreement(
    real: RealArm, simulate: Callable[[], SimulatedArm], steps: Sequence[Step]
) -> Disagreement | None:
    """Take the steps on both, and say where they part first (None: nowhere).

    Raises:
        Stalled: this machine stalled at each attempt.
    """
    for attempt in range(ATTEMPTS):
        real.reset()
        pair = _Pair(real, simulate())
        try:
            return pair.take(tuple(steps))
        except Stalled:
            if attempt == ATTEMPTS - 1:
                raise
        finally:
            pair.close()
    return None


class _Pair:
    def __init__(self, real: RealArm, simulated: SimulatedArm) -> None:
        self.real = real
        self.simulated = simulated
        self._wires: list[tuple[Wire, Wire]] = []
        self._connect()

    def _connect(self) -> None:
        self._wires = [(Wire(self.real.client()), Wire(self.simulated.client())) for _ in range(2)]

    def close(self) -> None:
        for pair in self._wires:
            for wire in pair:
                wire.close()
        self._wires = []

    def take(self, steps: tuple[Step, ...]) -> Disagreement | None:
        for number, step in enumerate(steps, start=1):
            parted = self._take(step)
            if parted is not None:
                what, real, simulated = parted
                return Disagreement(steps, number, what, real, simulated)
        self.close()
        self._connect()  # transactions that are still open end here
        parted = self._compare_contents()
        return None if parted is None else Disagreement(steps, len(steps), *parted)

    def _take(self, step: Step) -> tuple[str, Reply, Reply] | None:
        if isinstance(step, Wait):
            time.sleep(step.ms / 1000)
            return None
        if isinstance(step, Command):
            return self._command(step.words, step.wire)
        if isinstance(step, Call):
            return self._both(
                step.name,
                lambda: _called(step.call, self.real.client()),
                lambda: _called(step.call, self.simulated.client()),
            )
        if isinstance(step, Snapshot):
            self._step_aside()
            self.real.snapshot()
            self.simulated.snapshot()
            return None
        self._step_aside()
        self.close()
        for arm in (self.real, self.simulated):
            arm.die(step.death)
        time.sleep(step.down_ms / 1000)
        self.real.start()
        self.simulated.follow()
        self.simulated.start()
        self._connect()
        return self._compare_contents()

    def _command(self, words: tuple[bytes, ...], wire: int = 0) -> tuple[str, Reply, Reply] | None:
        real, simulated = self._wires[wire]
        name = words[0].upper()
        return self._both(
            b" ".join(words).decode(errors="replace"),
            lambda: _in_order(name, real.send(*words)),
            lambda: _in_order(name, simulated.send(*words)),
            tells_seconds=name == b"TTL",
            tells_ms=name == b"PTTL",
        )

    def _step_aside(self) -> None:
        """Let a deadline that is near pass."""
        while True:
            self.simulated.follow()
            left_s = self.simulated.next_deadline_in()
            if abs(left_s) > NEAR_S:
                return
            time.sleep(NEAR_S / 4)

    def _both(
        self,
        what: str,
        real: Callable[[], Reply],
        simulated: Callable[[], Reply],
        *,
        tells_seconds: bool = False,
        tells_ms: bool = False,
    ) -> tuple[str, Reply, Reply] | None:
        self._step_aside()
        began_s = time.monotonic()
        told = real()
        self.simulated.follow()
        expected = simulated()
        if time.monotonic() - began_s > STALLED_S:
            raise Stalled
        slack = CLOCK_MS if tells_ms else int(tells_seconds and self._near_a_half())
        return None if alike(told, expected, slack) else (what, told, expected)

    def _near_a_half(self) -> bool:
        """Whether some TTL in whole seconds may be rounded either way now."""
        return any(
            abs((left_ms % 1000) - 500) <= CLOCK_MS for left_ms in self.simulated.time_left_ms()
        )

    def _compare_contents(self) -> tuple[str, Reply, Reply] | None:
        keys = self._command((b"KEYS", b"*"))
        if keys is not None:
            return keys
        _, simulated = self._wires[0]
        for key in sorted(simulated.send("KEYS", "*")):
            kind = simulated.send("TYPE", key)
            for question in (b"TYPE", *_READERS.get(kind, ()), b"PTTL"):
                words = question.split()
                parted = self._command((words[0], key, *words[1:]))
                if parted is not None:
                    return parted
        return None


_READERS = {
    b"string": (b"GET",),
    b"hash": (b"HGETALL",),
    b"zset": (b"ZRANGE 0 -1 WITHSCORES",),
    b"list": (b"LRANGE 0 -1",),
    b"set": (b"SMEMBERS",),
}


def _called(call: Callable[[redis.Redis], Any], client: redis.Redis) -> Reply:
    try:
        return call(client)
    except redis.ResponseError as error:
        return Refusal(error)


_PAIRS = {b"HGETALL"}
_SETS = {b"KEYS", b"SMEMBERS", b"HKEYS", b"HVALS", b"SINTER", b"SUNION", b"SDIFF"}


def _in_order(name: bytes, reply: Reply) -> Reply:
    """Replies whose order Redis does not promise, in sorted order."""
    if not isinstance(reply, list):
        return reply
    if name in _PAIRS:
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    return sorted(reply) if name in _SETS else reply


_EPOCH_MS = re.compile(rb"\b(\d{13})\b")
_NOW_MS = 10**12


def alike(one: Reply, other: Reply, slack: int = 0) -> bool:
    """Whether two replies are the same, but for the time that passed between them."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(
            alike(a, b, slack) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, int) and not isinstance(one, bool):
        if one < 0 or other < 0:
            return bool(one == other)
        return abs(one - other) <= (CLOCK_MS if one > _NOW_MS else slack)
    if isinstance(one, bytes):
        return _EPOCH_MS.sub(b"T", one) == _EPOCH_MS.sub(b"T", other) and all(
            abs(int(a) - int(b)) <= CLOCK_MS
            for a, b in zip(_EPOCH_MS.findall(one), _EPOCH_MS.findall(other), strict=True)
        )
    if isinstance(one, Refusal):
        return said(one) == said(other)
    return bool(one == other)


_BY_VERSION = (
    # What each version of Redis words in its own way (docs/persistence.md lists them).
    (re.compile(r"^Error running script \(call to f_\w+\): (@user_script:\s?\d*:? ?)*(ERR )?"), ""),
    (re.compile(r" script: \w{40}, on @user_script:\d+\.$"), ""),
    (re.compile(r"invalid expire time in '?(\w+)'?( command)?"), r"invalid expire time in \1"),
    (re.compile(r"(increment or decrement|decrement) would overflow"), "would overflow"),
    (re.compile(r"called from (Lua )?script"), "called from script"),
    (re.compile(r"[`']"), "'"),
    (re.compile(r"(?i)unknown command '(\w*)', with args beginning with: .*"), r"unknown \1"),
)


def said(refusal: str) -> str:
    """What an error says, without what only the version of the server decides."""
    text = str(refusal)
    for pattern, plain in _BY_VERSION:
        text = pattern.sub(plain, text)
    return text
