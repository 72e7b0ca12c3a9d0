"""The bundled fault plans."""

import math

import pytest

from chaos.faults import (
    Actor,
    AppKill,
    At,
    AtCrossing,
    ClockStep,
    DatabaseRestart,
    Death,
    Fault,
    Leg,
    LostReplies,
    Partition,
    PaymentTimeouts,
    RedisDeath,
    Slow,
    SlowFsync,
    StorePause,
    SweeperStopped,
    Target,
    Toxic,
)
from chaos.needs import Component, components, only_live
from chaos.plans import (
    PLAN_NAMES,
    Busy,
    EmptyFault,
    UnknownFault,
    check_fault,
    describe,
    faults_of,
    plan,
)
from chaos.toxics import Direction, ToxicKind

ONLY_LIVE = (
    "pause",
    "proxy-down",
    "latency",
    "timeout",
    "reset",
    "reset-request",
    "slow-close",
    "bandwidth",
    "slicer",
    "limit-data",
)
BUSY = Busy(start_s=10.0, end_s=330.0, ttl_s=900.0)


def toxic(kind: ToxicKind, toxicity: float = 1.0, **attributes: float) -> Toxic:
    """A toxic on the replies of Redis."""
    return Toxic(
        target=Target.REDIS,
        kind=kind,
        direction=Direction.DOWNSTREAM,
        attributes=tuple(attributes.items()),
        toxicity=toxicity,
        duration_s=1.0,
    )


def test_what_real_servers_need_is_said() -> None:
    """Each bundled fault says whether it can be simulated, and what the live arm needs for it."""
    only = {name for name in PLAN_NAMES if any(only_live(fault) for fault in faults_of(name))}
    assert only == {f"{store}-{blow}" for store in ("redis", "db") for blow in ONLY_LIVE}
    needing = {
        component: {
            name
            for name in PLAN_NAMES
            if any(component in components(fault) for fault in faults_of(name))
        }
        for component in Component
    }
    assert needing[Component.COMPILER] == {"redis-power-loss", "slow-fsync"}
    assert "redis-partition" in needing[Component.TOXIPROXY]
    assert not needing[Component.TOXIPROXY] & {"redis-pause", "db-pause", "redis-kill", "db-kill"}


def test_every_promised_fault_has_a_plan() -> None:
    """The names are those the project promises, in the order to show them."""
    assert (
        "none",
        "redis-restart",
        "redis-kill",
        "redis-power-loss",
        "redis-partition",
        "redis-slow",
        "slow-fsync",
        "lost-replies",
        "db-restart",
        "app-kill",
        "app-pause",
        "sweeper-stopped",
        "payment-timeout",
        "db-kill",
        "db-partition",
        "db-slow",
        *(f"redis-{blow}" for blow in ONLY_LIVE),
        *(f"db-{blow}" for blow in ONLY_LIVE),
    ) == PLAN_NAMES
    assert [name for name, _ in describe()] == list(PLAN_NAMES)
    assert all(summary for _, summary in describe())


@pytest.mark.parametrize("name", [name for name in PLAN_NAMES if name != "none"])
@pytest.mark.parametrize("busy", [BUSY, Busy(start_s=0.0, end_s=1.0, ttl_s=60.0)])
def test_every_plan_does_something_at_a_sensible_time(name: str, busy: Busy) -> None:
    """Each fault has an effect, and a time from which to until which it may strike."""
    faults = plan(name, busy).faults
    assert faults
    for planned in faults:
        check_fault(planned.fault)
        if isinstance(planned.when, At):
            assert 0.0 <= planned.when.earliest_s <= planned.when.latest_s <= busy.end_s
        else:
            assert planned.when.after_latest_s is not None
            assert 0.0 <= planned.when.after_s <= planned.when.after_latest_s


def test_none_is_the_empty_plan() -> None:
    """Nothing breaks under `none`."""
    assert plan("none", BUSY).faults == ()


@pytest.mark.parametrize(
    ("name", "death"),
    [
        ("redis-restart", Death.SIGTERM),
        ("redis-kill", Death.SIGKILL),
        ("redis-power-loss", Death.POWER_LOSS),
    ],
)
def test_the_deaths_of_redis_differ_only_in_their_kind(name: str, death: Death) -> None:
    """Same times, same downtime: what differs in the results is what the disk kept."""
    planned = plan(name, BUSY).faults
    assert {each.fault for each in planned} == {RedisDeath(death=death, down_s=2.0)}
    assert [each.when for each in planned] == [
        At(earliest_s=5.0, latest_s=10.0),  # while the holds are written
        At(earliest_s=50.0, latest_s=130.0),  # while people pay
    ]


def test_a_slow_disk_is_slow_whenever_a_death_beside_it_strikes() -> None:
    """`redis-kill+slow-fsync` merges both, and the disk is slow at every possible kill."""
    merged = plan("redis-kill+slow-fsync", BUSY)
    assert merged.name == "redis-kill+slow-fsync"
    assert merged.faults == plan("redis-kill", BUSY).faults + plan("slow-fsync", BUSY).faults
    slow = merged.faults[-1]
    assert isinstance(slow.fault, SlowFsync)
    assert slow.when == At(earliest_s=0.0, latest_s=0.0)
    for planned in merged.faults[:-1]:
        assert isinstance(planned.when, At)
        assert planned.when.latest_s < slow.fault.duration_s


