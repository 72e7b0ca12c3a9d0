"""Over-held stock, against a checker that looks at every instant on its own."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.history import History, Operation, Outcome
from properties.evidence import HoldLife, gather
from properties.judge import INVARIANTS
from properties.verdicts import Status, Verdict
from tests.properties.sales import Sale

CAPACITY = 3
MOMENTS = st.integers(0, 12).map(float)  # few, so that many things happen at the same instant


class Visit(NamedTuple):
    """One buyer's hold and what became of it."""

    at_s: float
    ttl_s: float
    quantity: int
    seats: tuple[str, ...]
    fate: str
    pay_s: float
    took_s: float


VISITS = st.lists(
    st.builds(
        Visit,
        at_s=MOMENTS,
        ttl_s=st.integers(1, 6).map(float),
        quantity=st.integers(1, 3),
        seats=st.sampled_from([(), (), ("A1",), ("A2",), ("A1", "A2")]),
        fate=st.sampled_from(["leave", "release", "ok", "refused", "unknown", "unknown-sold"]),
        pay_s=MOMENTS,
        took_s=st.integers(0, 5).map(float),
    ),
    max_size=8,
)


def _told(visits: list[Visit]) -> History:
    sale = Sale(capacity=CAPACITY)
    for index, visit in enumerate(visits):
        who = f"buyer-{index}"
        sale.hold(
            who,
            visit.at_s,
            len(visit.seats) or visit.quantity,
            completed_s=visit.at_s,
            expires_s=visit.at_s + visit.ttl_s,
            seats=visit.seats,
        )
        later_s = visit.at_s + visit.pay_s
        match visit.fate:
            case "release":
                sale.release(who, later_s)
            case "ok":
                sale.pay(who, later_s, visit.took_s)
            case "refused":
                sale.refused(who, later_s, "OrderRefused", visit.took_s)
            case "unknown" | "unknown-sold":
                op = sale.pay(who, later_s, visit.took_s, outcome=Outcome.UNKNOWN)
                if visit.fate == "unknown-sold":
                    sale.order(op, 100 + index)
    return sale.ended()


def _surely_claimed(life: HoldLife, now_s: float) -> bool:
    """Say, from the definition, whether the tickets are surely held or sold at `now_s`."""
    granted = life.granted
    assert granted is not None
    if any(_over(op) <= now_s and op.outcome is Outcome.OK for op in life.checkouts):
        return True
    doubtful = [
        op
        for op in life.checkouts
        if op.outcome is Outcome.REFUSED or (op.outcome is Outcome.UNKNOWN and not life.rows)
    ]
    return (
        _over(granted) <= now_s < life.deadline_s
        and not any(op.invoked_s <= now_s for op in life.releases)
        and not any(op.invoked_s <= now_s for op in doubtful)
    )


def _over(op: Operation) -> float:
    assert op.completed_s is not None
    return op.completed_s


def _worst_by_force(history: History) -> int:
    """Look at every instant at which anything happened, one by one."""
    evidence = gather(history)
    instants = {op.completed_s for op in history.operations}
    instants |= {op.invoked_s for op in history.operations}
    worst = 0
    for now_s in instants:
        claimed = [life for life in evidence.granted if _surely_claimed(life, now_s or 0.0)]
        tickets = sum(life.granted.quantity for life in claimed if life.granted)
        seats = [seat for life in claimed if life.granted for seat in life.granted.seats]
        worst = max(worst, tickets - CAPACITY, len(seats) - len(set(seats)))
    return worst


def _check(history: History) -> Verdict:
    return INVARIANTS["no-overhold"].check(history)


@given(VISITS)
def test_the_sweep_agrees_with_looking_at_every_instant(visits: list[Visit]) -> None:
    """The worst excess found by sweeping is the one found by looking everywhere."""
    history = _told(visits)
    worst = _worst_by_force(history)
    verdict = _check(history)
    assert sum(violation.amount for violation in verdict.violations) == worst
    assert (verdict.status is Status.VIOLATED) == (worst > 0)


def test_both_checkers_can_find_an_overhold() -> None:
    """The positive control of the comparison: two holds of two of three tickets."""
    visits = [Visit(at, 6.0, 2, (), "leave", 0.0, 0.0) for at in (1.0, 2.0)]
    assert _worst_by_force(_told(visits)) == 1
    assert _check(_told(visits)).status is Status.VIOLATED


def test_the_worst_instant_is_reported_with_its_buyers() -> None:
    """Of two crossings the worse one is told, with when it first went over and who was there."""
    sale = Sale(capacity=1)
    for at_s, who in [(1.0, "ann"), (2.0, "bob"), (3.0, "cid")]:
        sale.hold(who, at_s)
    sale.hold("dora", 2000.0)
    (violation,) = _check(sale.ended()).violations
    assert violation.amount == 2
    assert violation.at_s == pytest.approx(3.01)
    assert violation.actors == ("ann", "bob", "cid")
    assert violation.op_ids == (1, 2, 3)
    assert "3 tickets of event 1 were held and 0 sold, 2 more than its 1" in violation.message
    assert "first over at 2.0 s" in violation.message


def test_a_hold_and_its_order_count_once() -> None:
    """A hold that is being paid, and then sold, never counts together with its order."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.pay("ann", 2.0)
    sale.pay("ann", 100.0, 1.0, order_id=1, captured_s=None)
    assert _check(sale.ended()).status is Status.HOLDS


def test_a_hold_taken_at_the_instant_of_a_release_is_no_overhold() -> None:
    """What ends at an instant makes room for what begins at it."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 5.0, completed_s=5.5)
    sale.hold("bob", 5.0, completed_s=5.0)
    assert _check(sale.ended()).status is Status.HOLDS


def test_a_hold_within_the_clocks_slack_of_a_deadline_is_no_overhold() -> None:
    """Two clocks may differ a little about when a hold ends."""
    exact, skewed = Sale(capacity=1), Sale(capacity=1, meta={"clock_skew_sd_s": 0.02})
    for sale in (exact, skewed):
        sale.hold("ann", 1.0)
        sale.hold("bob", 900.9, completed_s=900.95)
    assert _check(exact.ended()).status is Status.VIOLATED
    assert _check(skewed.ended()).status is Status.HOLDS


def test_two_holders_of_a_seat_are_an_overhold_in_an_empty_hall() -> None:
    """A seat is a capacity of one; the message names it."""
    sale = Sale(capacity=100)
    sale.hold("ann", 1.0, 2, seats=("A1", "A2"))
    sale.hold("bob", 2.0, 2, seats=("A2", "A3"))
    sale.hold("cid", 3.0, seats=("A4",))
    (violation,) = _check(sale.ended()).violations
    assert violation.amount == 1
    assert violation.actors == ("ann", "bob")
    assert "seats A2 of event 1 belonged to more than one buyer" in violation.message


def test_an_order_on_a_hold_in_doubt_counts_as_sold() -> None:
    """Who paid for a hold whose acknowledgement was lost owns the tickets all the same."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN)
    sale.pay("ann", 10.0)
    sale.hold("bob", 100.0)
    assert _check(sale.ended()).status is Status.VIOLATED
