"""Edges of the invariants that one history each cannot show."""

from dataclasses import replace

import pytest

from model.history import History, Outcome, StockRow
from properties.evidence import gather
from properties.invariants import sale_goes_on, stock_conserved
from properties.judge import INVARIANTS
from properties.verdicts import Status, Verdict
from tests.properties.recordings import RECORDINGS
from tests.properties.sales import Sale


def check(name: str, history: History) -> Verdict:
    """Judge one invariant alone."""
    return INVARIANTS[name].check(history)


def test_acknowledged_orders_alone_prove_an_overbooking() -> None:
    """Without an audit, too many acknowledged orders are a breach; fewer prove nothing."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.pay("ann", 10.0)
    assert check("no-overbooking", sale.cut()).status is Status.INCONCLUSIVE
    sale.pay("bob", 11.0)
    (violation,) = check("no-overbooking", sale.cut()).violations
    assert violation.amount == 1
    assert violation.op_ids == (1, 2, 3, 4)
    assert violation.actors == ("ann", "bob")
    assert "sold 2 tickets of 1, 1 too many; bob's acknowledged checkout 4" in violation.message


def test_an_order_nobody_was_told_of_is_sold_all_the_same() -> None:
    """Overbooking counts order rows whose answers were lost."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.pay("ann", 10.0)
    sale.order(sale.pay("bob", 11.0, outcome=Outcome.UNKNOWN), 2)
    assert check("no-overbooking", sale.ended()).violations[0].amount == 1


def test_an_acknowledged_order_without_a_row_still_takes_its_ticket() -> None:
    """A lost order and its resold ticket make two owners of one ticket."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.pay("ann", 10.0)
    sale.pay("bob", 11.0)
    sale.orders = sale.orders[1:]
    assert check("no-overbooking", sale.ended()).violations[0].amount == 1


def test_events_are_counted_apart() -> None:
    """Two events at their capacities are not one event above it."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0, event_id=2)
    sale.pay("ann", 10.0)
    sale.pay("bob", 11.0, event_id=2)
    history = sale.ended(sold=1, sellable=0, remaining_ticket=0)
    history.capacity[2] = 1
    assert check("no-overbooking", history).status is Status.HOLDS
    assert check("no-overhold", history).status is Status.HOLDS


def test_a_general_sale_says_nothing_about_seats() -> None:
    """Without seats the seat invariant is open, and says so."""
    verdict = check("seat-sold-once", RECORDINGS["good-sold-out"]())
    assert verdict.reason == "no seats in this sale"


def _books(**columns: int) -> list[tuple[int, int]]:
    sale = Sale(capacity=10)
    sale.hold("ann", 1.0, 4)
    sale.pay("ann", 10.0)
    history = sale.ended(**columns)
    return [(gap.over_returned, gap.lost) for gap in stock_conserved.gaps(gather(history))]


@pytest.mark.parametrize(
    ("columns", "over_returned", "lost"),
    [
        ({}, 0, 0),
        ({"sellable": 8, "remaining_ticket": 8}, 2, 0),
        ({"sellable": 5, "remaining_ticket": 5}, 0, 1),
        ({"sellable": 6, "remaining_ticket": 5}, 0, 1),
        ({"sellable": 4, "held": 2, "remaining_ticket": 4}, 0, 0),
        ({"sellable": 4, "held": 2, "remaining_ticket": 6}, 0, 0),
        ({"sellable": 6, "held": 2, "remaining_ticket": 6}, 2, 0),
        ({"sellable": 6, "remaining_ticket": 10}, 0, 0),  # db-derived keeps no counter
        ({"sellable": 10, "remaining_ticket": 10}, 4, 0),
    ],
)
def test_books_are_compared_with_orders(
    columns: dict[str, int], over_returned: int, lost: int
) -> None:
    """Too many and too few are told apart; a counter is not compared while tickets are held."""
    assert _books(**columns) == [(over_returned, lost)]


