"""Intervals: textbook values, and how often they cover the truth."""

import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.statistics import (
    interval_95,
    mean_95,
    paired_difference_95,
    upper_bound_95,
    zero_bound_95,
)


@pytest.mark.parametrize(
    ("n", "bound"), [(0, 1.0), (1, 0.95), (20, 0.1391), (59, 0.0495), (300, 0.0099)]
)
def test_zero_events_leave_the_rule_of_three(n: int, bound: float) -> None:
    """No event in n runs: about 3/n; 59 runs show less than 5 % with 95 % confidence."""
    assert zero_bound_95(n) == pytest.approx(bound, abs=5e-5)
    assert upper_bound_95(0, n) == zero_bound_95(n)


@pytest.mark.parametrize(
    ("events", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (4, 20, 0.0573, 0.4366),
        (0, 0, 0.0, 1.0),
    ],
)
def test_clopper_pearson_has_its_published_values(
    events: int, n: int, low: float, high: float
) -> None:
    """The exact interval agrees with published tables."""
    assert list(interval_95(events, n)) == pytest.approx([low, high], abs=5e-5)


def test_the_one_sided_bound_solves_its_definition() -> None:
    """At the bound, as few events as were seen have a chance of exactly 5 %."""
    bound = upper_bound_95(2, 20)
    chance = sum(
        ways * bound**k * (1 - bound) ** (20 - k) for k, ways in ((0, 1), (1, 20), (2, 190))
    )
    assert chance == pytest.approx(0.05)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_intervals_contain_what_was_seen(seen: tuple[int, int]) -> None:
    """The observed share lies inside, and the one-sided bound inside the two-sided one."""
    events, n = seen
    low, high = interval_95(events, n)
    assert 0.0 <= low <= events / n <= upper_bound_95(events, n) <= high <= 1.0


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.9])
def test_exact_intervals_cover_the_true_rate(rate: float) -> None:
    """Over 2,000 seeded experiments of 40 runs, at least 95 % cover, less the noise of counting."""
    rng = random.Random(7)
    both = upper = 0
    for _ in range(2000):
        events = sum(rng.random() < rate for _ in range(40))
        low, high = interval_95(events, 40)
        both += low <= rate <= high
        upper += rate <= upper_bound_95(events, 40)
    assert both / 2000 >= 0.95 - 0.015
    assert upper / 2000 >= 0.95 - 0.015


def test_a_mean_has_its_textbook_interval() -> None:
    """Ten values, by hand: mean 5.5, s = 3.0277, t(9) = 2.2622."""
    mean = mean_95([float(value) for value in range(1, 11)])
    assert mean.mean == 5.5
    assert mean.ci95 is not None
    assert list(mean.ci95) == pytest.approx([3.3341, 7.6659], abs=1e-4)


def test_one_value_has_no_interval() -> None:
    """A single run says nothing about its spread."""
    assert mean_95([3.0]).ci95 is None


@pytest.mark.parametrize("n", [2, 5, 20])
def test_t_intervals_cover_the_true_mean_as_often_as_they_say(n: int) -> None:
    """Over 4,000 seeded samples of a normal distribution, 95 % cover within counting noise."""
    rng = random.Random(n)
    normal = NormalDist(10.0, 3.0)
    covered = 0
    for _ in range(4000):
        values = [normal.inv_cdf(rng.uniform(1e-12, 1 - 1e-12)) for _ in range(n)]
        low, high = mean_95(values).ci95 or (0.0, 0.0)
        covered += low <= 10.0 <= high
    assert covered / 4000 == pytest.approx(0.95, abs=0.014)


def test_pairing_cancels_what_the_seeds_have_in_common() -> None:
    """With common random numbers the difference is far surer than the two means."""
    rng = random.Random(3)
    common = [rng.gauss(100.0, 30.0) for _ in range(20)]
    first = [value + 2.0 + rng.gauss(0.0, 0.1) for value in common]
    paired = paired_difference_95(first, common)
    assert paired.ci95 is not None
    assert paired.ci95[0] < 2.0 < paired.ci95[1]
    low, high = mean_95(first).ci95 or (0.0, 0.0)
    assert paired.ci95[1] - paired.ci95[0] < (high - low) / 50


@pytest.mark.parametrize(("events", "n"), [(-1, 10), (11, 10), (0, -1)])
def test_impossible_counts_are_refused(events: int, n: int) -> None:
    """More events than runs, or fewer than none, is the caller's mistake."""
    with pytest.raises(ValueError, match="need 0 <= events <= runs"):
        interval_95(events, n)


def test_impossible_samples_are_refused() -> None:
    """No values, a value that is no number, and pairs without partners are mistakes."""
    with pytest.raises(ValueError, match="at least one value"):
        mean_95([])
    with pytest.raises(ValueError, match="finite"):
        mean_95([1.0, float("nan")])
    with pytest.raises(ValueError, match="2 and 1 values cannot be paired"):
        paired_difference_95([1.0, 2.0], [1.0])
