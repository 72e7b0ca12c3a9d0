"""One run from its spec: build the cloud, open the sale, let everybody finish, audit."""

from typing import Any

from sqlalchemy import Connection, insert

from chaos.faults import FaultPlan
from model.audit import read_audit
from model.buyers import EVENT_ID, Counter, Crowd, seat_names
from model.collector import rare_collections
from model.database import patiently
from model.history import FaultSpan, History
from model.housekeeping import Housekeeping
from model.injector import Injector, fault_name
from model.kernel import Kernel
from model.scenario import Scenario
from model.scenario_plans import resolve_plan
from model.servers import Cloud
from model.spec import RunResult, RunSpec
from model.spec_codec import spec_to_meta
from model.visits import Visits, settled_at_s
from reservation.api import AdmissionKind, StrategyInfo
from reservation.catalogue import find, resolve_options
from reservation.tables import events, metadata, seats

SLACK_S = 60.0
"""Beyond two sweeper periods and the grace: for a pass that was interrupted and its successor."""


class WrongAdmission(ValueError):
    """A strategy was asked to sell what it cannot, such as seats by quantity."""


def sweep_bound_s(scenario: Scenario) -> float:
    """How long after its end a hold's stock may stay unsellable before it counts as leaked."""
    return 2.0 * scenario.sweeper.period_s + scenario.sweeper.grace_s + SLACK_S


def simulate(
    spec: RunSpec, *, record_crossings: bool = False, plan: FaultPlan | None = None
) -> RunResult:
    """Run one sale in virtual time and return its history, trace hash and counts.

    Equal specs give equal results, in any process. A `plan` takes the place of the one that the
    spec names (the same faults with measured lengths); such a history cannot be replayed.

    Raises:
        UnknownStrategy, BadOption, UnknownFault, ScenarioError, UnsupportedFault, WrongAdmission:
            the spec asks for what is not there.
        DatabaseUnavailable: a real server went away, or this machine was too slow in each try.
    """
    return patiently(lambda: _simulate(spec, record_crossings=record_crossings, plan=plan))


def _simulate(spec: RunSpec, *, record_crossings: bool, plan: FaultPlan | None) -> RunResult:
    info, options = chosen_strategy(spec)
    plan = plan or resolve_plan(spec.fault, spec.scenario)
    kernel = Kernel(keep_crossings=record_crossings)
    history = new_history(spec, plan)
    cloud = Cloud(kernel, spec, info, options)
    try:
        with rare_collections():
            sale = Sale(cloud, history, Injector(cloud, history, plan))
            sale.open()
            sale.play()
            return sale.close()
    finally:
        cloud.close()


def chosen_strategy(spec: RunSpec) -> tuple[StrategyInfo, dict[str, Any]]:
    """Return the strategy of a run and all its options (durations in the scenario's seconds).

    Raises:
        UnknownStrategy, BadOption, WrongAdmission: the spec asks for what is not there.
    """
    info = find(spec.strategy)
    scenario = spec.scenario
    if scenario.sale.kind not in info.admits:
        raise WrongAdmission(
            f"{spec.strategy} does not sell kind = {scenario.sale.kind.value!r} (scenario"
            f" {scenario.name}); it sells {', '.join(sorted(k.value for k in info.admits))}"
        )
    return info, resolve_options(info, _given_options(spec))


def new_history(spec: RunSpec, plan: FaultPlan) -> History:
    """Return the empty history of a run, with the bounds it will be judged by.

    `planned_faults` names each fault that must strike before the run says anything about `plan`.
    """
    scenario = spec.scenario
    planned = sorted({fault_name(each.fault) for each in plan.faults})
    return History(
        meta={**spec_to_meta(spec), "planned_faults": planned},
        capacity={EVENT_ID: scenario.sale.capacity},
        ttl_s=scenario.hold.ttl_s,
        sweep_bound_s=sweep_bound_s(scenario),
    )


def insert_stock(connection: Connection, scenario: Scenario) -> None:
    """Put the one event, and its seats, into empty tables."""
    sale = scenario.sale
    event = {
        "id": EVENT_ID,
        "capacity": sale.capacity,
        "remaining_ticket": sale.capacity,
        "price_cents": sale.price_cents,
    }
    connection.execute(insert(events), [event])
    if sale.kind is AdmissionKind.SEATS:
        names = seat_names(sale.capacity, sale.row_length)
        rows = [{"event_id": EVENT_ID, "seat_no": n, "status": "available"} for n in names]
        connection.execute(insert(seats), rows)


