"""How fast small worlds are searched: one seat, SET NX hold with checkout, 2 to 5 buyers.

Prints schedules and states a second, and what the reductions save: moves of the search without
them, for as many buyers as a minute allows.
"""

import subprocess
import sys
from pathlib import Path

from model.exploring.small_world import SmallWorld
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.finding import Exploration

MOST_BUYERS = 5
UNREDUCED_S = 60.0
WITHIN_S = 10.0  # the promise for four buyers


def world(buyers: int) -> SmallWorld:
    """One seat, and so many who want it and pay."""
    return SmallWorld(strategy="seat-setnx", visits=("pay",) * buyers)


def line(buyers: int, found: Exploration, whole: Exploration) -> str:
    """One row of the table."""
    moves, unreduced = found.turns + found.replayed, whole.turns + whole.replayed
    at_least = ">" if whole.cut else " "
    return (
        f"{buyers:>6} {'complete' if found.complete else found.cut:>9} {found.seconds:>8.2f} s"
        f" {found.schedules:>9} {found.states:>7} {found.schedules / found.seconds:>11.0f}"
        f" {found.states / found.seconds:>8.0f} {at_least}{unreduced / moves:>8.1f}"
        f" {at_least}{whole.seconds / found.seconds:>7.1f}"
    )


def main() -> None:
    """Measure and print."""
    print(
        f"{'buyers':>6} {'search':>9} {'time':>10} {'schedules':>9} {'states':>7}"
        f" {'schedules/s':>11}"
        f" {'states/s':>8} {'moves x':>9} {'time x':>8}"
    )
    for buyers in range(2, MOST_BUYERS + 1):
        found = Search(world(buyers)).run()
        whole = Search(world(buyers), Bounds(seconds=UNREDUCED_S), reduce=False).run()
        print(line(buyers, found, whole), flush=True)
        if buyers == 4 and found.seconds > WITHIN_S:
            raise SystemExit(f"4 buyers took {found.seconds:.1f} s; promised: {WITHIN_S:g} s")
    frontrun = Path(sys.executable).with_name("frontrun")
    if not frontrun.exists():
        print("beside it: frontrun is not installed; pip install 'holdfast[bench]'")
        return
    print("beside it, frontrun on the same code (real threads, a real Redis, SQLite on disk):")
    command = [str(frontrun), sys.executable, "-m", "tests.benchmarks.beside_frontrun", "2", "3"]
    subprocess.run(command, check=False)


if __name__ == "__main__":
    main()
