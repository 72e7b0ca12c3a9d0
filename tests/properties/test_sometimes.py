"""Each witness is seen when its thing happens, and not otherwise."""

from collections.abc import Callable

import pytest

from model.history import Outcome
from properties.sometimes import WITNESSES, witnesses
from tests.properties.recordings import RECORDINGS
from tests.properties.sales import Sale


def _empty(sale: Sale) -> None:
    pass


def _retry(sale: Sale) -> None:
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN)
    sale.hold("ann", 3.0)
    sale.release("ann", 4.0)


def _late(sale: Sale) -> None:
    sale.hold("ann", 1.0)
    sale.refused("ann", 880.0, "OrderRefused")


def _fault_before(sale: Sale) -> None:
    sale.strike("slow", 0.5, 2.0)
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0)


def _fault_over_all_of_it(sale: Sale) -> None:
    sale.strike("slow", 0.5, 200.0)
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0)


def _two_for_one(sale: Sale) -> None:
    for who in ("ann", "bob"):
        sale.hold(who, 1.0, 2, seats=("A1", "A2"))


@pytest.mark.parametrize(
    ("tell", "seen"),
    [
        (_empty, {}),
        (
            _retry,
            {
                "hold-acknowledged": 1,
                "hold-released": 1,
                "hold-ended-unsold": 1,
                "reply-lost": 1,
                "retry-after-unknown": 1,
            },
        ),
        (
            _late,
            {
                "hold-acknowledged": 1,
                "hold-expired-unpaid": 1,
                "hold-ended-unsold": 1,
                "refund-made": 1,
                "expired-during-payment": 1,
            },
        ),
        (
            _fault_before,
            {"hold-acknowledged": 1, "order-made": 1, "fault-struck": 1},
        ),
        (
            _fault_over_all_of_it,
            {
                "hold-acknowledged": 1,
                "order-made": 1,
                "fault-struck": 1,
                "fault-between-hold-and-payment": 1,
                "fault-after-order": 1,
            },
        ),
        (
            _two_for_one,
            {
                "hold-acknowledged": 2,
                "hold-expired-unpaid": 2,
                "hold-ended-unsold": 2,
                "demand-over-capacity": 1,
                "seat-contended": 2,
            },
        ),
    ],
)
def test_witnesses_of_a_small_sale(tell: Callable[[Sale], None], seen: dict[str, int]) -> None:
    """Exactly what happened was seen."""
    sale = Sale()
    tell(sale)
    counted = witnesses(sale.ended())
    assert list(counted) == list(WITNESSES)
    assert {name: n for name, n in counted.items() if n} == seen


def test_a_sold_out_sale_has_demand_and_refusals() -> None:
    """Selling all and refusing the next are both seen."""
    seen = witnesses(RECORDINGS["good-sold-out"]())
    assert (seen["sold-out"], seen["refused-sold-out"], seen["demand-over-capacity"]) == (1, 1, 1)


def test_a_buyer_who_asks_twice_wants_tickets_once() -> None:
    """Asking again after a refusal is not more demand."""
    sale = Sale(capacity=2)
    for number in range(5):
        sale.sold_out("ann", float(number), 2, hold_id=f"try-{number}")
    assert witnesses(sale.ended())["demand-over-capacity"] == 0


def test_every_witness_is_seen_in_some_recording() -> None:
    """No witness is impossible."""
    counted = [witnesses(tell()) for tell in RECORDINGS.values()]
    assert [name for name in WITNESSES if not any(seen[name] for seen in counted)] == []
