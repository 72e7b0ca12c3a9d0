"""Strikes the faults of a plan in the simulated arm, and heals them.

Each strike is recorded in the history as it really happened. A fault this arm cannot do is refused
with `UnsupportedFault`, before the run begins.
"""

from collections.abc import Generator

import simpy

from chaos.faults import (
    Actor,
    AppKill,
    AppPause,
    At,
    AtCrossing,
    ClockStep,
    DatabaseRestart,
    Death,
    Fault,
    FaultPlan,
    Leg,
    LostReplies,
    Partition,
    PaymentTimeouts,
    PlannedFault,
    ProxyDown,
    RedisDeath,
    Slow,
    SlowFsync,
    StorePause,
    SweeperStopped,
    Target,
    Toxic,
    UnsupportedFault,
)
from chaos.needs import only_live
from model.history import FaultSpan, History
from model.kernel import Request, ServerDied
from model.link import Link
from model.servers import Cloud, Server

Steps = Generator[simpy.Event, None, None]


class Armed:
    """A crossing-placed fault that waits for its crossing."""

    __slots__ = ("from_s", "left", "planned", "when")

    def __init__(self, planned: PlannedFault, when: AtCrossing, from_s: float) -> None:
        self.planned = planned
        self.when = when
        self.from_s = from_s
        self.left = when.occurrence

    def matches(self, request: Request, target: Target, leg: Leg, label: str, now_s: float) -> bool:
        """Whether this crossing is one of those the placement names."""
        when = self.when
        return (
            now_s >= self.from_s
            and when.target is target
            and when.leg is leg
            and label.startswith(when.label)
            and when.actor in {Actor.ANY, request.kind}
            and when.operation in {"", request.operation}
        )


