"""One live run from its spec: fresh stores, real servers, the sale, healing, the audit."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from chaos.stacks.contract import Stack, StackError
from model.buyers import Counter, Crowd
from model.history import History
from model.housekeeping import Housekeeping
from model.live.auditor import Auditor
from model.live.cloud import LiveCloud
from model.live.injector import LiveInjector, refuse_impossible
from model.live.loop import LATE_S, RealTime
from model.live.nursery import Nursery
from model.live.timescale import TimeScale
from model.run import chosen_strategy, new_history
from model.scenario import Servers
from model.scenario_plans import resolve_plan
from model.scenario_problems import ScenarioError
from model.spec import RunResult, RunSpec
from model.visits import Visits, settled_at_s

CHECK_EVERY_S = 1.0
"""Wall seconds between looks at whether a server died by itself."""

LATE_SCENARIO_S = 5.0
"""The scenario's seconds of lateness beyond which a run says so: a tenth of its tightest bound."""

CLOCK_JUMP_S = 0.1
"""The machine's clock stepped by more than this during a run: deadlines mean nothing any more."""


def _go_on() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What live runs are made on: a stack and a nursery that were entered, and the time factor.

    `stop` is called many times a second and may raise, to end a run.
    """

    stack: Stack
    nursery: Nursery
    factor: float
    stop: Callable[[], None] = _go_on


class RunCut(Exception):
    """A run ended before its audit; `history` is what happened so far, `__cause__` says why."""

    def __init__(self, history: History) -> None:
        super().__init__("the run was cut short")
        self.history = history


def check_live(spec: RunSpec, arm: Arm) -> None:
    """Refuse what cannot be run, before anything is started.

    Raises:
        UnknownStrategy, BadOption, UnknownFault, ScenarioError, UnsupportedFault, WrongAdmission:
            the spec asks for what is not there.
    """
    chosen_strategy(spec)
    _refuse_settings(spec)
    plan = resolve_plan(spec.fault, spec.scenario)
    refuse_impossible(plan, arm.stack, spec.scenario, TimeScale(arm.factor))


def _refuse_settings(spec: RunSpec) -> None:
    standard_s = Servers().deadlock_timeout_s
    if spec.scenario.servers.deadlock_timeout_s != standard_s:
        raise ScenarioError(
            f"scenario {spec.scenario.name}: servers.deadlock_timeout_s ="
            f" {spec.scenario.servers.deadlock_timeout_s:g}: a live PostgreSQL keeps its own"
            f" ({standard_s:g}); leave it out, or use compare --db postgres"
        )


def run_live(spec: RunSpec, arm: Arm) -> RunResult:
    """Hold one sale on real servers. The result has no trace hash: live runs are not repeatable.

    Raises:
        As `check_live`; and RunCut, caused by
            StackBroken: a server died by itself, or did not become healthy again;
            KeyboardInterrupt: the user asked for the end;
            StrategyCrashed: the code under test broke in a way it never should.
    """
    check_live(spec, arm)
    history = new_history(spec, resolve_plan(spec.fault, spec.scenario))
    history.meta.update(arm="live", stack=arm.stack.name, time_factor=arm.factor, trace_hash=None)
    try:
        with RealTime(TimeScale(arm.factor), arm.stop) as loop:
            return _hold_sale(spec, arm, loop, history)
    except KeyboardInterrupt as interrupt:
        raise RunCut(history) from interrupt
    except Exception as error:  # noqa: BLE001 - whatever it was, it cut the run
        raise RunCut(history) from _cause(error, arm.stack)


def _cause(error: Exception, stack: Stack) -> Exception:
    """What to blame: a server that does not answer explains whatever else failed after it."""
    try:
        stack.check()
    except StackError as broken:
        return broken
    return error


def _hold_sale(spec: RunSpec, arm: Arm, loop: RealTime, history: History) -> RunResult:
    info, options = chosen_strategy(spec)
    endpoints = arm.stack.renew(spec.persistence if info.uses_redis else None)
    cloud = LiveCloud(
        loop=loop,
        nursery=arm.nursery,
        spec=spec,
        options=options,
        endpoints=endpoints,
        uses_redis=info.uses_redis,
    )
    plan = resolve_plan(spec.fault, spec.scenario)
    injector = LiveInjector(cloud, arm.stack, history, plan, has_redis=info.uses_redis)
    with Auditor(endpoints, info, loop.scale.options(options)) as auditor:
        try:
            auditor.open_sale(spec)
            for server in cloud.servers:
                server.start()
            loop.run(loop.env.all_of([server.ready for server in cloud.servers]))
            sale = LiveSale(cloud, injector, history)
            loop.open()
            history.meta["opened_at"] = loop.scale.opened_at  # wall time, in epoch seconds
            left_s = sale.play(float(options.get("doubtful_after_s", 0.0)))
            _require_steady_clock(sale)
            history.audit = auditor.read(cloud, at_s=loop.env.now, quiet_s=loop.env.now - left_s)
            history.faults.sort(key=lambda span: span.started_s)
            metrics = sale.metrics()
            history.meta["lateness_ms_p99"] = metrics["lateness_ms_p99"]
            return RunResult(history=history, trace_hash="", metrics=metrics)
        finally:
            cloud.close_or_heal(injector.heal_at_once)


class ClockJumped(Exception):
    """The machine's clock was set during a run."""


