"""Strikes the faults of a plan on real servers, and heals them on every way out.

What is a server's, a disk's or the network's to break is the stack's; application servers,
sweepers, the provider, lost replies and the servers' clocks are this arm's own. What neither can do
is refused by name before the run. Two faults of one kind on one thing follow each other; they do
not overlap.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import simpy

from chaos.faults import (
    AppKill,
    AppPause,
    At,
    AtCrossing,
    ClockStep,
    Fault,
    FaultPlan,
    Leg,
    LostReplies,
    Partition,
    PaymentTimeouts,
    PlannedFault,
    Slow,
    SlowFsync,
    SweeperStopped,
    Target,
    UnsupportedFault,
)
from chaos.stacks.contract import Breakage, Stack
from model.history import FaultSpan, History
from model.injector import fault_name
from model.live.cloud import LiveCloud
from model.live.crossings import Trap
from model.live.server import AppServer
from model.live.timescale import TimeScale
from model.scenario import Scenario

LEAST_DELAY_S = 0.001
Steps = Generator[simpy.Event, Any, None]
Released = Callable[[bool], None]
"""Lets the thread in the trap go on; True: it must not see its reply."""


def refuse_impossible(plan: FaultPlan, stack: Stack, scenario: Scenario, scale: TimeScale) -> None:
    """Refuse a plan that this arm cannot carry out on this stack, before anything runs.

    Raises:
        UnsupportedFault: naming the fault, why, and what would do.
    """
    for planned in plan.faults:
        why = _refusal(planned, stack, scenario, scale)
        if why is not None:
            raise UnsupportedFault(f"{plan.name}: {fault_name(planned.fault)}: {why}")


def _refusal(
    planned: PlannedFault, stack: Stack, scenario: Scenario, scale: TimeScale
) -> str | None:
    fault, when = planned.fault, planned.when
    match fault:
        case Partition() | Slow() | LostReplies() if fault.target is Target.PAYMENT:
            return "the payment provider can only be silent here; use payment-timeout"
        case LostReplies() if isinstance(when, AtCrossing) and when.leg is not Leg.REPLY:
            return 'a reply is lost on the reply leg; write `crossing` as "... reply ..."'
        case Slow() if (why := _slow_refusal(fault, scenario, scale)) is not None:
            return why
        case AppKill() | AppPause() | LostReplies() | PaymentTimeouts() | SweeperStopped():
            return None
        case ClockStep(target=None):
            return None
        case _:
            scaled = for_stack(fault, scale)
            why = stack.refuses(scaled)
            return None if why is None else why.removeprefix(f"{type(scaled).__name__}: ")


def _slow_refusal(fault: Slow, scenario: Scenario, scale: TimeScale) -> str | None:
    wall_s = scale.length(fault.extra_s)
    if 2.0 * wall_s >= _timeout_s(fault, scenario, scale):
        return "a round trip would take longer than the client's timeout; use a partition"
    if wall_s < LEAST_DELAY_S:
        return (
            f"{fault.extra_s:g} s is {1000.0 * wall_s:.2g} ms at a time factor of {scale.factor:g},"
            " and a proxy delays by whole ms; use a smaller --time-factor"
        )
    return None


def _timeout_s(fault: Slow, scenario: Scenario, scale: TimeScale) -> float:
    tier = scenario.servers
    at_redis = fault.target is Target.REDIS
    return scale.timeout(tier.redis_timeout_s if at_redis else tier.database_timeout_s)


def for_stack(fault: Fault, scale: TimeScale) -> Fault:
    """A fault with the delays it is made of in wall seconds.

    The fsync of a slow disk is left as it is: what it is measured against, Redis's own rhythm of
    one fsync a second, cannot be scaled either.
    """
    if isinstance(fault, Slow):
        return replace(fault, extra_s=scale.length(fault.extra_s))
    if isinstance(fault, ClockStep):
        return replace(fault, step_s=scale.length(fault.step_s))
    return fault


class _Armed:
    """A crossing-placed fault that waits."""

    __slots__ = ("index", "left", "planned")

    def __init__(self, index: int, planned: PlannedFault, occurrence: int) -> None:
        self.index = index
        self.planned = planned
        self.left = occurrence


class LiveInjector:
    """Interprets one fault plan against one live deployment."""

    def __init__(
        self, cloud: LiveCloud, stack: Stack, history: History, plan: FaultPlan, *, has_redis: bool
    ) -> None:
        self.cloud = cloud
        self.env = cloud.env
        self.stack = stack
        self.history = history
        self.plan = plan
        self.sweepers_stopped = 0
        self.under_way = 0
        self._has_redis = has_redis
        self._armed: dict[int, _Armed] = {}
        self._breakages: list[Breakage] = []
        self._busy: dict[tuple[Any, ...], simpy.Resource] = {}
        self._losses: dict[str, list[float]] = {}
        self._lost: dict[str, int] = {}
        cloud.on_sprung = self._sprung
        cloud.on_lost = self._reply_lost

    def arm(self) -> None:
        """Draw the times and set the traps; call once, when the sale opens."""
        for index, planned in enumerate(self.plan.faults):
            draw = self.cloud.draw("fault", f"{self.plan.name}/{index}")
            when = planned.when
            if isinstance(when, At):
                at_s = draw.uniform(when.earliest_s, when.latest_s)
                self.env.process(self._strike_at(at_s, planned.fault, index))
                continue
            until_s = when.after_s if when.after_latest_s is None else when.after_latest_s
            from_s = draw.uniform(when.after_s, until_s)
            self._armed[index] = _Armed(index, planned, when.occurrence)
            trap = Trap(
                number=index,
                target=when.target.value,
                leg=when.leg.value,
                label=when.label,
                actor=when.actor.value,
                operation=when.operation,
                from_wall=self.cloud.loop.scale.wall(from_s),
            )
            for server in self.cloud.servers:
                server.set_trap(trap)

    @property
    def unhealed(self) -> bool:
        """Whether something is broken now that will be healed (a sweeper may stay stopped)."""
        return self.under_way > 0

    def heal_at_once(self) -> None:
        """Undo whatever is broken, outside the loop: the run is cut short. Repeatable."""
        for server in self.cloud.servers:
            server.go_on()
        for breakage in reversed(list(self._breakages)):  # the thread may be healing one of them
            breakage.heal()
            with suppress(ValueError):
                self._breakages.remove(breakage)

    def _strike_at(self, at_s: float, fault: Fault, index: int) -> Steps:
        yield self.env.timeout(at_s)
        yield from self._strike(fault, self._victim(index), "", _nobody_waits)

    def _sprung(self, server: AppServer, number: int, trap: int, *where: str) -> None:
        """A thread of `server` stands in a trap and waits to be let go."""
        label, actor, leg = where

        process = server.process

        def release(lost: bool) -> None:  # noqa: FBT001
            server.answer(process, number, Leg.REPLY.value if lost else "")

        armed = self._armed.get(trap)
        if armed is None:
            release(False)
            return
        armed.left -= 1
        if armed.left:
            release(False)
            return
        del self._armed[trap]
        for each in self.cloud.servers:
            each.clear_trap(trap)
        place = f" at {leg} of {label} by {actor}"
        self.env.process(self._strike(armed.planned.fault, server, place, release))

    def _strike(self, fault: Fault, server: AppServer, place: str, release: Released) -> Steps:
        span = FaultSpan(fault=fault_name(fault), started_s=self.env.now, ended_s=None)
        if isinstance(fault, SweeperStopped) and fault.duration_s is None:
            self.history.faults.append(span)
            self.sweepers_stopped += 1
            release(False)
            return
        self.under_way += 1
        turn = self._busy.setdefault(_thing(fault, server), simpy.Resource(self.env)).request()
        yield turn
        span.started_s = self.env.now
        self.history.faults.append(span)
        yield from self._break(fault, span, server, release)
        span.detail += place
        span.ended_s = self.env.now
        turn.resource.release(turn)
        self.under_way -= 1

    def _break(self, fault: Fault, span: FaultSpan, server: AppServer, release: Released) -> Steps:
        """Break it, wait, and heal it."""
        match fault:
            case AppKill():
                span.detail = server.name
                server.kill()
                yield self.env.timeout(fault.restart_s)
                server.start()
                yield server.ready
            case AppPause():
                span.detail = server.name
                server.pause()
                release(False)
                yield self.env.timeout(fault.duration_s)
                server.go_on()
            case LostReplies():
                yield from self._lose_replies(fault, span, release)
            case PaymentTimeouts():
                yield from self._silence(fault, span)
            case SweeperStopped():
                self.sweepers_stopped += 1
                release(False)
                yield self.env.timeout(fault.duration_s or 0.0)
                self.sweepers_stopped -= 1
            case ClockStep(target=None):
                for each in self.cloud.servers:
                    each.step_clock(self.cloud.loop.scale.length(fault.step_s))
                release(False)
            case _:
                yield from self._break_stack(fault, span, release)

    def _break_stack(self, fault: Fault, span: FaultSpan, release: Released) -> Steps:
        if isinstance(fault, SlowFsync) and not self._has_redis:
            span.detail = "this strategy has no Redis"
            release(False)
            return
        loop = self.cloud.loop
        wall_fault = for_stack(fault, loop.scale)
        breakage: Breakage = yield loop.in_thread(lambda: self._strike_stack(wall_fault))
        span.detail, span.struck = breakage.detail, breakage.struck
        release(False)
        yield self.env.timeout(_length_s(fault))
        yield loop.in_thread(lambda: self._heal(breakage))
        span.detail, span.struck = breakage.detail, breakage.struck

    def _strike_stack(self, fault: Fault) -> Breakage:
        breakage = self.stack.strike(fault)
        self._breakages.append(breakage)
        return breakage

    def _heal(self, breakage: Breakage) -> None:
        breakage.heal()
        with suppress(ValueError):  # the run was cut short meanwhile, and all was healed
            self._breakages.remove(breakage)

    def _lose_replies(self, fault: LostReplies, span: FaultSpan, release: Released) -> Steps:
        target = fault.target.value
        if fault.target is Target.REDIS and not self._has_redis:
            span.detail = "this strategy has no Redis"
            release(False)
            return
        before = self._lost.get(target, 0)
        at_this_crossing = int(release is not _nobody_waits)
        active = self._losses.setdefault(target, [])
        active.append(fault.probability)
        self._spread_loss(target)
        release(True)
        yield self.env.timeout(fault.duration_s)
        active.remove(fault.probability)
        self._spread_loss(target)
        lost = self._lost.get(target, 0) - before + at_this_crossing
        span.detail = f"{lost} replies lost"
        span.struck = lost > 0

    def _spread_loss(self, target: str) -> None:
        worst = max(self._losses[target], default=0.0)
        for server in self.cloud.servers:
            server.lose(target, worst)

    def _reply_lost(self, target: str) -> None:
        self._lost[target] = self._lost.get(target, 0) + 1

    def _silence(self, fault: PaymentTimeouts, span: FaultSpan) -> Steps:
        provider = self.cloud.provider
        before = provider.lost
        provider.loss = fault.probability
        yield self.env.timeout(fault.duration_s)
        provider.loss = 0.0
        lost = provider.lost - before
        span.detail = f"{lost} replies lost"
        span.struck = lost > 0

    def _victim(self, index: int) -> AppServer:
        draw = self.cloud.draw("victim", f"{self.plan.name}/{index}")
        return self.cloud.servers[draw.randrange(len(self.cloud.servers))]


def _nobody_waits(_lost: bool) -> None:  # noqa: FBT001
    return None


def _thing(fault: Fault, server: AppServer) -> tuple[Any, ...]:
    """What a fault breaks, so that two of a kind follow each other."""
    if isinstance(fault, AppKill | AppPause):
        return ("server", server.name)
    if isinstance(fault, LostReplies | SweeperStopped):
        return ("overlaps", id(fault), server.name)
    return (type(fault), getattr(fault, "target", None))


def _length_s(fault: Fault) -> float:
    """How long a fault of the stack's lasts, in the scenario's seconds, before it is healed."""
    for name in ("down_s", "duration_s"):
        length_s = getattr(fault, name, None)
        if length_s is not None:
            return float(length_s)
    return 0.0
