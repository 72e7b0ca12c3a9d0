"""Hypothesis strategies for simulated sales: who comes when, what there is, what breaks, on what.

They shrink towards a sale that can be read at a glance: one buyer, one ticket, no fault, a Redis
that keeps everything, and buyers who come so far apart that no call meets another one (no context
switch). `describe` says in a few words what came out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from chaos.persistence import Persistence
from model.scenario import FaultEntry, Plan, Scenario
from model.spec import RunSpec
from reservation.api import AdmissionKind
from reservation.catalogue import find

PLAN = "generated"
TTL_S = 900.0
PAID_AFTER_S = 40.0
GAPS_S = (200.0, 20.0, 1.0, 0.001, 0.0)  # between arrivals: the further apart, the simpler
MOST_BUYERS, MOST_TICKETS, MOST_FAULTS = 4, 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When each buyer comes: `gaps_s` after the one before."""

    gaps_s: tuple[float, ...]

    @property
    def arrivals_s(self) -> tuple[float, ...]:
        """Seconds after the opening."""
        return tuple(1.0 + sum(self.gaps_s[: index + 1]) for index in range(len(self.gaps_s)))

    @property
    def together(self) -> int:
        """How many buyers come while the one before is still asking."""
        return sum(gap_s < 0.1 for gap_s in self.gaps_s[1:])


def schedules(buyers: int) -> st.SearchStrategy[Schedule]:
    """Draw arrivals of so many buyers; far apart is simplest."""
    gaps = st.lists(st.sampled_from(GAPS_S), min_size=buyers, max_size=buyers)
    return gaps.map(lambda drawn: Schedule(gaps_s=tuple(drawn)))


def fault_plans(*, uses_redis: bool, until_s: float) -> st.SearchStrategy[tuple[FaultEntry, ...]]:
    """Draw at most `MOST_FAULTS` faults within `until_s` seconds; none is simplest."""
    moments = st.integers(1, max(1, int(until_s) // 10)).map(lambda tens: tens * 10.0)
    kinds: list[tuple[str, dict[str, float | str]]] = [
        ("db-restart", {"down_s": 2.0}),
        ("app-kill", {}),
    ]
    if uses_redis:
        kinds = [("redis-kill", {"down_s": 1.0}), ("redis-power-loss", {"down_s": 1.0}), *kinds]
    entry = st.builds(
        lambda kind, at_s: FaultEntry(fault=kind[0], at_s=at_s, settings=kind[1]),
        st.sampled_from(kinds),
        moments,
    )
    return st.lists(entry, max_size=MOST_FAULTS).map(tuple)


@st.composite
def worlds(
    draw: st.DrawFn,
    strategy: str,
    *,
    options: dict[str, Any] | None = None,
    persistences: Sequence[Persistence] = (Persistence.AOF_ALWAYS, Persistence.NONE),
    faults: bool = True,
) -> RunSpec:
    """Draw a whole sale of one strategy, ready to be run; earlier `persistences` are simpler."""
    info = find(strategy)
    buyers = draw(st.integers(1, MOST_BUYERS))
    schedule = draw(schedules(buyers))
    party = st.integers(1, 2)
    quantities = tuple(draw(st.lists(party, min_size=buyers, max_size=buyers)))
    capacity = draw(st.integers(1, MOST_TICKETS))
    until_s = schedule.arrivals_s[-1] + PAID_AFTER_S
    plan: tuple[FaultEntry, ...] = ()
    if faults:
        plan = draw(fault_plans(uses_redis=info.uses_redis, until_s=until_s))
    kind = AdmissionKind.GENERAL if AdmissionKind.GENERAL in info.admits else AdmissionKind.SEATS
    return RunSpec(
        scenario=_scenario(schedule, quantities, max(capacity, *quantities), kind, plan),
        strategy=strategy,
        seed=draw(st.integers(1, 3)),
        fault=PLAN if plan else "none",
        persistence=draw(st.sampled_from(tuple(persistences))) if info.uses_redis else None,
        options=dict(options or {}),
    )


def _scenario(
    schedule: Schedule,
    quantities: tuple[int, ...],
    capacity: int,
    kind: AdmissionKind,
    plan: tuple[FaultEntry, ...],
) -> Scenario:
    return Scenario.model_validate(
        {
            "name": "generated",
            "sale": {"capacity": capacity, "kind": kind},
            "arrivals": {"kind": "trace", "trace": "generated", "buyers": len(quantities)},
            "trace_arrivals_s": schedule.arrivals_s,
            "trace_quantities": quantities,
            "buyers": {
                "think_median_s": 0.0001,
                "abandon": 0.0,
                "last_minute": 0.0,
                "checkout_median_s": PAID_AFTER_S,
                "checkout_sigma": 0.0,
                "retry_refused": 0.0,
            },
            "payment": {"challenged": 0.0},
            "hold": {"ttl_s": TTL_S},
            "plans": {PLAN: Plan(faults=plan)} if plan else {},
        }
    )


def describe(spec: RunSpec) -> dict[str, Any]:
    """Say what a generated sale is, for a test that knows the smallest one."""
    scenario = spec.scenario
    arrivals_s = scenario.trace_arrivals_s
    gaps_s = tuple(later - earlier for earlier, later in pairwise(arrivals_s))
    plan = scenario.plans.get(PLAN)
    return {
        "tickets": scenario.trace_quantities,
        "capacity": scenario.sale.capacity,
        "together": sum(gap_s < 0.1 for gap_s in gaps_s),
        "faults": tuple(entry.fault for entry in plan.faults) if plan else (),
        "persistence": spec.persistence,
    }
