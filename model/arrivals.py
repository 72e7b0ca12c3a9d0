"""When buyers arrive: a rush that decays, a steady stream, or a recorded trace.

Each buyer's time comes from one draw of that buyer's own, turned into a time by the inverse of the
arrivals' cumulative share. Adding buyers, or leaving some out, therefore moves nobody else.
"""

from math import exp, log

from model.scenario import Arrivals, Scenario
from model.streams import fraction

# The rush decays exponentially with this part of `rush_s` as its mean: three means fit into the
# rush, so that its last second is 20 times quieter than its first. The half of all arrivals within
# the first minute is grounded (docs/numbers.md); the shape within that minute is an assumption.
RUSH_MEAN_PART = 1.0 / 3.0


def arrival_times(scenario: Scenario, seed: int) -> list[float]:
    """Return the arrival of each buyer, in seconds after the sale opens, indexed by buyer number.

    The list is in the order of buyer numbers, not of time. A trace gives its own times, whatever
    the seed; the other kinds draw buyer `i` from the stream (seed, "arrival", i).

    Raises:
        ValueError: a rush longer than the arrivals, or a trace that was not loaded.
    """
    arrivals = scenario.arrivals
    if arrivals.kind == "trace":
        if not scenario.trace_arrivals_s:
            raise ValueError(
                f"scenario {scenario.name}: the trace {arrivals.trace} is not loaded; "
                "read the scenario with model.scenario_file.load_scenario"
            )
        return list(scenario.trace_arrivals_s)
    shares = (fraction(seed, "arrival", buyer) for buyer in range(arrivals.buyers))
    if arrivals.kind == "steady":
        return [share * arrivals.duration_s for share in shares]
    if arrivals.rush_s > arrivals.duration_s:
        raise ValueError(
            f"scenario {scenario.name}: arrivals.rush_s = {arrivals.rush_s:g}: "
            f"must be at most arrivals.duration_s ({arrivals.duration_s:g})"
        )
    return [_rush_time(share, arrivals) for share in shares]


def waits_at_the_door(scenario: Scenario, arrival_s: float) -> bool:
    """Say whether who comes then waited for the countdown, and has nothing to think about."""
    arrivals = scenario.arrivals
    return arrivals.kind == "rush" and arrival_s < arrivals.opening_s and arrivals.opening_share > 0


def time_of_share(scenario: Scenario, share: float) -> float:
    """Return the time, in seconds, by which `share` (0 to 1) of the buyers is expected to be there.

    For planning, such as when the stock will be held; it draws nothing.
    """
    arrivals = scenario.arrivals
    if arrivals.kind == "trace":
        times = sorted(arrival_times(scenario, 0))
        return times[min(int(share * len(times)), len(times) - 1)]
    if arrivals.kind == "steady":
        return share * arrivals.duration_s
    return _rush_time(share, arrivals)


def _rush_time(share: float, arrivals: Arrivals) -> float:
    """Turn a cumulative share into a time: the opening, a decaying rush, then a uniform rest."""
    opening = min(arrivals.opening_share, arrivals.rush_share)
    if share < opening:
        return arrivals.opening_s * share / opening
    if share < arrivals.rush_share:
        mean_s = arrivals.rush_s * RUSH_MEAN_PART
        within_rush = 1.0 - exp(-arrivals.rush_s / mean_s)  # the exponential is cut at rush_s
        part = (share - opening) / (arrivals.rush_share - opening)
        return -mean_s * log(1.0 - within_rush * part)
    if arrivals.rush_share == 1.0:
        return arrivals.rush_s
    rest = (share - arrivals.rush_share) / (1.0 - arrivals.rush_share)
    return arrivals.rush_s + rest * (arrivals.duration_s - arrivals.rush_s)
