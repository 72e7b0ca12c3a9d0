"""Flow 1's claim about sweeps, in pages PostgreSQL touched: the index makes a scan fast."""

from tests.benchmarks.sweeps import DUE, sweep_cost

FEW, MANY = 1_000, 50_000


def test_a_scan_grows_with_the_carts_and_an_index_does_not() -> None:
    """Fifty times the carts: the scan reads all their pages, the others no more than before."""
    scans = [sweep_cost("cron-scan", size) for size in (FEW, MANY)]
    batches = [sweep_cost("indexed-batch", size) for size in (FEW, MANY)]
    tasks = [sweep_cost("delayed-task", size) for size in (FEW, MANY)]
    assert {cost.returned for cost in (*scans, *batches, *tasks)} == {DUE}
    assert scans[1].pages - scans[0].pages > 400
    assert batches[1].pages - batches[0].pages < 100
    assert tasks[1].pages - tasks[0].pages < 100


def test_without_the_index_a_batch_reads_everything() -> None:
    """The same statement without the index on `expires_at` touches the whole table."""
    with_it = sweep_cost("indexed-batch", MANY)
    without = sweep_cost("indexed-batch", MANY, indexed=False)
    assert without.returned == with_it.returned == DUE
    assert without.pages - with_it.pages > 400
