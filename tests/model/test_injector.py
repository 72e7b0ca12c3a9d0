"""Each fault of the vocabulary strikes what it says in the simulated arm, and heals."""

from dataclasses import replace

import pytest

from chaos.faults import (
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
    Placement,
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
from chaos.persistence import Persistence
from chaos.toxics import Direction, ToxicKind
from model.history import History, Operation, Outcome
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec

AT_20 = At(earliest_s=20.0, latest_s=20.0)


def run(
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    when: Placement = AT_20,
    *,
    strategy: str = "redis-hold-recheck",
    persistence: Persistence | None = Persistence.AOF_EVERYSEC,
) -> History:
    """A small sale with one fault."""
    plan = FaultPlan(name="test", summary="", faults=(PlannedFault(fault=fault, when=when),))
    monkeypatch.setattr("model.run.resolve_plan", lambda _name, _scenario: plan)
    scenario = load_scenario(
        "small", {"arrivals.buyers": "60", "sale.capacity": "40", "payment.plain_s": "20.0"}
    )
    return simulate(
        RunSpec(scenario=scenario, strategy=strategy, seed=2, fault="test", persistence=persistence)
    ).history


def during(history: History, start_s: float, end_s: float) -> list[Operation]:
    """The operations of buyers that ended within a time."""
    return [
        o
        for o in history.operations
        if o.completed_s is not None
        and start_s <= o.completed_s <= end_s
        and o.actor.startswith("buyer")
    ]


def failures(operations: list[Operation]) -> list[Operation]:
    """Those that got no definite answer."""
    return [o for o in operations if o.outcome in {Outcome.NOT_APPLIED, Outcome.UNKNOWN}]


@pytest.mark.parametrize(
    ("fault", "lasts_s"),
    [
        (RedisDeath(death=Death.SIGKILL, down_s=10.0), 10.0),
        (Partition(target=Target.REDIS, duration_s=15.0), 15.0),
        (DatabaseRestart(down_s=10.0), 10.0),
        (LostReplies(target=Target.DATABASE, probability=0.9, duration_s=20.0), 20.0),
        (LostReplies(target=Target.REDIS, probability=0.9, duration_s=20.0), 20.0),
    ],
)
def test_calls_fail_while_it_lasts_and_not_later(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, lasts_s: float
) -> None:
    """Some buyer gets no answer during the fault, none after it, and the span says when it was."""
    history = run(monkeypatch, fault)
    (span,) = history.faults
    assert span.started_s == pytest.approx(20.0)
    assert span.ended_s == pytest.approx(20.0 + lasts_s)
    assert not failures(during(history, 0.0, 19.9))
    assert failures(during(history, 20.0, 22.0 + lasts_s))
    assert not failures(during(history, 30.0 + lasts_s, 1e9))


def test_a_killed_server_takes_its_requests_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payments in flight on it end in doubt at that moment; with the same key they are settled."""
    history = run(monkeypatch, AppKill(restart_s=5.0), At(earliest_s=60.0, latest_s=60.0))
    doubtful = [o for o in history.operations if o.reason == "the application server died"]
    assert doubtful
    assert {o.completed_s for o in doubtful} == {60.0}
    assert history.faults[0].detail in {"app-0", "app-1"}
    keys = {o.key for o in doubtful if o.key}
    last = {o.key: o.outcome for o in history.operations if o.key in keys}
    assert set(last.values()) <= {Outcome.OK, Outcome.REFUSED}


def latency_s(history: History, start_s: float, end_s: float) -> float:
    """The longest hold of a time."""
    holds = [o for o in during(history, start_s, end_s) if o.kind == "hold"]
    assert holds
    return max((o.completed_s or 0.0) - o.invoked_s for o in holds)


def test_slow_makes_calls_slow_and_heals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leg takes the extra time while it lasts."""
    fault = Slow(target=Target.REDIS, extra_s=0.2, duration_s=30.0)
    history = run(monkeypatch, fault)
    assert latency_s(history, 21.0, 50.0) > 0.4
    assert latency_s(history, 55.0, 1e9) < 0.1


def test_slow_fsync_makes_always_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `always` each write waits for the disk."""
    fault = SlowFsync(fsync_s=1.5, duration_s=30.0)
    history = run(monkeypatch, fault, persistence=Persistence.AOF_ALWAYS)
    assert latency_s(history, 21.0, 50.0) > 1.4
    assert latency_s(history, 55.0, 1e9) < 0.1


def test_a_paused_server_answers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests on it end when the pause ends, without an error."""
    history = run(monkeypatch, AppPause(duration_s=12.0))
    late = [o for o in during(history, 31.9, 60.0) if (o.completed_s or 0) - o.invoked_s > 1.0]
    assert [o for o in late if o.kind == "hold"]
    assert not failures(history.operations)


def test_a_stopped_sweeper_does_not_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass while it is stopped, passes again afterwards; None lasts to the end."""
    history = run(monkeypatch, SweeperStopped(duration_s=200.0), strategy="db-cart")
    sweeps = [o.invoked_s for o in history.operations if o.kind == "sweep"]
    assert not [s for s in sweeps if 20.0 < s < 220.0]
    assert [s for s in sweeps if s > 220.0]
    stopped = run(monkeypatch, SweeperStopped(duration_s=None), strategy="db-cart")
    assert not [o for o in stopped.operations if o.kind == "sweep" and o.invoked_s > 20.0]
    assert stopped.faults[0].ended_s is None


def test_payment_timeouts_take_the_money_and_are_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is lost, the repeat with the same key gets the order, one capture each."""
    fault = PaymentTimeouts(probability=1.0, duration_s=60.0)
    history = run(monkeypatch, fault)
    unsure = {o.key for o in history.operations if o.kind == "checkout" and failures([o])}
    assert unsure
    assert history.audit is not None
    ordered = [o.key for o in history.audit.orders]
    assert unsure & set(ordered)
    assert len(ordered) == len(set(ordered))


def test_a_clock_step_of_redis_ends_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: Redis jumps 901 s ahead, and every 900 s hold is gone."""
    fault = ClockStep(target=Target.REDIS, step_s=901.0)
    history = run(monkeypatch, fault, when=replace(AT_20, earliest_s=60.0, latest_s=60.0))
    expired = [o for o in history.operations if o.reason == "HoldExpired"]
    assert expired
    assert all((o.expires_s or 0.0) > (o.completed_s or 0.0) for o in expired)


@pytest.mark.parametrize("leg", [Leg.REQUEST, Leg.REPLY])
def test_a_server_dies_at_a_named_crossing(monkeypatch: pytest.MonkeyPatch, leg: Leg) -> None:
    """Before the third checkout's commit the order is not there; after it, it is."""
    place = AtCrossing(
        target=Target.DATABASE, leg=leg, label="COMMIT", operation="checkout", occurrence=6
    )
    history = run(monkeypatch, AppKill(restart_s=5.0), when=place)
    (span,) = history.faults
    assert "COMMIT" in span.detail
    victims = [o for o in history.operations if o.reason == "the application server died"]
    struck = [o for o in victims if o.kind == "checkout" and o.completed_s == span.started_s]
    assert len(struck) >= 1
    assert history.audit is not None
    keys = [o.key for o in history.audit.orders]
    assert len(keys) == len(set(keys))


def test_what_cannot_be_done_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsupported combination is an error before the run, not a milder fault."""
    with pytest.raises(UnsupportedFault, match="payment"):
        run(monkeypatch, Partition(target=Target.PAYMENT, duration_s=5.0))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (StorePause(target=Target.DATABASE, duration_s=5.0), "test: database pause: a stopped"),
        (ProxyDown(target=Target.REDIS, duration_s=5.0), "test: redis proxy down: there is no pr"),
        (
            Toxic(
                target=Target.REDIS,
                kind=ToxicKind.LIMIT_DATA,
                direction=Direction.DOWNSTREAM,
                attributes=(("bytes", 10.0),),
                duration_s=5.0,
            ),
            "test: redis downstream limit_data: there is no proxy",
        ),
    ],
)
def test_what_only_real_servers_suffer_is_refused_before_the_run(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, says: str
) -> None:
    """The message names the plan, the fault, why, and the arm that can do it."""
    with pytest.raises(UnsupportedFault) as raised:
        run(monkeypatch, fault)
    assert str(raised.value).startswith(says)
    assert str(raised.value).endswith("use `holdfast live`")


def test_a_killed_database_keeps_what_a_stopped_one_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are durable: the two deaths of the database differ in their name only."""
    stopped, killed = (
        run(monkeypatch, DatabaseRestart(down_s=10.0, death=death))
        for death in (Death.SIGTERM, Death.SIGKILL)
    )
    assert stopped.operations == killed.operations
    assert [each.fault for each in (*stopped.faults, *killed.faults)] == [
        "database restart",
        "database sigkill",
    ]