def test_an_overbooked_event_conserves_its_stock_when_the_counter_tells() -> None:
    """A counter at minus the surplus is honest; one that stopped at zero lost an update (A01)."""
    sale = Sale(capacity=1)
    for who in ("ann", "bob"):
        sale.hold(who, 1.0)
        sale.pay(who, 10.0)
    honest = sale.ended(sellable=0, remaining_ticket=-1)
    lost_update = sale.ended(sellable=0, remaining_ticket=0)
    assert check("stock-conserved", honest).status is Status.HOLDS
    assert check("stock-conserved", lost_update).status is Status.VIOLATED
    assert check("no-leak", honest).status is not Status.VIOLATED


def test_a_leak_is_not_judged_before_its_bound() -> None:
    """An audit that came too early leaves the leak open and names the missing time."""
    sale = Sale()
    sale.hold("ann", 1.0)
    early = check("no-leak", sale.ended(at_s=980.0, sellable=1, held=1))
    assert early.status is Status.INCONCLUSIVE
    assert "11.0 s before the last hold's end plus the bound of 90.0 s" in early.reason
    late = check("no-leak", sale.ended(at_s=991.0, sellable=1, held=1))
    assert late.violations[0].amount == 1


def test_a_hold_in_doubt_delays_the_judgement_of_leaks() -> None:
    """A hold whose answer was lost may keep its tickets for one TTL as well."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.hold("bob", 500.0, outcome=Outcome.UNKNOWN, completed_s=502.0)
    assert check("no-leak", sale.ended(at_s=1491.9)).status is Status.INCONCLUSIVE
    assert check("no-leak", sale.ended(at_s=1492.0)).status is Status.HOLDS


def test_a_leak_names_the_give_back_that_died() -> None:
    """The sweeper whose pass ended in doubt is the first suspect."""
    (violation,) = check("no-leak", RECORDINGS["bad-give-back-split"]()).violations
    assert violation.actors == ("sweeper-app-0",)


def test_a_fresh_capture_is_not_yet_forgotten() -> None:
    """A payment younger than the bound may still be settled; an older one is money for nothing."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN, captured_s=80.0)
    assert check("charged-once", sale.ended(at_s=100.0)).status is Status.INCONCLUSIVE
    assert check("charged-once", sale.ended(at_s=170.0)).status is Status.VIOLATED


def test_orders_with_keys_of_their_own_are_matched_by_hold() -> None:
    """A strategy that stores other keys is still held to one order per payment (C01)."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0)
    sale.orders[0] = replace(sale.orders[0], key="key-ann#1")
    once = sale.ended()
    assert check("charged-once", once).status is Status.HOLDS
    assert check("orders-durable", once).status is Status.HOLDS
    sale.orders.append(replace(sale.orders[0], key="key-ann#2", order_id=2))
    assert "has 2 orders: 1, 2" in check("charged-once", sale.ended()).violations[0].message


def test_one_hold_sold_under_two_payments_is_charged_twice() -> None:
    """Two keys, two captures, two orders, one hold: one order too many."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0)
    sale.pay("ann", 100.0, key="another")
    (violation,) = check("charged-once", sale.ended()).violations
    assert "ann's hold 'hold-ann' was sold as orders 1, 2" in violation.message


@pytest.mark.parametrize(
    ("captured_s", "skew_s", "status"),
    [
        (900.99, 0.0, Status.HOLDS),
        (901.0, 0.0, Status.VIOLATED),
        (901.05, 0.02, Status.HOLDS),
        (901.1, 0.02, Status.VIOLATED),
    ],
)
def test_a_sale_is_late_from_the_deadline_on(
    captured_s: float, skew_s: float, status: Status
) -> None:
    """At the deadline is late; the clocks' slack moves the line."""
    sale = Sale(meta={"clock_skew_sd_s": skew_s})
    sale.hold("ann", 1.0)
    sale.pay("ann", 880.0, captured_s=captured_s)
    assert check("expiry-honoured", sale.ended()).status is status