def test_replies_are_lost_on_both_stores() -> None:
    """A lost reply of Redis and one of the database are different anomalies; both happen."""
    targets = {
        planned.fault.target
        for planned in plan("lost-replies", BUSY).faults
        if isinstance(planned.fault, LostReplies)
    }
    assert targets == {Target.REDIS, Target.DATABASE}


def test_app_kill_strikes_a_checkout_and_between_the_commits_of_sweeps() -> None:
    """One buyer's server in a checkout; sweepers after a commit, spread over the expiries."""
    buyer, *sweepers = [planned.when for planned in plan("app-kill", BUSY).faults]
    assert isinstance(buyer, AtCrossing)
    assert (buyer.actor, buyer.operation) == (Actor.BUYER, "checkout")
    windows = []
    for when in sweepers:
        assert isinstance(when, AtCrossing)
        assert (when.actor, when.target, when.leg, when.label) == (
            Actor.SWEEPER,
            Target.DATABASE,
            Leg.REPLY,
            "COMMIT",
        )
        windows.append((when.after_s, when.after_latest_s))
    assert windows == [(905.0, 910.0), (910.0, 1060.0), (1060.0, 1210.0)]


def test_a_stopped_sweeper_never_comes_back() -> None:
    """From the opening to the end."""
    (planned,) = plan("sweeper-stopped", BUSY).faults
    assert planned.fault == SweeperStopped(duration_s=None)
    assert planned.when == At(earliest_s=0.0, latest_s=0.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("redis-kil", "unknown fault 'redis-kil'; did you mean 'redis-kill'? Faults: none, redis-"),
        ("meteor", "unknown fault 'meteor'. Faults: none, redis-restart, redis-kill"),
        ("redis-kill+", "a fault has no name: write one before and after each `+`"),
        ("redis-kill+slow", "unknown fault 'slow'"),
        ("", "a fault has no name"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, message: str) -> None:
    """The message has the value, the nearest name and all names."""
    with pytest.raises(UnknownFault) as raised:
        plan(name, BUSY)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (LostReplies(target=Target.REDIS, probability=0.0, duration_s=1.0), "probability = 0: "),
        (PaymentTimeouts(probability=1.5, duration_s=1.0), "probability = 1.5: must be greater"),
        (PaymentTimeouts(probability=math.nan, duration_s=1.0), "probability = nan: must be great"),
        (Partition(target=Target.REDIS, duration_s=0.0), "duration_s = 0: must be finite and gr"),
        (Slow(target=Target.REDIS, extra_s=-1.0, duration_s=1.0), "extra_s = -1: must be finite"),
        (SlowFsync(fsync_s=math.inf, duration_s=1.0), "fsync_s = inf: must be finite and greater"),
        (RedisDeath(death=Death.SIGKILL, down_s=0.0), "down_s = 0: must be finite and greater"),
        (AppKill(restart_s=0.0), "restart_s = 0: must be finite and greater than 0"),
        (SweeperStopped(duration_s=0.0), "duration_s = 0: must be finite and greater than 0"),
        (ClockStep(target=None, step_s=0.0), "step_s = 0: must be finite and not 0"),
        (StorePause(target=Target.REDIS, duration_s=0.0), "duration_s = 0: must be finite and g"),
        (DatabaseRestart(down_s=1.0, death=Death.POWER_LOSS), "death = power-loss: a database's"),
        (toxic(ToxicKind.LATENCY, latency=0.0), "latency or jitter = 0: latency would do nothing"),
        (toxic(ToxicKind.TIMEOUT, timeout=1.5), "timeout = 1.5: must be a whole number, not neg"),
        (toxic(ToxicKind.TIMEOUT, timeout=math.inf), "timeout = inf: must be a whole number"),
        (toxic(ToxicKind.TIMEOUT, delay=1.0), "delay = 1: timeout has only timeout"),
        (toxic(ToxicKind.SLICER, average_size=4, size_variation=4), "size_variation = 4: must be"),
        (toxic(ToxicKind.TIMEOUT, toxicity=0.0), "toxicity = 0: must be greater than 0 and at mo"),
    ],
)  # fmt: skip
def test_a_fault_that_does_nothing_is_refused(fault: Fault, message: str) -> None:
    """A run under such a fault would look like proof that it is harmless."""
    with pytest.raises(EmptyFault) as raised:
        check_fault(fault)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    "fault",
    [SweeperStopped(duration_s=None), ClockStep(target=Target.REDIS, step_s=-901.0)],
)
def test_a_fault_to_the_end_or_backwards_is_a_fault(fault: Fault) -> None:
    """None means to the end, and clocks step back too."""
    check_fault(fault)


@pytest.mark.parametrize(
    ("start_s", "end_s", "ttl_s"),
    [(5.0, 5.0, 900.0), (5.0, 1.0, 900.0), (-1.0, 5.0, 900.0), (1.0, math.inf, 900.0)],
)
def test_a_window_must_be_one(start_s: float, end_s: float, ttl_s: float) -> None:
    """Faults cannot be placed in an empty or endless time."""
    with pytest.raises(ValueError, match="must be finite, not negative, and start before its end"):
        Busy(start_s=start_s, end_s=end_s, ttl_s=ttl_s)
