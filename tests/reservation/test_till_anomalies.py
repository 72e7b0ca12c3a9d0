"""Checkouts cut short, repeated and overtaken: C01 to C07 and A21 at the till."""

from collections.abc import Callable

import pytest

from reservation.api import Order
from reservation.errors import (
    HoldExpired,
    OrderRefused,
)
from tests.reservation.desk import Desk
from tests.reservation.interleave import ServerDied, before_statement, connections_held, die

KEY = "key-h1"


@pytest.mark.parametrize(("inside", "held_during_capture"), [(True, 1), (False, 0)])
def test_a21_capturing_inside_the_transaction_holds_a_connection(
    make_desk: Callable[..., Desk],
    inside: bool,  # noqa: FBT001  a parameter of the test
    held_during_capture: int,
) -> None:
    """A21: the bad variant keeps a connection for the whole payment, the good one none."""
    desk = make_desk(payment_in_transaction=inside)
    seen: list[int] = []
    with connections_held(desk.shop.engine) as held:
        desk.shop.gateway.during_capture = lambda _key: seen.append(held())
        desk.sell()
    assert seen == [held_during_capture]


def test_c05_a_crash_after_the_capture_is_settled(make_desk: Callable[..., Desk]) -> None:
    """C05: with a payment intent the sweeper refunds, without one the money is lost."""
    for intent, refunds in ((True, 1), (False, 0)):
        desk = make_desk(payment_intent=intent)
        desk.during_take = die
        key = f"key-{intent}"
        with pytest.raises(ServerDied):
            desk.sell("h1", key)
        assert desk.till.settle_doubtful(300) == 0, "too young: it may be under way"
        desk.shop.clock.advance(301)
        assert desk.till.settle_doubtful(300) == refunds
        assert desk.till.settle_doubtful(300) == 0
        assert desk.shop.gateway.ledger.count(("refunded", key)) == refunds


def test_a_crash_after_the_capture_is_finished_by_the_repeat(desk: Desk) -> None:
    """The buyer comes again with the same key while the hold lives: one capture, one order."""
    desk.during_take = die
    with pytest.raises(ServerDied):
        desk.sell()
    assert desk.sell().quantity == 2
    desk.shop.clock.advance(1000)
    assert desk.till.settle_doubtful(300) == 0
    assert desk.shop.gateway.ledger == [("captured", KEY)]


def test_a_repeat_makes_the_note_young_again(desk: Desk) -> None:
    """A payment that is being tried again is not settled under the buyer's feet."""
    desk.during_take = die
    with pytest.raises(ServerDied):
        desk.sell()
    desk.shop.clock.advance(299)
    settled: list[int] = []
    desk.during_take = None

    def wait_and_sweep(_key: str) -> None:
        desk.shop.clock.advance(60)
        settled.append(desk.till.settle_doubtful(300))

    desk.shop.gateway.during_capture = wait_and_sweep
    assert desk.sell().quantity == 2
    assert settled == [0]


def test_a_crash_after_the_capture_and_a_hold_that_ended_is_refunded_at_the_repeat(
    desk: Desk,
) -> None:
    """The repeat finds the earlier try's money and gives it back at once."""
    desk.during_take = die
    with pytest.raises(ServerDied):
        desk.sell()
    desk.valid = False
    with pytest.raises(OrderRefused):
        desk.sell()
    assert desk.shop.gateway.ledger == [("captured", KEY), ("refunded", KEY)]


def test_a_try_still_under_way_cannot_sell_after_the_repeat_was_refused(desk: Desk) -> None:
    """A paused first try wakes after its repeat heard `expired`: it must refund, not sell."""

    def repeat(_key: str) -> None:
        desk.valid = False
        with pytest.raises(HoldExpired):
            desk.sell()
        desk.valid = True

    desk.shop.gateway.during_capture = repeat
    with pytest.raises(OrderRefused):
        desk.sell()
    assert desk.shop.order_count() == 0
    assert desk.shop.gateway.ledger == [("captured", KEY), ("refunded", KEY)]


def test_a_payment_that_takes_long_is_not_settled_under_way(desk: Desk) -> None:
    """The provider has not heard of it: the buyer may still be typing a code."""

    def sweep(_key: str) -> None:
        desk.shop.clock.advance(2999)
        assert desk.till.settle_doubtful(300) == 0
        assert desk.shop.payment_status(KEY) == "pending"

    desk.shop.gateway.during_capture = sweep
    assert desk.sell().quantity == 2


