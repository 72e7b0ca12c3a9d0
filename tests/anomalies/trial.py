"""One anomaly, tried: the same small hostile sale under the bad variant and under the fixed one.

A `Trial` is a sale, what breaks in it and the seeds to run. `Trial.run` plays it with one strategy
and judges every history. `assert_caught` and `assert_clean` say what must come out; how often a bad
variant was really caught is logged (`pytest tests/anomalies --log-cli-level=INFO`).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from chaos.faults import FaultPlan
from chaos.persistence import Persistence
from model.buyers import Crowd
from model.history import History
from model.run import simulate
from model.scenario import FaultEntry, Plan, Scenario
from model.spec import RunSpec
from properties import sometimes
from properties.judge import judge
from properties.verdicts import Status, Verdict

LOG = logging.getLogger("anomalies")

SAFETY = (
    "no-overbooking",
    "seat-sold-once",
    "hold-honoured",
    "no-overhold",
    "stock-conserved",
    "no-leak",
    "charged-once",
    "orders-durable",
    "expiry-honoured",
    "linearizable",
)
"""Everything that must not break; `sale-goes-on` is about service and judged where it matters."""

_HOSTILE: dict[str, dict[str, Any]] = {
    "sale": {"capacity": 6},
    # All of them have waited for the countdown and click within a twentieth of a second.
    "arrivals": {
        "buyers": 24,
        "duration_s": 60.0,
        "rush_share": 1.0,
        "opening_share": 1.0,
        "opening_s": 0.05,
    },
    # Nobody abandons, so that every ticket held too much becomes a ticket sold too much.
    "buyers": {
        "party_sizes": {1: 1.0, 2: 1.0},
        "abandon": 0.0,
        "last_minute": 0.0,
        "checkout_median_s": 20.0,
        "checkout_sigma": 0.3,
    },
    "payment": {"challenged": 0.0, "plain_s": 2.0},
    "hold": {"ttl_s": 120.0},
}


def hostile(**tables: dict[str, Any]) -> Scenario:
    """Make a sale in which everybody comes at once for few tickets; `tables` override its keys."""
    names = [*_HOSTILE, *(name for name in tables if name not in _HOSTILE)]
    merged = {name: {**_HOSTILE.get(name, {}), **tables.get(name, {})} for name in names}
    return Scenario.model_validate({"name": "hostile", **merged})


def evenly(buyers: int, duration_s: float) -> dict[str, Any]:
    """Say, as an `arrivals` table, that buyers come one after the other."""
    return {"kind": "steady", "buyers": buyers, "duration_s": duration_s}


def at(fault: str, at_s: float, **settings: float | str) -> FaultEntry:
    """Place a fault at a moment."""
    return FaultEntry(fault=fault, at_s=at_s, settings=settings)


def where(
    fault: str,
    crossing: str,
    operation: str = "",
    *,
    occurrence: int = 1,
    from_s: float = 0.0,
    **settings: float | str,
) -> FaultEntry:
    """Place a fault at a crossing, such as `database reply COMMIT` of a `checkout`."""
    return FaultEntry(
        fault=fault,
        crossing=crossing,
        operation=operation,
        occurrence=occurrence,
        at_s=from_s,
        settings=settings,
    )


def lost_reply(
    target: str, label: str, operation: str, *, occurrence: int = 1, from_s: float = 0.0
) -> FaultEntry:
    """Lose one reply: the link is cut while it is on its way, and whole again a blink later."""
    return where(
        "redis-partition",
        f"{target} reply {label}",
        operation,
        occurrence=occurrence,
        from_s=from_s,
        target=target,
        duration_s=0.02,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One judged run."""

    seed: int
    history: History
    verdicts: dict[str, Verdict]
    seen: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """All runs of one variant."""

    variant: str
    runs: tuple[Run, ...]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def violated(self, invariant: str) -> list[int]:
        """List the seeds that break `invariant`."""
        return [r.seed for r in self.runs if r.verdicts[invariant].status is Status.VIOLATED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A sale, what breaks in it, and the seeds.

    `fault` is the name of a bundled plan. `faults` are entries of a plan as a scenario file has
    them, `plan` is for what no file can write (a clock that steps); each replaces `fault`. `crowd`
    replaces the buyers by others, such as some who click twice.
    """

    scenario: Scenario
    fault: str = "none"
    faults: tuple[FaultEntry, ...] = ()
    plan: FaultPlan | None = None
    crowd: type[Crowd] = Crowd
    seeds: range = range(1, 6)

    def run(self, strategy: str, *, persistence: Persistence | None = None, **options: Any) -> Runs:
        """Play and judge every seed with one strategy and its options."""
        settings = ", ".join(f"{key}={value}" for key, value in options.items())
        return Runs(
            variant=" ".join(filter(None, (strategy, settings, persistence or ""))),
            runs=tuple(self._one(strategy, persistence, options, seed) for seed in self.seeds),
        )

    def _one(
        self, strategy: str, persistence: Persistence | None, options: dict[str, Any], seed: int
    ) -> Run:
        scenario, fault = self.scenario, self.fault if self.plan is None else self.plan.name
        if self.faults:
            fault = "anomaly"
            scenario = scenario.model_copy(update={"plans": {fault: Plan(faults=self.faults)}})
        spec = RunSpec(
            scenario=scenario,
            strategy=strategy,
            seed=seed,
            fault=fault,
            persistence=persistence,
            options=options,
        )
        with self._replaced():
            history = simulate(spec).history
        return Run(
            seed=seed,
            history=history,
            verdicts=judge(history),
            seen=sometimes.witnesses(history),
        )

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self.plan is not None:
                stack.enter_context(patch("model.run.resolve_plan", return_value=self.plan))
            stack.enter_context(patch("model.run.Crowd", self.crowd))
            yield


def assert_caught(runs: Runs, invariant: str, *, at_least: int) -> None:
    """The bad variant breaks `invariant` in at least so many of the seeds."""
    seeds = runs.violated(invariant)
    LOG.info("%s breaks %s in %d of %d seeds", runs.variant, invariant, len(seeds), len(runs.runs))
    assert len(seeds) >= at_least, (
        f"{runs.variant} breaks {invariant} in {len(seeds)} of {len(runs.runs)} seeds only: "
        + "; ".join(_brief(run, invariant) for run in runs)
    )


def assert_clean(
    runs: Runs, *invariants: str, price: Iterable[str] = (), saw: Iterable[str] = ()
) -> None:
    """The fixed variant keeps `invariants` in every seed, and breaks no other but its `price`.

    They must hold, not merely be unbroken: a verdict that had no chance to fail, a fault that did
    not strike, and a witness in `saw` that was never seen fail the test. A broken promise has no
    place in any order of the calls, so `linearizable` is part of every price.
    """
    price = set(price)
    paid = {*price, "linearizable"} if price else price
    for run in runs:
        for invariant in invariants:
            assert run.verdicts[invariant].status is Status.HOLDS, (
                f"{runs.variant}, seed {run.seed}: {_brief(run, invariant)}"
            )
        for invariant in set(SAFETY) - paid:
            assert run.verdicts[invariant].status is not Status.VIOLATED, (
                f"{runs.variant}, seed {run.seed}: {_brief(run, invariant)}"
            )
    for witness in saw:
        assert any(run.seen[witness] for run in runs), f"{runs.variant} never saw {witness}"


def _brief(run: Run, invariant: str) -> str:
    verdict = run.verdicts[invariant]
    why = verdict.violations[0].message if verdict.violations else verdict.reason
    return f"{run.seed}: {invariant} {verdict.status} of {verdict.examined} {why}"
