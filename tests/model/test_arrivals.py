"""When buyers arrive."""

import pytest

from model.arrivals import arrival_times, time_of_share
from model.scenario import Arrivals, Scenario


def scenario(**arrivals: object) -> Scenario:
    """Return a scenario with these arrivals."""
    return Scenario(name="test", arrivals=Arrivals.model_validate(arrivals))


def test_a_rush_decays_within_its_first_part() -> None:
    """Some wait at the door, half come within the rush, most early; the rest comes evenly."""
    times = arrival_times(scenario(buyers=20_000), seed=1)
    in_rush = [time for time in times if time < 60.0]
    first_third = [time for time in times if time < 20.0]
    assert len(in_rush) == pytest.approx(10_000, rel=0.03)
    opening = [time for time in times if time < 0.25]
    decaying = 9_400 * 0.0125 / 0.9502  # of the rest, who come as early by chance
    assert len(opening) == pytest.approx(600 + decaying, rel=0.1)
    assert len(first_third) == pytest.approx(600 + 9_400 * 0.665, rel=0.03)  # (1-1/e) / (1-1/e^3)
    assert min(times) >= 0.0
    assert max(times) <= 1800.0
    late = [time for time in times if time >= 60.0]
    assert sum(late) / len(late) == pytest.approx(930.0, rel=0.02)


def test_steady_arrivals_are_uniform() -> None:
    """A tenth of the buyers comes in each tenth of the time."""
    times = arrival_times(scenario(kind="steady", buyers=20_000, duration_s=100.0), seed=1)
    counts = [sum(10 * tenth <= time < 10 * (tenth + 1) for time in times) for tenth in range(10)]
    assert all(1_800 < count < 2_200 for count in counts)


@pytest.mark.parametrize("kind", ["rush", "steady"])
def test_more_buyers_shift_nobody(kind: str) -> None:
    """Buyer 7 arrives at the same time among 10 and among 1,000 buyers."""
    few = arrival_times(scenario(kind=kind, buyers=10), seed=3)
    many = arrival_times(scenario(kind=kind, buyers=1_000), seed=3)
    assert many[:10] == few


def test_seeds_differ() -> None:
    """Another seed is another crowd; the same seed is the same one."""
    first = arrival_times(scenario(buyers=10), seed=1)
    assert first == arrival_times(scenario(buyers=10), seed=1)
    assert first != arrival_times(scenario(buyers=10), seed=2)


def test_a_trace_gives_its_own_times_in_its_own_order() -> None:
    """Buyer numbers follow the lines of the trace, whatever the seed."""
    trace = scenario(kind="trace", trace="x.csv", buyers=3).model_copy(
        update={"trace_arrivals_s": (5.0, 1.0, 3.0)}
    )
    assert arrival_times(trace, seed=1) == arrival_times(trace, seed=2) == [5.0, 1.0, 3.0]
    assert [time_of_share(trace, share) for share in (0.0, 0.5, 1.0)] == [1.0, 3.0, 5.0]


def test_a_trace_that_was_not_loaded_is_named() -> None:
    """A scenario built by hand without the trace's times says how to load it."""
    with pytest.raises(ValueError, match=r"scenario test: the trace x\.csv is not loaded"):
        arrival_times(scenario(kind="trace", trace="x.csv"), seed=1)


def test_a_rush_longer_than_the_arrivals_is_refused() -> None:
    """A scenario built by hand is checked too."""
    with pytest.raises(ValueError, match=r"arrivals\.rush_s = 60: must be at most"):
        arrival_times(scenario(duration_s=30.0), seed=1)


@pytest.mark.parametrize(
    ("share", "rush_share", "time_s"),
    [
        (0.0, 0.5, 0.0),
        (0.015, 0.5, 0.125),
        (0.5, 0.5, 60.0),
        (0.75, 0.5, 930.0),
        (1.0, 0.5, 1800.0),
        (0.0, 0.0, 60.0),
    ],
)
def test_the_time_of_a_share_inverts_the_arrivals(
    share: float, rush_share: float, time_s: float
) -> None:
    """The corners of the rush: its beginning, its end, half of the rest, the last buyer."""
    crowd = scenario(rush_share=rush_share)
    assert time_of_share(crowd, share) == pytest.approx(time_s)


def test_all_may_come_in_the_rush() -> None:
    """A rush share of 1 leaves nobody for later."""
    assert max(arrival_times(scenario(rush_share=1.0, buyers=1_000), seed=1)) <= 60.0
    assert time_of_share(scenario(rush_share=1.0), 1.0) == 60.0
