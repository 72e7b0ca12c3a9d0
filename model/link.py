"""The way between the application servers and one store: travel times, and what may go wrong.

A crossing has two legs. `Link.request` is the way there, ending just before the effect;
`Link.reply` is the way back. Each leg takes half of the round trip, which is drawn once.
"""

from functools import lru_cache
from math import exp, log
from statistics import NormalDist

from chaos.faults import Leg, Target
from model.kernel import Kernel, ServerDied
from model.streams import seed_of

_Z99 = NormalDist().inv_cdf(0.99)
_CELLS = 1 << 12
_MASK = (1 << 64) - 1


class Pace:
    """One actor's own source of travel times: a 64-bit linear congruential generator.

    A leg is drawn for every crossing, so this must cost little. Its upper bits (Knuth's MMIX
    constants) are good enough for latencies; everything that decides anything draws from
    `model.streams.stream`.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int, *names: str | int) -> None:
        self._state = seed_of(seed, *names)

    def one_of(self, cells: tuple[float, ...]) -> float:
        """The next draw: one of `_CELLS` equally likely values."""
        state = self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return cells[state >> 52]


class TravelTime:
    """A lognormal round trip, in seconds, given by its median and 99th percentile.

    `legs_s` holds half of its quantile at the middle of each of 4,096 equally likely cells; the
    largest one is the 99.988th percentile.
    """

    __slots__ = ("legs_s",)

    def __init__(self, median_ms: float, p99_ms: float) -> None:
        self.legs_s = _legs(median_ms, p99_ms)


@lru_cache(maxsize=64)
def _legs(median_ms: float, p99_ms: float) -> tuple[float, ...]:
    sigma = max(0.0, log(p99_ms / median_ms) / _Z99)
    quantile = NormalDist().inv_cdf
    return tuple(
        median_ms / 2000.0 * exp(sigma * quantile((cell + 0.5) / _CELLS)) for cell in range(_CELLS)
    )


class LinkCut(Exception):
    """The packets are dropped: the caller waited for its timeout and knows nothing."""


class ReplyLost(Exception):
    """The effect happened; its reply did not come through."""

    timed_out = False


class ReplyLate(ReplyLost):
    """The effect happened; the reply takes longer than the caller's timeout."""

    timed_out = True


class Link:
    """One store's link, shared by all application servers.

    `cut` (partition), `extra_s` (slow) and `loss` (lost replies) are set by the fault injector and
    healed by it. `timeout_s` is the client's socket timeout.
    """

    def __init__(self, kernel: Kernel, target: Target, timeout_s: float) -> None:
        self.kernel = kernel
        self.target = target
        self.name = str(target)
        self.timeout_s = timeout_s
        self.cut = False
        self.extra_s = 0.0
        self.loss = 0.0
        self.lost = 0  # replies, by `loss`

    def request(self, label: str, travel: TravelTime) -> float:
        """Travel there; returns how long it took, for the way back.

        Raises:
            LinkCut: the store was not reached within the timeout; surely no effect.
            ServerDied: the caller's server died on the way.
        """
        kernel = self.kernel
        request = kernel.current
        if request is None:
            return 0.0
        if request.dying:
            raise ServerDied
        if kernel.ambush is not None:
            kernel.ambush(request, self.target, Leg.REQUEST, label)
        leg_s: float = request.pace.one_of(travel.legs_s) + self.extra_s
        kernel.sleep(leg_s)
        if self.cut:
            kernel.sleep(max(0.0, self.timeout_s - leg_s))
            kernel.trace.note(kernel.now, request.actor, self.name, "request", label, "cut")
            raise LinkCut(label)
        return leg_s

    def reply(self, label: str, leg_s: float, after_s: float = 0.0, waited_s: float = 0.0) -> None:
        """Travel back, in `leg_s`, after the store took `after_s` to answer.

        `waited_s` is what the request lay waiting at the store; it counts for the timeout.

        Raises:
            ReplyLost: the effect happened, the reply did not come through.
            ServerDied: the caller's server died meanwhile.
        """
        kernel = self.kernel
        request = kernel.current
        if request is None:
            return
        kernel.trace.note(kernel.env._now, request.actor, self.name, "reply", label, "")  # noqa: SLF001
        if kernel.ambush is not None:
            kernel.ambush(request, self.target, Leg.REPLY, label)
        if waited_s + after_s + 2.0 * leg_s > self.timeout_s:
            kernel.sleep(max(0.0, self.timeout_s - leg_s - waited_s))
            self._lose(request.actor, label, ReplyLate)
        kernel.sleep(after_s + leg_s)
        if self.cut:
            kernel.sleep(max(0.0, self.timeout_s - leg_s))
            self._lose(request.actor, label, ReplyLate)
        if self.loss and request.server.chance(request.actor, "loss") < self.loss:
            self.lost += 1
            self._lose(request.actor, label, ReplyLost)

    def _lose(self, actor: str, label: str, how: type[ReplyLost]) -> None:
        kernel = self.kernel
        kernel.trace.note(kernel.now, actor, self.name, "reply", label, "lost")
        raise how(label)
