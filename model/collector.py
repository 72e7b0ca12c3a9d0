"""Python's cyclic garbage collector during a run: nearly off, because runs make next to no cycles.

A sale keeps what happened in it (operations, rows), so each collection walks a growing heap of live
objects and finds nothing. Measured over 8,000 calls: a third of the time of a run went there.
`tests/regressions/test_found_by_measuring.py` holds runs to making no cycles in bulk.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = (2_000_000, 100, 100)
"""Thresholds of the three generations; Python's own are (700, 10, 10).

A sale of 100,000 buyers has some 1.3 million objects at its busiest, and some 700 are garbage: ten
times as many collections took 0.7 of its 48 s. What a strategy of one's own leaves in cycles adds
up to so many objects (a few hundred MB) before it is collected.
"""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collect rarely within the block; the thresholds before it come back on every way out."""
    before = gc.get_threshold()
    if before[0]:  # 0: somebody has turned the collector off altogether
        gc.set_threshold(*RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
