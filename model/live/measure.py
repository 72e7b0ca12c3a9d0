"""What a simulation of a live run must be told: the round trips of this stack, on the spot.

Measured through the same client libraries and the same ports that the application uses, one call
after the other on an idle stack. So it is the servers and the way to them that are measured, and
not the queue for the processor that a busy sale has; the simulation has no such queue either.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import redis
from sqlalchemy import create_engine, text

from chaos.faults import AppKill, DatabaseRestart, Fault, FaultPlan, RedisDeath
from chaos.persistence import Persistence
from chaos.stacks.contract import Endpoints, Stack
from model.history import FaultSpan
from model.injector import fault_name
from model.live.timescale import TimeScale
from model.scenario import Latency, Scenario

CALLS = 300
WARM_UP = 30
_SCRIPT = "redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """One kind of call, in wall milliseconds."""

    median_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The round trips of a stack; `redis` is a short script that writes."""

    redis: RoundTrip
    statement: RoundTrip
    commit: RoundTrip


def measure_stack(stack: Stack, persistence: Persistence | None) -> Measured:
    """Measure a stack that is otherwise idle; it is renewed for it.

    Raises:
        StackBroken: a server did not become healthy.
    """
    endpoints = stack.renew(persistence)
    statement, commit = _database(endpoints)
    return Measured(redis=_redis(endpoints), statement=statement, commit=commit)


def _redis(endpoints: Endpoints) -> RoundTrip:
    with redis.Redis.from_url(endpoints.redis_url, protocol=2) as client:
        script = client.register_script(_SCRIPT)
        return _timed(lambda: script(keys=["holdfast:measure"], args=["x"]))


def _database(endpoints: Endpoints) -> tuple[RoundTrip, RoundTrip]:
    engine = create_engine(endpoints.database_url, pool_size=1)
    update = text("UPDATE holdfast_measure SET n = n + 1")
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE holdfast_measure (n integer)"))
            connection.execute(text("INSERT INTO holdfast_measure VALUES (0)"))
        with engine.connect() as connection:
            statements, commits = [], []
            for _ in range(WARM_UP + CALLS):
                connection.execute(text("SELECT 1"))  # psycopg's BEGIN goes before it
                began_s = time.perf_counter()
                connection.execute(update)
                middle_s = time.perf_counter()
                connection.commit()
                statements.append(middle_s - began_s)
                commits.append(time.perf_counter() - middle_s)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE holdfast_measure"))
    finally:
        engine.dispose()
    return _summed(statements[WARM_UP:]), _summed(commits[WARM_UP:])


def _timed(call: Callable[[], object]) -> RoundTrip:
    taken = []
    for _ in range(WARM_UP + CALLS):
        began_s = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began_s)
    return _summed(taken[WARM_UP:])


def _summed(taken_s: list[float]) -> RoundTrip:
    ordered = sorted(taken_s)

    def at(share: float) -> float:
        return 1000.0 * ordered[ceil(share * len(ordered)) - 1]

    return RoundTrip(median_ms=at(0.5), p99_ms=max(at(0.99), 1.01 * at(0.5)))


def matched_scenario(scenario: Scenario, measured: Measured, scale: TimeScale) -> Scenario:
    """The scenario as the simulated arm must see it to meet what the live arm met.

    A live run is the scenario's in everything human, but its machines are real: in the scenario's
    seconds their round trips and their clients' least timeouts look `factor` times as long. What
    cannot be matched is Redis's own rhythm (`aof-everysec` fsyncs once a wall second).
    """
    tier, factor = scenario.servers, scale.factor

    def timeout(seconds: float) -> float:
        return scale.timeout(seconds) * factor

    latency = Latency(
        redis_median_ms=measured.redis.median_ms * factor,
        redis_p99_ms=measured.redis.p99_ms * factor,
        database_median_ms=measured.statement.median_ms * factor,
        database_p99_ms=measured.statement.p99_ms * factor,
        commit_median_ms=measured.commit.median_ms * factor,
        commit_p99_ms=measured.commit.p99_ms * factor,
    )
    servers = tier.model_copy(
        update={
            "redis_timeout_s": timeout(tier.redis_timeout_s),
            "database_timeout_s": timeout(tier.database_timeout_s),
            "lock_timeout_s": timeout(tier.lock_timeout_s),
            "database_pool_timeout_s": timeout(tier.database_pool_timeout_s),
        }
    )
    return scenario.model_copy(update={"latency": latency, "servers": servers})


def matched_plan(plan: FaultPlan, spans: list[FaultSpan]) -> FaultPlan:
    """The plan with the downtimes that one live run's faults (`spans`) really had.

    The first death of a plan is as long as the first of the run, and so on; where one of them did
    not strike, or one struck several times, all of its kind take the mean. The name stays, so that
    the faults strike when the live ones did (the same named draws).
    """
    lengths: dict[str, list[float]] = {}
    for span in sorted(spans, key=lambda span: span.started_s):
        if span.ended_s is not None and span.struck:
            lengths.setdefault(span.fault, []).append(span.ended_s - span.started_s)
    planned = Counter(fault_name(each.fault) for each in plan.faults)
    for name, found in lengths.items():
        if len(found) != planned[name]:
            lengths[name] = [sum(found) / len(found)] * planned[name]
    faults = []
    for each in plan.faults:
        left = lengths.get(fault_name(each.fault), [])
        faults.append(
            replace(each, fault=_as_long(each.fault, left.pop(0)) if left else each.fault)
        )
    return replace(plan, faults=tuple(faults))


def _as_long(fault: Fault, length_s: float) -> Fault:
    """A fault whose end is a restart, with the restart's real length."""
    if not length_s:
        return fault
    match fault:
        case RedisDeath() | DatabaseRestart():
            return replace(fault, down_s=length_s)
        case AppKill():
            return replace(fault, restart_s=length_s)
        case _:
            return fault