def check_simulated(spec: RunSpec) -> None:
    """Refuse a run that the simulated arm cannot do, without running it.

    Raises:
        As `simulate`.
    """
    info, options = chosen_strategy(spec)
    plan = resolve_plan(spec.fault, spec.scenario)
    cloud = Cloud(Kernel(), spec, info, options)
    try:
        Injector(cloud, new_history(spec, plan), plan)
    finally:
        cloud.close()


def _given_options(spec: RunSpec) -> dict[str, Any]:
    """The scenario's facts a strategy must know, the scenario's options, the command's options."""
    info = find(spec.strategy)
    scenario = spec.scenario
    facts = {
        "ttl_s": scenario.hold.ttl_s,
        "sweeper_grace_s": scenario.sweeper.grace_s,
        "batch": scenario.sweeper.batch,
    }
    given: dict[str, Any] = {k: v for k, v in facts.items() if k in info.defaults}
    given.update(scenario.options.get(spec.strategy, {}))
    given.update(spec.options)
    return given


class Sale:
    """One sale from its opening to the audit."""

    def __init__(self, cloud: Cloud, history: History, injector: Injector) -> None:
        self.cloud = cloud
        self.env = cloud.kernel.env
        self.history = history
        self.injector = injector
        self.counter = Counter(cloud, history)
        self.housekeeping = Housekeeping(self.counter, injector)
        crowd = Crowd(self.counter, cloud.spec.scenario, cloud.spec.seed)
        self.visits = Visits(self.env, cloud.spec, crowd)

    def open(self) -> None:
        """Tables, stock, caches, sweepers, traps."""
        cloud = self.cloud
        engine = cloud.servers[0].engine
        metadata.create_all(engine)
        with engine.begin() as connection:
            insert_stock(connection, cloud.spec.scenario)
        cloud.servers[0].strategy.open_sale(EVENT_ID)
        self.housekeeping.start()
        self.injector.arm()

    def play(self) -> None:
        """Until everybody has left, and then until every hold has ended and been swept."""
        self.env.process(self.visits.doors())
        self.env.run(until=self.visits.everybody_left)
        self._left_s = self.env.now
        self.env.run(until=settled_at_s(self.history, self._left_s, self._doubtful_s()))
        while self.injector.unhealed:
            self.env.run(until=self.env.now + 10.0)

    def _doubtful_s(self) -> float:
        """How long the sweeper lets a payment be in doubt before it settles it."""
        return float(self.cloud.options.get("doubtful_after_s", 0.0))

    def close(self) -> RunResult:
        """Audit and measure."""
        kernel = self.cloud.kernel
        self.history.audit = read_audit(
            self.cloud.servers[0].engine,
            self.cloud.servers[0].strategy,
            self.cloud.ledger,
            at_s=self.env.now,
            quiet_s=self.env.now - self._left_s,
        )
        self.history.faults.sort(key=_started)
        self.history.meta["trace_hash"] = kernel.trace.digest()
        return RunResult(
            history=self.history,
            trace_hash=kernel.trace.digest(),
            metrics=self._metrics(),
            crossings=kernel.trace.kept or [],
        )

    def _metrics(self) -> dict[str, float]:
        cloud, buyers = self.cloud, max(1, self.visits.buyers)
        redis_calls = 0 if cloud.redis is None else cloud.redis.calls
        database = cloud.database
        waits_s = sorted(database.lock_waits_s)
        return {
            "buyers": float(self.visits.buyers),
            "crossings": float(cloud.kernel.trace.count),
            "db_statements_per_buyer": database.statements / buyers,
            "redis_commands_per_buyer": redis_calls / buyers,
            "db_reclaim_statements": float(database.reclaim_statements),
            "db_reclaim_s": self._reclaim_s(),
            "db_lock_waits_per_buyer": len(waits_s) / buyers,
            "db_lock_wait_ms_per_buyer": 1000.0 * sum(waits_s) / buyers,
            "db_lock_wait_ms_max": 1000.0 * waits_s[-1] if waits_s else 0.0,
            "db_deadlocks": float(database.deadlocks),
            "db_serialization_failures": float(database.serialization_failures),
        }

    def _reclaim_s(self) -> float:
        """How long sweepers and delayed tasks were at work, all together."""
        return sum(
            op.completed_s - op.invoked_s
            for op in self.history.operations
            if op.kind in {"sweep", "task"} and op.completed_s is not None
        )


def _started(span: FaultSpan) -> float:
    return span.started_s
