"""Defects that were found, each by one sentence and the smallest world that shows it."""

from random import Random

import pytest
import redis

from chaos.faults import (
    AppKill,
    AppPause,
    At,
    AtCrossing,
    DatabaseRestart,
    Death,
    FaultPlan,
    Leg,
    PlannedFault,
    RedisDeath,
    Slow,
    SlowFsync,
    Target,
    UnsupportedFault,
)
from chaos.persistence import Persistence
from model.history import History
from model.kernel import ServerDied
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from properties.judge import judge
from properties.verdicts import Status
from tests.model.driving import SmallWorld


def at(fault: object, second: float) -> PlannedFault:
    """A fault at a given second."""
    return PlannedFault(fault=fault, when=At(earliest_s=second, latest_s=second))  # type: ignore[arg-type]


def run(
    monkeypatch: pytest.MonkeyPatch,
    *faults: PlannedFault,
    strategy: str = "redis-hold-recheck",
    persistence: Persistence | None = Persistence.AOF_EVERYSEC,
    **settings: str,
) -> History:
    """A small sale with these faults."""
    plan = FaultPlan(name="test", summary="", faults=faults)
    monkeypatch.setattr("model.run.resolve_plan", lambda _name, _scenario: plan)
    given = {"arrivals.buyers": "60", "sale.capacity": "40", "payment.plain_s": "20.0"}
    scenario = load_scenario(
        "small", {**given, **{k.replace("__", "."): v for k, v in settings.items()}}
    )
    spec = RunSpec(
        scenario=scenario, strategy=strategy, seed=2, fault="test", persistence=persistence
    )
    return simulate(spec).history


def test_a_request_that_had_not_begun_dies_with_its_paused_server() -> None:
    """Killing a paused server with a request not yet begun crashed the whole run."""
    world = SmallWorld()
    world.server.paused = world.env.timeout(50.0)
    world.at(1.0, "buyer", lambda: "never")
    world.do(2.0, lambda: world.kill("buyer"))
    world.run(until_s=100.0)
    assert isinstance(world.results["buyer"], ServerDied)


def test_a_paused_then_killed_server_is_a_history_not_a_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same through a whole run, on the only server."""
    history = run(
        monkeypatch,
        at(AppPause(duration_s=30.0), 10.0),
        at(AppKill(restart_s=5.0), 15.0),
        servers__count="1",
    )
    assert len(history.faults) == 2
    assert history.audit is not None


def test_waiters_of_a_stalled_redis_share_its_next_fsync() -> None:
    """Each of them waited for an fsync of its own: 8 writes took 12 s instead of 4."""
    world = SmallWorld(Persistence.AOF_ALWAYS, fsync_s=1.5)
    client = world.client()
    client.ping()
    ends: list[float] = []

    def write(number: int) -> None:
        try:
            client.set(str(number), 1)
        finally:
            ends.append(world.env.now)

    for number in range(8):
        world.at(1.0 + 0.001 * number, str(number), lambda number=number: write(number))
    world.run(until_s=30.0)
    assert min(ends) == pytest.approx(2.5, abs=0.01)
    assert max(ends) <= 4.05, "two fsyncs serve all eight"
    late = [r for r in world.results.values() if isinstance(r, redis.TimeoutError)]
    assert late, "a socket timeout of 2 s runs while the server is stalled"
    assert len(client.keys()) == 8, "and the commands of those who gave up take effect"


def test_slower_than_the_timeout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link slower than the client's timeout never timed out: milder than asked."""
    fault = Slow(target=Target.REDIS, extra_s=30.0, duration_s=60.0)
    with pytest.raises(UnsupportedFault, match="use a partition"):
        run(monkeypatch, at(fault, 10.0))


