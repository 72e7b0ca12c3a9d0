"""The numbers of a run, on sales small enough to count by hand."""

import pytest

from model.history import Outcome
from properties.metrics import measure, percentile
from tests.properties.recordings import RECORDINGS
from tests.properties.sales import Sale


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        (
            "good-everything",
            {
                "sold_tickets": 3,
                "buyers_served": 3,
                "holds": 5,
                "refused_holds": 1,
                "unknown_outcomes": 1,
                "overbooked_tickets": 0,
                "broken_promises": 0,
                "overheld_tickets": 0,
                "leaked_tickets": 0,
                "over_returned_tickets": 0,
                "refunds": 0,
                "expired_sales": 0,
            },
        ),
        ("bad-lost-hold-sold-twice", {"overbooked_tickets": 2, "overheld_tickets": 2}),
        ("bad-broken-promise", {"broken_promises": 1, "refunds": 1, "sold_tickets": 2}),
        ("bad-given-back-twice", {"over_returned_tickets": 1, "leaked_tickets": 0}),
        ("bad-give-back-split", {"leaked_tickets": 1, "over_returned_tickets": 0}),
        ("bad-sold-after-expiry", {"expired_sales": 1}),
    ],
)
def test_numbers_of_the_recorded_histories(name: str, numbers: dict[str, float]) -> None:
    """Each number is what one counts by hand in the told sale."""
    metrics = measure(RECORDINGS[name]())
    assert {key: metrics[key] for key in numbers} == numbers


def test_latencies_are_those_of_answered_calls() -> None:
    """Unanswered calls have no latency; percentiles are values that were measured, in ms."""
    sale = Sale(capacity=200)
    for index in range(100):
        sale.hold(f"b{index}", 1.0, completed_s=1.0 + (index + 1) / 1000)
    sale.hold("late", 1.0, outcome=Outcome.UNKNOWN, completed_s=99.0)
    metrics = measure(sale.ended())
    assert metrics["hold_latency_ms_p50"] == pytest.approx(50.0)
    assert metrics["hold_latency_ms_p99"] == pytest.approx(99.0)
    assert "checkout_latency_ms_p50" not in metrics


def test_latencies_of_a_live_run_are_in_wall_time() -> None:
    """A live history is in the scenario's seconds; what its machines took is told as it was."""
    sale = Sale(meta={"arm": "live", "time_factor": 30.0})
    sale.hold("ann", 1.0, completed_s=1.3)
    assert measure(sale.ended())["hold_latency_ms_p50"] == pytest.approx(10.0)


def test_what_cannot_be_known_is_left_out() -> None:
    """Without an audit, or with one that came too early, a leak is not measured as zero."""
    cut = measure(RECORDINGS["cut-short"]())
    assert not {"leaked_tickets", "over_returned_tickets", "refunds"} & set(cut)
    assert cut["sold_tickets"] == 2
    sale = Sale()
    sale.hold("ann", 1.0)
    assert "leaked_tickets" not in measure(sale.ended(at_s=100.0, held=1))


def test_percentiles_of_nothing_are_refused() -> None:
    """No values have no percentile."""
    with pytest.raises(ValueError, match="of 0 values"):
        percentile([], 0.5)