def _require_steady_clock(sale: "LiveSale") -> None:
    jumped_s = abs((time.time() - sale.wall_began) - (time.monotonic() - sale.steady_began))
    if jumped_s > CLOCK_JUMP_S:
        raise ClockJumped(
            f"the machine's clock was set by {jumped_s:.2f} s during the run; run it again"
        )


class LiveSale:
    """One sale from its opening to rest."""

    def __init__(self, cloud: LiveCloud, injector: LiveInjector, history: History) -> None:
        self.cloud = cloud
        self.loop = cloud.loop
        self.env = cloud.env
        self.history = history
        self.injector = injector
        counter = Counter(cloud, history)
        self.housekeeping = Housekeeping(counter, injector)
        crowd = Crowd(counter, cloud.spec.scenario, cloud.spec.seed)
        self.visits = Visits(self.env, cloud.spec, crowd)
        self.wall_began = time.time()
        self.steady_began = time.monotonic()
        self._open_wall_s = 0.0

    def play(self, doubtful_after_s: float) -> float:
        """Let everybody come and go, heal, and wait until all is at rest.

        Returns when the last buyer had left.
        """
        loop, injector = self.loop, self.injector
        self.housekeeping.start()
        injector.arm()
        self.env.process(self._watch_stack())
        self.env.process(self.visits.doors())
        loop.run(self.visits.everybody_left)
        left_s = self.env.now
        self._open_wall_s = time.time() - loop.scale.opened_at
        self._wait_until_healed()
        loop.run(settled_at_s(self.history, left_s, doubtful_after_s))
        self._wait_until_healed()
        return left_s

    def _wait_until_healed(self) -> None:
        """Wait for faults to end, then have the stack prove that all its servers answer."""
        while True:
            while self.injector.unhealed:
                self.loop.run(self.env.now + self.loop.scale.factor * 0.02)
            self.loop.run(self.loop.in_thread(self.cloud_check))
            if not self.injector.unhealed:  # else one struck while it was looked at
                return

    def cloud_check(self) -> None:
        """See `Stack.check`."""
        self.injector.stack.check()

    def _watch_stack(self) -> Generator[simpy.Event, Any, None]:
        """Notice a server that died by itself while nothing was to be broken."""
        while True:
            yield self.env.timeout(CHECK_EVERY_S * self.loop.scale.factor)
            if not self.injector.unhealed:
                yield self.loop.in_thread(self._check_if_whole)

    def _check_if_whole(self) -> None:
        try:
            self.cloud_check()
        except Exception:
            if not self.injector.unhealed:  # else a fault struck while it was looked at
                raise

    def metrics(self) -> dict[str, float]:
        """Counts and speeds of the run itself."""
        late = sorted(self.loop.lateness_s) or [0.0]
        calls = sum(server.answered for server in self.cloud.servers)
        return {
            "buyers": float(self.visits.buyers),
            "calls": float(calls),
            "calls_per_s": calls / max(self._open_wall_s, 1e-9),
            "lateness_ms_p99": 1000.0 * late[int(0.99 * (len(late) - 1))],
            "lateness_ms_max": 1000.0 * late[-1],
            "time_factor": self.loop.scale.factor,
        }


def lagged(metrics: dict[str, float]) -> bool:
    """Whether the generator was so late that the servers met less load than was asked for.

    Late is what is late in wall time or, at a large time factor, in the scenario's.
    """
    late_s = metrics.get("lateness_ms_p99", 0.0) / 1000.0
    return late_s > LATE_S or late_s * metrics.get("time_factor", 1.0) > LATE_SCENARIO_S
