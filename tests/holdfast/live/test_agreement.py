"""When two arms are said to disagree."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.live.agreement import FEWEST_PAIRS, agreement_lines, compare_numbers
from model.live.measure import Measured, RoundTrip


def pairs(live: list[float], simulated: list[float]) -> list[tuple[dict[str, float], ...]]:
    """Runs of both arms, pair by pair, that sold so many tickets."""
    return [
        ({"sold_tickets": a}, {"sold_tickets": b}) for a, b in zip(live, simulated, strict=True)
    ]


@pytest.mark.parametrize(
    ("live", "simulated", "disagrees"),
    [
        ([8.0, 9.0, 7.0], [8.0, 9.0, 7.0], False),  # alike, run by run
        ([8.0, 9.0, 7.0], [9.0, 8.0, 7.0], False),  # alike on the whole
        ([8.0, 9.0, 7.0], [2.0, 3.0, 2.0], True),  # a positive control
        ([8.0, 9.0, 7.0], [7.0, 8.0, 6.0], True),  # always one less: pairing sees it
        ([8.0, 9.0], [2.0, 3.0], None),  # too few to tell
    ],
)
def test_the_rule(live: list[float], simulated: list[float], *, disagrees: bool | None) -> None:
    """The 95 % interval of the paired difference excludes zero, over enough pairs."""
    numbers = compare_numbers(pairs(live, simulated))
    assert numbers["sold_tickets"].disagrees is disagrees
    assert len(live) >= FEWEST_PAIRS or disagrees is None


def test_a_number_that_one_arm_lacks_is_left_out() -> None:
    """Latency of a run without an answered hold is unknown, not zero."""
    assert compare_numbers([({}, {"sold_tickets": 1.0})]) == {}


@pytest.mark.parametrize(("runs", "says"), [(3, "Of 2 counts, up to 0.1 would"), (2, "arms). Lat")])
def test_it_says_how_many_would_be_flagged_by_chance(runs: int, says: str) -> None:
    """Each count that could be told, of every cell; latencies are expected to differ."""
    trip = RoundTrip(median_ms=1.0, p99_ms=2.0)
    both = [({"sold_tickets": 1.0, "hold_latency_ms_p50": 1.0},) * 2] * runs
    title = SimpleNamespace(strategy=SimpleNamespace(title="x"), conditions="no fault")
    cell = SimpleNamespace(
        live=SimpleNamespace(cell=title),
        database="sqlite",
        measured=Measured(redis=trip, statement=trip, commit=trip),
        numbers=compare_numbers(both),
    )
    lines = [str(line) for line in agreement_lines(cast("Any", [cell, cell]), 80)]
    assert says in " ".join(lines)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("?: fewer than 3 pairs") for line in lines) == (runs < 3)