def test_overlapping_faults_heal_when_the_last_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to end healed both: nothing may be answered while the second still holds."""
    history = run(
        monkeypatch,
        at(DatabaseRestart(down_s=20.0), 30.0),
        at(DatabaseRestart(down_s=60.0), 40.0),
        strategy="db-cart",
        persistence=None,
    )
    answered = [
        o for o in history.operations if o.outcome == "ok" and 50.5 < (o.completed_s or 0) < 99.5
    ]
    assert not answered
    assert [o for o in history.operations if o.outcome == "ok" and (o.completed_s or 0) > 100.0]


def test_a_power_loss_after_a_kill_loses_what_was_in_the_page_cache() -> None:
    """A restart after SIGKILL counted the page cache as on disk."""
    world = SmallWorld(Persistence.AOF_NO)
    client = world.client()
    world.at(1.0, "set", lambda: client.set("hold", 1))
    world.do(2.0, lambda: world.redis.die(Death.SIGKILL))
    world.do(2.1, world.redis.start)
    world.do(3.0, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(3.1, world.redis.start)
    world.run(until_s=2.5)
    assert client.get("hold") == b"1"
    world.run(until_s=5.0)
    assert client.get("hold") is None


def test_a_snapshot_dies_with_its_process() -> None:
    """A power loss in mid-snapshot: it completed while the machine was off."""
    world = SmallWorld(Persistence.RDB, save_points=((1, 1),), snapshot_s=5.0)
    client = world.client()
    world.at(2.0, "set", lambda: client.set("hold", 1))
    world.do(3.0, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(10.0, world.redis.start)
    world.do(11.0, lambda: world.redis.die(Death.SIGKILL))
    world.do(12.0, world.redis.start)
    world.run(until_s=20.0)
    assert client.get("hold") is None


def test_a_snapshot_is_taken_whatever_the_rounding() -> None:
    """`now + (when - now)` can come out below `when`; the snapshot was then never taken."""
    draw = Random(1)
    for _ in range(60):
        world = SmallWorld(Persistence.RDB, save_points=((7, 1),), snapshot_s=0.1)
        client = world.client()
        world.at(draw.uniform(0.0, 6.0), "set", lambda client=client: client.set("hold", 1))
        world.run(until_s=10.0)
        assert world.redis.snapshots is not None
        assert world.redis.snapshots.completed is not None


def test_sigterm_saves_only_with_a_save_point() -> None:
    """R5: without one, SIGTERM loses everything."""
    world = SmallWorld(Persistence.RDB, save_points=())
    client = world.client()
    client.set("hold", 1)
    world.redis.die(Death.SIGTERM)
    world.redis.start()
    assert client.get("hold") is None


def test_a_capture_under_way_survives_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """C05: the provider stopped working when the shop's server died."""
    history = run(monkeypatch, at(AppKill(restart_s=5.0), 60.0), servers__count="1")
    struck = {o.key for o in history.operations if o.completed_s == 60.0 and o.kind == "checkout"}
    assert history.audit is not None
    captured = {p.key for p in history.audit.payments if (p.captured_s or 0.0) > 60.0}
    assert struck & captured


def test_a_fault_with_nothing_to_break_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow fsync without an append-only file counted as a fault that struck."""
    fault = at(SlowFsync(fsync_s=1.5, duration_s=60.0), 20.0)
    history = run(monkeypatch, fault, persistence=Persistence.NONE)
    assert not history.faults[0].struck
    assert judge(history)["no-overbooking"].status is Status.INCONCLUSIVE


def test_the_audit_waits_for_healing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis still down at the end of the run crashed the audit."""
    fault = at(RedisDeath(death=Death.SIGKILL, down_s=5000.0), 60.0)
    history = run(monkeypatch, fault)
    assert history.audit is not None
    assert history.faults[0].ended_s == pytest.approx(5060.0)


def test_two_traps_at_one_crossing_both_spring(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one trap sprang, the others at that crossing did not count it."""
    place = AtCrossing(target=Target.PAYMENT, leg=Leg.REPLY, label="capture")
    history = run(
        monkeypatch,
        PlannedFault(fault=RedisDeath(death=Death.SIGKILL, down_s=2.0), when=place),
        PlannedFault(fault=AppKill(restart_s=2.0), when=place),
    )
    assert len({span.started_s for span in history.faults}) == 1
    assert len(history.faults) == 2


def test_a_script_may_not_do_what_a_client_may_not() -> None:
    """Lua bypassed the refusals, and drew from the global generator."""
    from model.redis.refusals import UnsupportedCommand

    client = SmallWorld().client()
    with pytest.raises(UnsupportedCommand, match="SRANDMEMBER"):
        client.eval("return redis.call('SRANDMEMBER', KEYS[1])", 1, "s")


def test_members_of_a_set_come_in_one_order() -> None:
    """SMEMBERS followed PYTHONHASHSEED."""
    client = SmallWorld().client()
    client.sadd("s", *(f"seat-{n}" for n in range(50)))
    raw = client.eval("return redis.call('SMEMBERS', KEYS[1])", 1, "s")
    assert raw == sorted(raw)
    assert len(raw) == 50


def test_a_session_is_not_opened_on_a_dead_database() -> None:
    """A stop between the check and the reply left a session that could commit while down."""
    world = SmallWorld()
    world.at(1.0, "connect", lambda: world.engine.connect().close())
    world.do(1.0007, world.database.stop)
    world.run(until_s=5.0)
    assert isinstance(world.results["connect"], Exception)
    assert not world.database._sessions
