"""One factor between the scenario's seconds and wall time, and what it applies to.

Everything that is *human or operational* is divided by the factor: arrivals, think times, TTLs,
sweeper periods, payments, the lengths of faults, the waits before a retry. What the machines
themselves need is not: a round trip, a commit, the restart of a server, and Redis's own rhythm (the
append-only file is fsynced once a wall second). Read in the scenario's seconds those look `factor`
times as long, and so a smaller factor is better evidence and a larger one is quicker.

Client timeouts are divided too, but never below `LEAST_TIMEOUT_S`: under that, two busy cores alone
would make calls fail that nothing has broken.

Histories are written in the scenario's seconds, so that the bounds of the invariants (a hold's
length, the sweep bound, "served again within 60 s", `doubtful_after_s`, the clocks' slack) mean on
a live history what they mean on a simulated one. Only latencies are told in wall milliseconds
(`properties.metrics` divides by `time_factor` of the history's meta).
"""

import time
from dataclasses import dataclass
from typing import Any

DEFAULT_FACTOR = 30.0
"""A hold of 900 s takes 30 s. A Redis that is back 35 to 350 ms after its death (measured) was then
away for 1 to 10 of the scenario's seconds, which is what a supervisor takes; at 100 it would be
half a minute, longer than buyers ask again, and a call of 1 ms would be a tenth of a second."""

LEAST_TIMEOUT_S = 0.25
LEAST_BACKOFF_S = 0.001


@dataclass(slots=True)
class TimeScale:
    """Converts between the two; `opened_at` (epoch seconds) is set when the sale opens.

    The wall clock is used throughout, because Redis and PostgreSQL tell deadlines by it.
    """

    factor: float
    opened_at: float = 0.0

    def now_s(self) -> float:
        """The scenario's seconds since the sale opened."""
        return (time.time() - self.opened_at) * self.factor

    def wall(self, at_s: float) -> float:
        """The epoch second of a moment of the scenario."""
        return self.opened_at + at_s / self.factor

    def scenario_s(self, wall: float) -> float:
        """The moment of the scenario of an epoch second."""
        return (wall - self.opened_at) * self.factor

    def length(self, seconds: float) -> float:
        """Wall seconds that a length of the scenario takes."""
        return seconds / self.factor

    def timeout(self, seconds: float) -> float:
        """Wall seconds of a client's timeout."""
        return max(seconds / self.factor, LEAST_TIMEOUT_S)

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """A strategy's options with its durations (names that end in `_s`) in wall seconds."""
        return {
            name: value / self.factor
            if name.endswith("_s") and isinstance(value, int | float) and value is not True
            else value
            for name, value in options.items()
        }
