"""One sequence of steps, taken by the simulated Redis and by a real one, and where they part.

Both have the same wall clock, which stands still but for the waits of the sequence, so every reply
must be the same, deadlines to the millisecond; and after each restart every key that is left.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from chaos.faults import Death
from tests.conformance.arms import RealArm, Refusal, Reply, SimulatedArm, Wire


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


def disagreement(
    real: RealArm, simulated: SimulatedArm, steps: Sequence[Step]
) -> Disagreement | None:
    """Take the steps on both, empty at first, and say where they part first (None: nowhere)."""
    real.reset()
    pair = _Pair(real, simulated)
    try:
        return pair.take(tuple(steps))
    finally:
        pair.close()


def cut_down(steps: Sequence[Step], parts: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """The same story without what it does not need: no step can be left out and it still `parts`.

    Hypothesis would find smaller words too, but takes minutes where each try restarts servers.
    """
    story, size = list(steps), len(steps)
    while size := size // 2 if size > 1 else 0:
        at = 0
        while at < len(story):
            shorter = story[:at] + story[at + size :]
            if parts(shorter):
                story = shorter
            else:
                at += size
        if size == 1 and len(story) < len(steps):
            steps, size = list(story), 2  # what was needed may not be any more
    return story


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
            self._wait(step.ms)
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
            self.real.snapshot()
            self.simulated.snapshot()
            return None
        self.close()
        for arm in (self.real, self.simulated):
            arm.die(step.death)
        self._wait(step.down_ms)
        self.real.start()
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
        )

    def _wait(self, ms: int) -> None:
        for arm in (self.real, self.simulated):
            arm.wait(ms / 1000)

    def _both(
        self, what: str, real: Callable[[], Reply], simulated: Callable[[], Reply]
    ) -> tuple[str, Reply, Reply] | None:
        told, expected = real(), simulated()
        return None if alike(told, expected) else (what, told, expected)

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


def alike(one: Reply, other: Reply) -> bool:
    """Whether a real and a simulated reply are the same, but for the words of a version."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, Refusal):
        # Of two mistakes in one command, the simulated one may tell the type of the key first.
        return said(one) == said(other) or other.startswith("WRONGTYPE")
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