def test_a_try_that_slept_through_its_settlement_refunds_itself(desk: Desk) -> None:
    """The sweeper closed the key as never captured; the late capture is given back."""

    def sweep(_key: str) -> None:
        desk.shop.clock.advance(3000)
        assert desk.till.settle_doubtful(300) == 0
        assert desk.shop.payment_status(KEY) == "declined"

    desk.shop.gateway.during_capture = sweep
    with pytest.raises(OrderRefused):
        desk.sell()
    assert desk.shop.order_count() == 0
    assert desk.shop.gateway.ledger == [("captured", KEY), ("refunded", KEY)]


def test_c03_two_tries_at_once_make_one_order(desk: Desk) -> None:
    """C03: a repeat that overtakes the first try sells; the first gets the same order."""
    answers: list[Order] = []
    desk.shop.gateway.during_capture = lambda _key: answers.append(desk.sell())
    answers.append(desk.sell())
    assert answers[0] == answers[1]
    assert desk.shop.order_count() == 1
    assert desk.shop.gateway.ledger == [("captured", KEY)]


@pytest.mark.parametrize("intent", [True, False])
def test_c07_check_then_insert_makes_two_orders(
    make_desk: Callable[..., Desk],
    intent: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    """C07: both tries look, both find nothing, both insert; the unique key makes it one."""
    for idempotency, orders in (("check-then-insert", 2), ("unique", 1)):
        desk = make_desk(idempotency=idempotency, payment_intent=intent)
        key = f"key-{idempotency}"
        before = desk.shop.order_count()

        def second_try(_key: str, desk: Desk = desk, key: str = key) -> None:
            desk.sell("h1", key)
            desk.shop.clock.advance(0.001)

        desk.shop.gateway.during_capture = second_try
        desk.sell("h1", key)
        assert desk.shop.order_count() - before == orders
        assert desk.sell("h1", key).idempotency_key == key
        assert desk.shop.order_count() - before == orders, "a later look does find it"


def test_c01_a_lost_commit_reply_and_a_retry(make_desk: Callable[..., Desk]) -> None:
    """C01: the commit's reply is lost and the buyer repeats: one order with a key, two without."""
    for idempotency, orders in (("none", 2), ("unique", 1)):
        desk = make_desk(idempotency=idempotency)
        before = desk.shop.order_count()
        desk.sell("h1", f"key-{idempotency}")  # the answer never reaches the buyer
        desk.shop.clock.advance(2)
        desk.sell("h1", f"key-{idempotency}")
        assert desk.shop.order_count() - before == orders


def test_c04_a_hold_dropped_before_the_commit_is_lost_with_it(
    make_desk: Callable[..., Desk],
) -> None:
    """C04: the commit fails; dropped too early, the hold is open to others while it is paid."""
    for when, dropped in (("before-commit", ["h1"]), ("after-commit", [])):
        desk = make_desk(drop_hold=when)
        desk.during_take = die
        with pytest.raises(ServerDied):
            desk.sell("h1", f"key-{when}")
        assert desk.dropped == dropped


def test_a_death_between_refund_and_its_note_is_settled_later(desk: Desk) -> None:
    """The refund happened; the sweeper only writes it down, and nothing is refunded twice."""
    desk.takes = False
    with (
        pytest.raises(ServerDied),
        before_statement(desk.shop.engine, "UPDATE payments", die, occurrence=3),
    ):
        desk.sell()
    assert desk.shop.payment_status(KEY) == "refunding"
    desk.shop.clock.advance(301)
    desk.till.settle_doubtful(300)
    assert desk.shop.payment_status(KEY) == "refunded"
    assert desk.shop.gateway.count("refunded") == 1


def test_settling_goes_on_past_a_payment_the_provider_is_silent_about(desk: Desk) -> None:
    """One silent answer does not stop the pass; the next pass asks again."""
    for hold_id in ("h1", "h2"):
        desk.during_take = die
        with pytest.raises(ServerDied):
            desk.sell(hold_id)
    desk.shop.clock.advance(301)
    desk.shop.gateway.lose_replies = 1
    assert desk.till.settle_doubtful(300) == 1
    assert desk.till.settle_doubtful(300) == 1
    assert desk.shop.gateway.count("refunded") == 2
