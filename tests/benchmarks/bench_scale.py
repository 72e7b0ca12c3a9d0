"""Cost grows linearly: 100,000 buyers against 10,000, in time and in peak memory.

Each size runs in a process of its own, so that its peak memory is its own. Targets of the project:
at most 11 times as long, and under 600 MB for 100,000 buyers.
"""

import resource
import subprocess
import sys
import time

from chaos.persistence import Persistence
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec

SIZES = (10_000, 100_000)


def run(buyers: int) -> None:
    """One sale of this many buyers, 7 to a ticket; prints seconds, MB and operations."""
    scenario = load_scenario(
        "on-sale", {"arrivals.buyers": str(buyers), "sale.capacity": str(buyers // 7)}
    )
    spec = RunSpec(
        scenario=scenario,
        strategy="redis-hold-recheck",
        seed=1,
        fault="redis-kill",
        persistence=Persistence.AOF_EVERYSEC,
    )
    started = time.process_time()
    result = simulate(spec)
    seconds = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(seconds, peak_mb, len(result.history.operations))


def main() -> None:
    """Print both sizes and their ratio."""
    print("scale: redis-hold-recheck under redis-kill, aof-everysec; CPU seconds and peak memory")
    seconds = []
    for size in SIZES:
        answer = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bench_scale", str(size)],
            check=True,
            capture_output=True,
            text=True,
        )
        took, peak_mb, operations = (float(part) for part in answer.stdout.split())
        seconds.append(took)
        print(f"{size:>8,} buyers {took:>8.1f} s {peak_mb:>7.0f} MB {operations:>9,.0f} operations")
    print(
        f"{seconds[1] / seconds[0]:.2f} times as long for {SIZES[1] // SIZES[0]} times the buyers"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(int(sys.argv[1]))
    else:
        main()
