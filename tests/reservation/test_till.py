"""The part of a checkout every strategy shares: `reservation.till` and its payment book."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reservation.errors import (
    HoldExpired,
    NotApplied,
    OrderRefused,
    PaymentDeclined,
    UnknownOutcome,
)
from reservation.till import TillOptions, original_key, till_options
from tests.reservation.desk import Desk
from tests.reservation.shop import Shop

KEY = "key-h1"


def test_a_sale_is_one_order_one_payment_and_a_dropped_hold(desk: Desk) -> None:
    """The ordinary case leaves exactly what it should."""
    order = desk.sell()
    assert (order.quantity, order.idempotency_key, order.customer_id) == (2, KEY, "ann")
    assert desk.shop.sold() == 2
    assert desk.shop.payment_status(KEY) == "captured"
    assert desk.shop.gateway.ledger == [("captured", KEY)]
    assert desk.dropped == ["h1"]


def test_a_repeated_key_gives_the_first_answer(desk: Desk) -> None:
    """The same order comes back, seats and all, and nothing is captured or sold again."""
    first = desk.sell(seats=("A1", "A2"))
    desk.valid = False  # the hold is gone by now
    assert desk.sell(seats=("A1", "A2")) == first
    assert desk.shop.order_count() == 1
    assert desk.shop.gateway.count("captured") == 1


def test_an_invalid_hold_is_refused_before_any_money(desk: Desk) -> None:
    """Verification comes first."""
    desk.valid = False
    with pytest.raises(HoldExpired):
        desk.sell()
    assert desk.shop.gateway.ledger == []
    assert desk.shop.payment_status(KEY) is None


def test_a_declined_payment_sells_nothing_and_stays_declined(desk: Desk) -> None:
    """A repeat gets the same no."""
    desk.shop.gateway.decline.add(KEY)
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            desk.sell()
    assert desk.shop.order_count() == 0
    assert desk.shop.payment_status(KEY) == "declined"
    assert desk.shop.gateway.ledger == [("declined", KEY)]
    assert desk.dropped == []


def test_paid_but_gone_is_refunded_and_stays_refused(desk: Desk) -> None:
    """The money goes back once, the buyer is told, and a repeat gets the same no."""
    desk.takes = False
    with pytest.raises(OrderRefused):
        desk.sell()
    desk.takes = True
    with pytest.raises(OrderRefused):
        desk.sell()
    assert desk.shop.order_count() == 0
    assert desk.shop.payment_status(KEY) == "refunded"
    assert desk.shop.gateway.ledger == [("captured", KEY), ("refunded", KEY)]


def test_without_refunds_the_money_is_kept(make_desk: Callable[..., Desk]) -> None:
    """The bad variant: captured, no order, no refund (I4), not even by the sweeper."""
    desk = make_desk(refund=False)
    desk.takes = False
    for _ in range(2):
        with pytest.raises(OrderRefused):
            desk.sell()
    desk.shop.clock.advance(1000)
    assert desk.till.settle_doubtful(300) == 0
    assert desk.shop.gateway.ledger == [("captured", KEY)]


def test_a_seat_sold_twice_is_refunded_by_the_unique_key(desk: Desk) -> None:
    """The schema is the last line of defence."""
    desk.sell("h1", seats=("A1",))
    with pytest.raises(OrderRefused):
        desk.sell("h2", seats=("A1",))
    assert desk.shop.sold_seats() == ["A1"]
    assert desk.shop.gateway.ledger[-1] == ("refunded", "key-h2")


def test_a_timeout_of_the_provider_is_unknown_and_the_repeat_sells(desk: Desk) -> None:
    """The money was taken; the same key finds it."""
    desk.shop.gateway.lose_replies = 1
    with pytest.raises(UnknownOutcome):
        desk.sell()
    assert desk.shop.payment_status(KEY) == "pending"
    assert desk.sell().quantity == 2
    assert desk.shop.gateway.ledger == [("captured", KEY)]


def test_a_timeout_of_the_refund_is_finished_by_the_repeat(desk: Desk) -> None:
    """Unknown until the provider says that the money is back."""
    desk.takes = False

    def lose_the_refund() -> None:
        desk.shop.gateway.lose_replies = 1

    desk.during_take = lose_the_refund
    with pytest.raises(UnknownOutcome):
        desk.sell()
    assert desk.shop.payment_status(KEY) == "refunding"
    desk.takes = True  # tickets came back meanwhile: the closed key must not sell them
    with pytest.raises(OrderRefused):
        desk.sell()
    assert desk.shop.gateway.ledger == [("captured", KEY), ("refunded", KEY)]


def test_no_connection_is_held_while_the_provider_takes_its_time(desk: Desk) -> None:
    """Another buyer can sell during a capture, on a database with one writer."""
    desk.shop.gateway.during_capture = lambda _key: desk.sell("h2") and None
    desk.sell("h1")
    assert desk.shop.order_count() == 2


def test_a_store_failure_after_the_capture_is_unknown(desk: Desk) -> None:
    """NotApplied would be a lie: the money was taken."""

    def fail() -> None:
        raise NotApplied("the database failed")

    desk.during_take = fail
    with pytest.raises(UnknownOutcome):
        desk.sell()
    assert desk.sell().quantity == 2


def test_a_drop_that_fails_does_not_fail_the_sale(desk: Desk) -> None:
    """The hold's own end cleans it up."""
    desk.drop_fails = True
    assert desk.sell().quantity == 2


def test_original_key_undoes_the_mark_of_a_shop_without_unique_keys(
    make_desk: Callable[..., Desk], shop: Shop
) -> None:
    """Audits count orders per buyer's key, whatever the till stored."""
    from sqlalchemy import select

    from reservation.tables import orders

    make_desk(idempotency="none").sell()
    with shop.engine.connect() as connection:
        stored = connection.execute(select(orders.c.idempotency_key)).scalar_one()
    assert stored != KEY
    assert original_key(stored) == KEY
    assert original_key(KEY) == KEY


def test_till_options_are_picked_out_of_a_strategys() -> None:
    """Options of the strategy itself are left alone."""
    assert till_options({"refund": False, "ttl_s": 5.0}) == replace(TillOptions(), refund=False)
