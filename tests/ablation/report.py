"""`make ablation`: switch every safeguard off in turn, and see that it is missed, and how soon.

For each one: schedules an exhaustive search needs to its first failure, and failing schedules per
1,000 random ones with their exact 95 % interval (Clopper and Pearson). A schedule of the random
search is drawn from its own stream of one seed, so the table is the same every time. Exit status 1
when a safeguard was not missed, or its strategy breaks the same invariant with it.
"""

import sys
import time
from dataclasses import dataclass

from holdfast.workers import Workers, cores
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.sampling import Sampling
from properties.statistics import interval_95
from tests.ablation.safeguards import SAFEGUARDS, Safeguard

SECONDS = 60.0
DRAWN = 1000
WIDE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One safeguard's line."""

    number: int
    caught_after: int | None
    failing: int
    drawn: int
    with_it: str  # what the same search says of the strategy with the safeguard
    seconds: float


def catch(guard: Safeguard, seconds: float = SECONDS) -> int | None:
    """Schedules an exhaustive search needs until the missing safeguard shows; None if it never."""
    found = Search(
        guard.off, Bounds(seconds=seconds), until=lambda found: guard.breaks in found.breaches
    ).run()
    breach = found.breaches.get(guard.breaks)
    return None if breach is None else breach.found_after


def with_it(guard: Safeguard, seconds: float = SECONDS) -> str:
    """What the search says with the safeguard: complete, cut (no violation so far), or BROKEN."""
    found = Search(guard.on, Bounds(seconds=seconds)).run()
    if guard.breaks in found.breaches:
        return "BROKEN"
    return "complete" if found.complete else f"cut, {found.schedules}"


def failing(guard: Safeguard, drawn: int = DRAWN) -> int:
    """How many of so many random schedules miss the safeguard."""
    sample = Sampling(guard.off, Bounds(), how="random", schedules=drawn)
    sample.run(counts=lambda name: name == guard.breaks)
    return sum(sample.failed)


def row(number: int) -> Row:
    """Measure one safeguard."""
    guard, began = SAFEGUARDS[number], time.perf_counter()
    return Row(
        number=number,
        caught_after=catch(guard),
        failing=failing(guard),
        drawn=DRAWN,
        with_it=with_it(guard),
        seconds=time.perf_counter() - began,
    )


def line(measured: Row) -> str:
    """A row of the table."""
    guard = SAFEGUARDS[measured.number]
    low, high = interval_95(measured.failing, measured.drawn)
    after = "NOT CAUGHT" if measured.caught_after is None else str(measured.caught_after)
    rate = 1000 * measured.failing // measured.drawn
    interval = f"{rate} [{1000 * low:.1f}, {1000 * high:.1f}]"
    return (
        f"{guard.good:<20} {guard.name:<{WIDE}} {guard.breaks:<16} {after:>10} {interval:>22}"
        f"  {measured.with_it}"
    )


def main() -> int:
    """Print the table as its rows come, in order."""
    rows: dict[int, Row] = {}
    print(
        f"{'strategy':<20} {'safeguard switched off':<{WIDE}} {'missed by':<16}"
        f" {'schedules':>10} {'random, per 1,000':>22}  with it"
    )
    shown = 0
    with Workers(cores()) as workers:
        for measured in workers.each(row, range(len(SAFEGUARDS))):
            rows[measured.number] = measured
            while shown in rows:
                print(line(rows[shown]), flush=True)
                shown += 1
    wrong = [r for r in rows.values() if r.caught_after is None or r.with_it == "BROKEN"]
    print(f"{len(rows) - len(wrong)} of {len(rows)} safeguards are missed when they are off")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
