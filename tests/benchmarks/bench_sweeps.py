"""Flow 1's sweep as carts grow, 1,000 to 1,000,000: with and without the index on `expires_at`.

A cron job that scans all carts, a batch by the index, and one delayed task for each hold.
"""

from tests.benchmarks.sweeps import DUE, sweep_cost

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WAYS = (
    ("cron-scan", True, "cron job, scans all carts"),
    ("indexed-batch", False, "batch, without the index"),
    ("indexed-batch", True, "batch, by the index"),
    ("delayed-task", True, f"{DUE} delayed tasks"),
)


def main() -> None:
    """Print milliseconds and pages of shared buffers for each size and way."""
    print(f"sweeps: giving back {DUE} ended carts on PostgreSQL; ms and pages touched")
    print(f"{'way':28}" + "".join(f"{size:>22,}" for size in SIZES))
    for reclaim, indexed, told in WAYS:
        cells = []
        for size in SIZES:
            cost = sweep_cost(reclaim, size, indexed=indexed)
            assert cost.returned == DUE
            cells.append(f"{cost.taken_ms:>10.1f} ms {cost.pages:>8,}")
        print(f"{told:28}" + "".join(cells))


if __name__ == "__main__":
    main()
