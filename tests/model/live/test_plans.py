"""Which faults the live arm takes, and how a simulation is matched to what was measured."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.faults import (
    AppKill,
    At,
    AtCrossing,
    ClockStep,
    Death,
    Fault,
    FaultPlan,
    Leg,
    LostReplies,
    Partition,
    PlannedFault,
    RedisDeath,
    Slow,
    SlowFsync,
    SweeperStopped,
    Target,
    UnsupportedFault,
)
from chaos.stacks.contract import Stack
from model.history import FaultSpan
from model.live.injector import LiveInjector, for_stack, refuse_impossible
from model.live.measure import Measured, RoundTrip, matched_plan, matched_scenario
from model.live.timescale import TimeScale
from model.scenario import Scenario

AT = At(earliest_s=1.0, latest_s=2.0)
COMMIT = AtCrossing(target=Target.DATABASE, leg=Leg.REPLY, label="COMMIT")
SCALE = TimeScale(factor=30.0)


class Incapable:
    """A stack that can break nothing."""

    name = "incapable"

    def refuses(self, fault: Fault) -> str | None:
        """Refuse."""
        return f"{type(fault).__name__}: nothing here can be broken; use another stack"


def refuse(fault: Fault, when: Any = AT) -> None:
    """Check a plan of one fault."""
    plan = FaultPlan(name="plan", summary="", faults=(PlannedFault(fault=fault, when=when),))
    refuse_impossible(plan, cast("Stack", Incapable()), Scenario(name="x"), SCALE)


@pytest.mark.parametrize(
    ("fault", "when", "says"),
    [
        (RedisDeath(death=Death.SIGKILL, down_s=1.0), AT, "nothing here can be broken"),
        (Partition(target=Target.PAYMENT, duration_s=1.0), AT, "use payment-timeout"),
        (
            LostReplies(target=Target.PAYMENT, probability=0.5, duration_s=1.0),
            AT,
            "use payment-timeout",
        ),
        (ClockStep(target=Target.REDIS, step_s=5.0), AT, "nothing here can be broken"),
        (Slow(target=Target.REDIS, extra_s=5.0, duration_s=9.0), AT, "use a partition"),
        (
            LostReplies(target=Target.DATABASE, probability=1.0, duration_s=1.0),
            AtCrossing(target=Target.DATABASE, leg=Leg.REQUEST),
            "on the reply leg",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(fault: Fault, when: Any, says: str) -> None:
    """The message names the plan and the fault, why, and what would do."""
    with pytest.raises(UnsupportedFault, match=f"plan: .*{says}"):
        refuse(fault, when)


@pytest.mark.parametrize(
    ("fault", "when"),
    [
        (AppKill(restart_s=1.0), COMMIT),
        (SweeperStopped(duration_s=None), AT),
        (ClockStep(target=None, step_s=5.0), AT),
        (LostReplies(target=Target.DATABASE, probability=1.0, duration_s=1.0), COMMIT),
    ],
)
def test_what_is_the_arms_own_needs_no_stack(fault: Fault, when: Any) -> None:
    """Servers, sweepers, clocks and replies are broken by the runner itself."""
    refuse(fault, when)


def test_delays_shrink_with_time_but_a_disk_does_not() -> None:
    """A slow network is in the scenario's seconds, a slow fsync in those of Redis's own rhythm."""
    slow = Slow(target=Target.REDIS, extra_s=0.3, duration_s=60.0)
    assert for_stack(slow, SCALE) == Slow(target=Target.REDIS, extra_s=0.01, duration_s=60.0)
    disk = SlowFsync(fsync_s=1.5, duration_s=60.0)
    assert for_stack(disk, SCALE) is disk


def test_a_matched_plan_strikes_alike_and_lasts_as_measured() -> None:
    """The name and the times stay, so that both arms draw the same; each death has its downtime."""
    death = PlannedFault(fault=RedisDeath(death=Death.SIGKILL, down_s=2.0), when=AT)
    kill = PlannedFault(fault=AppKill(restart_s=5.0), when=COMMIT)
    plan = FaultPlan(name="both", summary="", faults=(death, kill, death))
    spans = [
        FaultSpan(fault="redis sigkill", started_s=20.0, ended_s=26.0),
        FaultSpan(fault="redis sigkill", started_s=10.0, ended_s=14.0),
        FaultSpan(fault="redis sigkill", started_s=30.0, ended_s=99.0, struck=False),
    ]
    matched = matched_plan(plan, spans)
    assert matched.name == "both"
    assert [planned.when for planned in matched.faults] == [AT, COMMIT, AT]
    assert matched.faults[0].fault == RedisDeath(death=Death.SIGKILL, down_s=4.0)
    assert matched.faults[1] == kill
    assert matched.faults[2].fault == RedisDeath(death=Death.SIGKILL, down_s=6.0)


def test_a_death_that_did_not_strike_leaves_the_mean() -> None:
    """Which of two it was that struck is not told."""
    death = PlannedFault(fault=RedisDeath(death=Death.SIGKILL, down_s=2.0), when=AT)
    plan = FaultPlan(name="two", summary="", faults=(death, death, death))
    spans = [
        FaultSpan(fault="redis sigkill", started_s=10.0, ended_s=14.0),
        FaultSpan(fault="redis sigkill", started_s=20.0, ended_s=26.0),
    ]
    found = [planned.fault for planned in matched_plan(plan, spans).faults]
    assert found == [RedisDeath(death=Death.SIGKILL, down_s=5.0)] * 3


def test_a_matched_scenario_sees_machines_in_its_own_seconds() -> None:
    """A round trip of 1 ms of wall time is 30 ms of a scenario that runs 30 times as fast."""
    trip = RoundTrip(median_ms=1.0, p99_ms=2.0)
    measured = Measured(redis=trip, statement=trip, commit=trip)
    scenario = matched_scenario(Scenario(name="x"), measured, SCALE)
    assert scenario.latency.redis_median_ms == 30.0
    assert scenario.latency.commit_p99_ms == 60.0
    assert scenario.servers.redis_timeout_s == pytest.approx(7.5)  # the floor of 0.25 s
    assert scenario.servers.database_pool_timeout_s == pytest.approx(30.0)
    assert scenario.buyers == Scenario(name="x").buyers


def test_a_delay_that_time_makes_nothing_of_is_refused() -> None:
    """At a large factor a slow network would be a toxic of 0 ms, struck and without effect."""
    with pytest.raises(UnsupportedFault, match=r"use a smaller --time-factor"):
        refuse(Slow(target=Target.REDIS, extra_s=0.01, duration_s=10.0))


def test_healing_at_once_goes_on_beside_a_healing_under_way() -> None:
    """The run is cut short while the thread heals one: all are healed, none is lost."""
    injector = LiveInjector.__new__(LiveInjector)
    injector.cloud = cast("Any", SimpleNamespace(servers=[]))
    healed: list[str] = []

    class Broken:
        detail, struck = "", True

        def __init__(self, name: str) -> None:
            self.name = name

        def heal(self) -> None:
            """As the thread does at that very moment."""
            healed.append(self.name)
            if self.name == "second":
                injector._breakages.remove(self)

    injector._breakages = [Broken("first"), Broken("second")]
    injector.heal_at_once()
    assert healed == ["second", "first"]
    assert injector._breakages == []