def test_a_checkout_begun_after_the_end_is_late_without_a_capture() -> None:
    """Where the capture is not on record, the first request that may have paid decides."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 800.0, outcome=Outcome.NOT_APPLIED, captured_s=None)
    sale.pay("ann", 950.0, captured_s=None)
    assert check("expiry-honoured", sale.cut()).status is Status.VIOLATED


def test_a_late_repeat_of_a_payment_in_time_is_no_late_sale() -> None:
    """Captured in time, told late: nothing was sold on an expired hold."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.order(sale.pay("ann", 800.0, outcome=Outcome.UNKNOWN), 1)
    sale.pay("ann", 950.0, order_id=1, captured_s=None)
    assert check("expiry-honoured", sale.ended()).status is Status.HOLDS


def test_a_fault_without_end_leaves_liveness_open() -> None:
    """What was never healed cannot be served after healing."""
    verdict = check("sale-goes-on", RECORDINGS["bad-sweeper-stopped"]())
    assert verdict.reason == "the fault sweeper-stopped lasted to the end: nothing was healed"


def test_nobody_asking_after_healing_leaves_liveness_open() -> None:
    """Without requests after the fault nothing is known."""
    sale = Sale(plan="redis-kill")
    sale.hold("ann", 1.0)
    sale.strike("redis-kill", 10.0, 20.0)
    verdict = check("sale-goes-on", sale.ended())
    assert (verdict.status, verdict.examined) == (Status.INCONCLUSIVE, 0)


def test_refusals_are_answers() -> None:
    """A shop that says no after healing is a shop that goes on."""
    sale = Sale(plan="redis-kill")
    sale.strike("redis-kill", 10.0, 20.0)
    sale.sold_out("ann", 30.0)
    assert check("sale-goes-on", sale.ended()).status is Status.HOLDS


def test_an_answer_after_the_bound_is_too_late_except_for_payments() -> None:
    """A hold answered after 61 s was not served within 60 s; a payment may take that long."""
    late_hold, slow_payment = Sale(), Sale()
    late_hold.hold("ann", 1.0, completed_s=62.0)
    assert check("sale-goes-on", late_hold.ended()).status is Status.VIOLATED
    slow_payment.hold("ann", 1.0)
    slow_payment.strike("redis-kill", 2.0, 3.0)
    slow_payment.pay("ann", 5.0, 200.0)
    assert check("sale-goes-on", slow_payment.ended()).status is Status.HOLDS


def test_a_long_silence_after_a_good_start_is_found() -> None:
    """Three requests over more than the bound without an answer are a stop of the sale."""
    sale = Sale()
    sale.hold("ann", 1.0)
    for at_s in (100.0, 140.0):
        sale.hold(f"b-{at_s}", at_s, outcome=Outcome.NOT_APPLIED)
    assert check("sale-goes-on", sale.ended()).status is Status.HOLDS
    sale.hold("cid", 170.0, outcome=Outcome.UNKNOWN)
    (violation,) = check("sale-goes-on", sale.ended()).violations
    assert "3 requests in a row, from 100.0 s to 170.0 s" in violation.message


def test_calls_in_flight_at_the_end_are_not_held_against_the_shop() -> None:
    """A cut record ends calls that had time left; a call that hung for longer counts."""
    sale = Sale()
    sale.hold("ann", 1.0, outcome=Outcome.UNKNOWN, completed_s=None)
    assert check("sale-goes-on", sale.ended(at_s=30.0)).status is Status.INCONCLUSIVE
    assert check("sale-goes-on", sale.ended(at_s=100.0)).status is Status.VIOLATED


def test_the_bound_is_a_parameter() -> None:
    """A tighter bound finds what the default forgives."""
    sale = Sale()
    sale.hold("ann", 1.0, completed_s=11.0)
    evidence = gather(sale.ended())
    assert sale_goes_on.examine(evidence).status is Status.HOLDS
    assert sale_goes_on.examine(evidence, bound_s=5.0).status is Status.VIOLATED


def test_capacity_is_taken_from_the_audit_when_the_history_has_none() -> None:
    """The audit's stock rows say how much there was."""
    history = RECORDINGS["bad-lost-hold-sold-twice"]()
    history.capacity = {}
    assert isinstance(history.audit.stock[0], StockRow)  # type: ignore[union-attr] # it has one
    assert check("no-overbooking", history).violations[0].amount == 2