class Injector:
    """Interprets one fault plan against one cloud."""

    def __init__(self, cloud: Cloud, history: History, plan: FaultPlan) -> None:
        self.cloud = cloud
        self.env = cloud.kernel.env
        self.history = history
        self.plan = plan
        self.sweepers_stopped = 0
        self._armed: list[Armed] = []
        self._active: dict[str, list[float]] = {}  # what holds now, per broken thing
        for planned in plan.faults:
            self._refuse_impossible(planned)

    def arm(self) -> None:
        """Draw the times and set the traps; call once, before the sale opens."""
        for index, planned in enumerate(self.plan.faults):
            draw = self.cloud.draw("fault", f"{self.plan.name}/{index}")
            when = planned.when
            if isinstance(when, At):
                at_s = draw.uniform(when.earliest_s, when.latest_s)
                self.env.process(self._strike_at(at_s, planned.fault, index))
            else:
                until_s = when.after_s if when.after_latest_s is None else when.after_latest_s
                from_s = draw.uniform(when.after_s, until_s)
                self._armed.append(Armed(planned, when, from_s))
        if self._armed:
            self.cloud.kernel.ambush = self._ambush

    @property
    def unhealed(self) -> bool:
        """Whether something is broken now that will be healed (a sweeper may stay stopped)."""
        servers = self.cloud.servers
        return any(self._active.values()) or any(s.paused is not None for s in servers)

    def _refuse_impossible(self, planned: PlannedFault) -> None:
        fault = planned.fault
        lacking = only_live(fault)
        if lacking is not None:
            raise UnsupportedFault(
                f"{self.plan.name}: {fault_name(fault)}: {lacking}; use `holdfast live`"
            )
        if isinstance(fault, Partition | Slow | LostReplies) and fault.target is Target.PAYMENT:
            raise UnsupportedFault(
                f"{fault}: the payment provider knows `payment-timeout` only in the simulated arm"
            )
        if isinstance(fault, LostReplies) and isinstance(planned.when, AtCrossing):
            raise UnsupportedFault(
                "lost replies at a crossing: place an app-kill on the reply leg, or a time window"
            )
        if isinstance(fault, Slow) and 2.0 * fault.extra_s >= self._link(fault.target).timeout_s:
            raise UnsupportedFault(
                f"{fault}: a round trip would take longer than the client's timeout of"
                f" {self._link(fault.target).timeout_s:g} s; use a partition"
            )

    def _strike_at(self, at_s: float, fault: Fault, index: int) -> Steps:
        yield self.env.timeout(at_s)
        yield from self._strike(fault, index, None)

    def _ambush(self, request: Request, target: Target, leg: Leg, label: str) -> None:
        """Called at every leg of every crossing while traps are set."""
        sprung = []
        for armed in list(self._armed):
            if armed.matches(request, target, leg, label, self.env.now):
                armed.left -= 1
                if not armed.left:
                    self._armed.remove(armed)
                    sprung.append(armed)
        if not self._armed:
            self.cloud.kernel.ambush = None
        for armed in sprung:
            self._spring(armed, request, label, leg)
        if request.dying:
            raise ServerDied
        paused = request.server.paused
        if sprung and paused is not None:
            self.cloud.kernel.wait(self.env.timeout(0.0))  # a pause begins here, not one leg later

    def _spring(self, armed: Armed, request: Request, label: str, leg: Leg) -> None:
        index = self.plan.faults.index(armed.planned)
        steps = self._strike(armed.planned.fault, index, request)
        first = next(steps, None)  # the blow itself falls at this very instant
        if first is not None:
            self.env.process(self._go_on(first, steps))
        self.history.faults[-1].detail += f" at {leg} of {label} by {request.actor}"

    def _go_on(self, first: simpy.Event, steps: Steps) -> Steps:
        yield first
        yield from steps

    def _strike(self, fault: Fault, index: int, request: Request | None) -> Steps:
        span = FaultSpan(fault=fault_name(fault), started_s=self.env.now, ended_s=None)
        self.history.faults.append(span)
        self.cloud.kernel.trace.note(self.env.now, "fault", span.fault, "", "", "strikes")
        if isinstance(fault, SweeperStopped) and fault.duration_s is None:
            self.sweepers_stopped += 1
            return
        yield from self._break(fault, span, self._victim(index, request))
        span.ended_s = self.env.now
        self.cloud.kernel.trace.note(self.env.now, "fault", span.fault, "", "", "healed")

    def _break(self, fault: Fault, span: FaultSpan, server: Server) -> Steps:
        """Break it, wait, and heal it; what is only live was refused before the run."""
        match fault:
            case RedisDeath():
                yield from self._redis_death(fault, span)
            case Partition() | Slow() | LostReplies():
                yield from self._link_trouble(fault, span)
            case SlowFsync():
                yield from self._slow_fsync(fault, span)
            case DatabaseRestart():
                self.cloud.database.stop()
                yield from self._hold("database down", 1.0, fault.down_s)
                if not self._active["database down"]:
                    self.cloud.database.start()
            case AppKill() | AppPause():
                yield from self._server_trouble(fault, span, server)
            case SweeperStopped():
                self.sweepers_stopped += 1
                yield from self._hold("sweepers", 1.0, fault.duration_s or 0.0)
                self.sweepers_stopped -= 1
            case PaymentTimeouts():
                yield from self._lose_replies(
                    self.cloud.provider.link, fault.probability, fault.duration_s, span
                )
            case ClockStep():
                self._step_clock(fault)

    def _hold(self, what: str, value: float, duration_s: float) -> Steps:
        """Keep `value` among what holds for `what` now; overlapping faults heal one by one."""
        active = self._active.setdefault(what, [])
        active.append(value)
        yield self.env.timeout(duration_s)
        active.remove(value)

    def _worst(self, what: str) -> float:
        return max(self._active.get(what, []), default=0.0)

    def _redis_death(self, fault: RedisDeath, span: FaultSpan) -> Steps:
        redis = self.cloud.redis
        if redis is None:
            span.detail = "this strategy has no Redis"
            return
        lost_before = redis.lost_commands
        redis.die(fault.death)
        lost = redis.lost_commands - lost_before
        kept = f"lost the last {lost} commands" if lost else "kept all"
        span.detail = f"persistence {redis.persistence}"
        if redis.aof is not None:
            span.detail += f": the disk {kept}"
        yield from self._hold("redis down", 1.0, fault.down_s)
        if not self._active["redis down"]:
            redis.start()

    def _link_trouble(self, fault: Partition | Slow | LostReplies, span: FaultSpan) -> Steps:
        link = self._link(fault.target)
        if fault.target is Target.REDIS and self.cloud.redis is None:
            span.detail = "this strategy has no Redis"
            return
        match fault:
            case Partition():
                link.cut = True
                what = f"{fault.target} cut"
                yield from self._hold(what, 1.0, fault.duration_s)
                link.cut = bool(self._active[what])
            case Slow():
                link.extra_s += fault.extra_s
                yield self.env.timeout(fault.duration_s)
                link.extra_s -= fault.extra_s
            case LostReplies():
                yield from self._lose_replies(link, fault.probability, fault.duration_s, span)

    def _lose_replies(
        self, link: Link, probability: float, duration_s: float, span: FaultSpan
    ) -> Steps:
        what = f"{link.target} loss"
        link.loss = max(link.loss, probability)
        lost_before = link.lost
        yield from self._hold(what, probability, duration_s)
        link.loss = self._worst(what)
        lost = link.lost - lost_before
        span.detail = f"{lost} replies lost"
        span.struck = lost > 0

    def _slow_fsync(self, fault: SlowFsync, span: FaultSpan) -> Steps:
        redis = self.cloud.redis
        if redis is None:
            span.detail = "this strategy has no Redis"
            return
        if redis.aof is None:
            span.detail = "no append-only file here"
            span.struck = False
            return
        healthy_s = self.cloud.spec.scenario.redis_disk.fsync_ms / 1000.0
        redis.aof.fsync_s = max(redis.aof.fsync_s, fault.fsync_s)
        yield from self._hold("fsync", fault.fsync_s, fault.duration_s)
        redis.aof.fsync_s = max(healthy_s, self._worst("fsync"))

    def _server_trouble(self, fault: AppKill | AppPause, span: FaultSpan, server: Server) -> Steps:
        span.detail = server.name
        if isinstance(fault, AppPause):
            server.pause(fault.duration_s)
            yield self.env.timeout(fault.duration_s)
            return
        server.kill()
        what = f"{server.name} down"
        yield from self._hold(what, 1.0, fault.restart_s)
        if not self._active[what]:
            server.start()

    def _victim(self, index: int, request: Request | None) -> Server:
        if request is not None:
            server: Server = request.server
            return server
        draw = self.cloud.draw("victim", f"{self.plan.name}/{index}")
        return self.cloud.servers[draw.randrange(len(self.cloud.servers))]

    def _step_clock(self, fault: ClockStep) -> None:
        if fault.target is Target.REDIS and self.cloud.redis is not None:
            self.cloud.redis.clock_offset_s += fault.step_s
        elif fault.target is Target.DATABASE:
            self.cloud.database.clock_offset_s += fault.step_s
        elif fault.target is None:
            for server in self.cloud.servers:
                server.clock.skew_s += fault.step_s

    def _link(self, target: Target) -> Link:
        return self.cloud.redis_link if target is Target.REDIS else self.cloud.database_link


def fault_name(fault: Fault) -> str:
    """A fault in a few words, as histories and stories print it."""
    match fault:
        case RedisDeath():
            return f"redis {fault.death}"
        case DatabaseRestart(death=Death.SIGKILL):
            return "database sigkill"
        case Partition() | Slow() | LostReplies() | StorePause() | ProxyDown():
            return f"{fault.target} {_WORDS[type(fault)]}"
        case Toxic():
            return f"{fault.target} {fault.direction} {fault.kind}"
        case _:
            return _WORDS[type(fault)]


_WORDS: dict[type, str] = {
    Partition: "partition",
    Slow: "slow",
    LostReplies: "lost replies",
    StorePause: "pause",
    ProxyDown: "proxy down",
    SlowFsync: "slow fsync",
    DatabaseRestart: "database restart",
    AppKill: "app kill",
    AppPause: "app pause",
    SweeperStopped: "sweeper stopped",
    PaymentTimeouts: "payment timeouts",
    ClockStep: "clock step",
}
