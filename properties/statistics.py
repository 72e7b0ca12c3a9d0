"""Intervals for what runs show: shares of violated runs, means, paired differences.

Shares use the exact (Clopper-Pearson) method, because most cells have zero or very few violated
runs, where normal approximations claim far too much. Means use Student's t.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite, sqrt

from scipy import special

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A sample mean with its 95 % interval; `ci95` is None for a single value.

    The interval of equal values has no width. That is what Student's t says; it does not mean that
    another run could not differ. For counts that were always zero, give `zero_bound_95` as well.
    """

    mean: float
    ci95: tuple[float, float] | None
    n: int


def zero_bound_95(n: int) -> float:
    """Return the 95 % upper bound of a rate after no event in `n` runs: 1 - 0.05**(1/n).

    About 3/n (the rule of three). 1.0 after no run at all: nothing is known.

    Raises:
        ValueError: `n` is negative.
    """
    _check_count(0, n)
    return 1.0 if n == 0 else 1.0 - ALPHA ** (1.0 / n)


def upper_bound_95(events: int, n: int) -> float:
    """Return the exact one-sided 95 % upper bound of a rate, after `events` in `n` runs.

    Raises:
        ValueError: not 0 <= events <= n.
    """
    _check_count(events, n)
    if events == n:
        return 1.0
    if events == 0:
        return zero_bound_95(n)
    return float(special.betaincinv(events + 1, n - events, 1.0 - ALPHA))


def interval_95(events: int, n: int) -> tuple[float, float]:
    """Return the exact two-sided 95 % interval of a rate (Clopper and Pearson, 1934).

    (0.0, 1.0) after no run at all.

    Raises:
        ValueError: not 0 <= events <= n.
    """
    _check_count(events, n)
    if n == 0:
        return 0.0, 1.0
    tail = ALPHA / 2
    low = 0.0 if events == 0 else float(special.betaincinv(events, n - events + 1, tail))
    high = 1.0 if events == n else float(special.betaincinv(events + 1, n - events, 1.0 - tail))
    return low, high


def mean_95(values: Sequence[float]) -> Mean:
    """Return the mean of independent runs with its 95 % t interval.

    Raises:
        ValueError: no values, or one that is not a finite number.
    """
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    if not all(isfinite(value) for value in values):
        raise ValueError(f"a mean needs finite values, not {values!r}")
    mean = fsum(values) / n
    if n == 1:
        return Mean(mean=mean, ci95=None, n=1)
    variance = fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = float(special.stdtrit(n - 1, 1.0 - ALPHA / 2)) * sqrt(variance / n)
    return Mean(mean=mean, ci95=(mean - half, mean + half), n=n)


def paired_difference_95(first: Sequence[float], second: Sequence[float]) -> Mean:
    """Return the mean of `first - second`, run by run, with its 95 % t interval.

    For two cells run on common random numbers (value i of both from the same seed): what the seed
    does to both cancels out, so that the interval is narrower than that of two separate means.

    Raises:
        ValueError: different lengths, no values, or one that is not a finite number.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired")
    return mean_95([a - b for a, b in zip(first, second, strict=True)])


def _check_count(events: int, n: int) -> None:
    if not 0 <= events <= n:
        raise ValueError(f"{events} events in {n} runs: need 0 <= events <= runs")
