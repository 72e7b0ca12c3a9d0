"""Finds a small run that still violates an invariant: few tickets, few buyers, no bystanders.

The search is bounded by a number of runs, never by time, so that the same comparison always tells
the same story. It shrinks the world, not the fault plan: what struck the big run strikes the small.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from model.history import History
from model.run import simulate
from model.scenario import Scenario
from model.spec import RunSpec
from properties.judge import INVARIANTS
from properties.verdicts import Violation

SMALL_WORLDS = ((3, 6), (6, 12), (12, 20))  # buyers, and how many seeds to try with so many
BUYER = "buyer-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that violates an invariant, and its first violation."""

    spec: RunSpec
    history: History
    violation: Violation
    runs_tried: int = 1


def shrink(spec: RunSpec, invariant: str, found: Failure | None = None) -> Failure | None:
    """Return a small failure of `invariant` under the strategy and the fault of `spec`.

    First small worlds are tried, seed by seed; then, if none fails, the buyers whom `found` (a
    failure of the full size) names, alone in their own world; then buyers are left out one by one.
    None: no small failure was found within the bounds.
    """
    for tried, candidate in enumerate(_candidates(spec, found), start=1):
        failure = fails(candidate, invariant)
        if failure is not None:
            return _without_bystanders(failure, invariant, tried)
    return None


def fails(spec: RunSpec, invariant: str) -> Failure | None:
    """Run `spec`; return how it violates `invariant`, or None."""
    history = simulate(spec).history
    violations = INVARIANTS[invariant].check(history).violations
    if not violations:
        return None
    return Failure(spec=spec, history=history, violation=violations[0])


def _candidates(spec: RunSpec, found: Failure | None) -> Iterator[RunSpec]:
    whole = buyers_of(spec.scenario)
    for buyers, seeds in SMALL_WORLDS:
        if buyers >= whole:
            break
        small = small_world(spec.scenario, buyers)
        for seed in range(1, seeds + 1):
            yield replace(spec, scenario=small, seed=seed)
    if found is not None:
        alone = buyer_numbers(found.violation.actors)
        if alone and len(alone) < whole:
            yield replace(found.spec, only_buyers=frozenset(alone))


def small_world(scenario: Scenario, buyers: int) -> Scenario:
    """Return the scenario with so few buyers, and no more tickets than the largest party wants."""
    parties = scenario.trace_quantities or tuple(scenario.buyers.party_sizes)
    capacity = min(scenario.sale.capacity, max(parties))
    return scenario.model_copy(
        update={
            "sale": scenario.sale.model_copy(update={"capacity": capacity}),
            "arrivals": scenario.arrivals.model_copy(update={"buyers": buyers}),
            "trace_arrivals_s": scenario.trace_arrivals_s[:buyers],
            "trace_quantities": scenario.trace_quantities[:buyers],
        }
    )


def buyers_of(scenario: Scenario) -> int:
    """Return how many buyers come to a sale."""
    return len(scenario.trace_arrivals_s) or scenario.arrivals.buyers


def buyer_numbers(actors: Iterable[str]) -> list[int]:
    """Return the numbers of the buyers among some actors (`buyer-12` is 12)."""
    return [int(actor.removeprefix(BUYER)) for actor in actors if actor.startswith(BUYER)]


def _without_bystanders(failure: Failure, invariant: str, tried: int) -> Failure:
    """Leave out everybody not named, if that still fails; then one buyer after the other."""
    spec = failure.spec
    everybody = sorted(spec.only_buyers or range(buyers_of(spec.scenario)))
    named = sorted(buyer_numbers(failure.violation.actors))
    if 0 < len(named) < len(everybody):
        tried += 1
        smaller = fails(replace(spec, only_buyers=frozenset(named)), invariant)
        if smaller is not None:
            failure, everybody = smaller, named
    for buyer in list(everybody):
        rest = [other for other in everybody if other != buyer]
        if not rest:
            break
        tried += 1
        smaller = fails(replace(spec, only_buyers=frozenset(rest)), invariant)
        if smaller is not None:
            failure, everybody = smaller, rest
    return replace(failure, runs_tried=tried)
