"""Rules of a scenario that concern more than one value."""

from collections.abc import Iterator

from model.scenario import Scenario
from model.scenario_problems import Problem

MOST_BUYERS = 10_000_000  # beyond it a run would exhaust the memory of most machines


def check_scenario(scenario: Scenario) -> list[Problem]:
    """Return what does not fit together in a scenario whose every value is allowed by itself."""
    return [
        *_arrivals(scenario),
        *_party_sizes(scenario),
        *_ranges(scenario),
    ]


def _arrivals(scenario: Scenario) -> Iterator[Problem]:
    arrivals = scenario.arrivals
    if arrivals.buyers > MOST_BUYERS:
        yield Problem(
            path=("arrivals", "buyers"),
            value=arrivals.buyers,
            says=f"must be at most {MOST_BUYERS}",
        )
    if arrivals.kind == "rush" and arrivals.rush_s > arrivals.duration_s:
        yield Problem(
            path=("arrivals", "rush_s"),
            value=arrivals.rush_s,
            says=f"must be at most arrivals.duration_s ({arrivals.duration_s:g})",
        )


def _party_sizes(scenario: Scenario) -> Iterator[Problem]:
    sizes = scenario.buyers.party_sizes
    capacity = scenario.sale.capacity
    if not sizes:
        yield Problem(
            path=("buyers", "party_sizes"),
            value={},
            says="must give at least one size and its weight, such as { 2 = 1.0 }",
        )
    for size in sizes:
        if not 1 <= size <= capacity:
            yield Problem(
                path=("buyers", "party_sizes", str(size)),
                says=f"a party size must be from 1 to sale.capacity ({capacity})",
            )


def _ranges(scenario: Scenario) -> Iterator[Problem]:
    """Check pairs of which the first must not exceed the second."""
    low, high = scenario.buyers.retry_delay_s
    if low > high:
        yield Problem(
            path=("buyers", "retry_delay_s"),
            value=[low, high],
            says="must be the least delay, then the greatest",
        )
    latency = scenario.latency
    for name in ("redis", "database", "commit"):
        median = getattr(latency, f"{name}_median_ms")
        p99 = getattr(latency, f"{name}_p99_ms")
        if p99 < median:
            yield Problem(
                path=("latency", f"{name}_p99_ms"),
                value=p99,
                says=f"must be at least latency.{name}_median_ms ({median:g})",
            )
