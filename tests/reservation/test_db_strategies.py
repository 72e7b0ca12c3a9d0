"""What every database strategy promises, on a real SQLite file: flow 1, alone on the server."""

from collections.abc import Callable

import pytest

from reservation import db_cart, db_derived
from reservation.api import AdmissionKind, Availability, Strategy, StrategyInfo
from reservation.errors import HoldExpired, OrderRefused, SoldOut
from tests.reservation.shop import Shop

INFOS = {info.name: info for info in (*db_cart.INFOS, *db_derived.INFOS)}
WITH_COUNTER = [name for name in INFOS if name != "db-derived"]
SEATED = [info.name for info in INFOS.values() if AdmissionKind.SEATS in info.admits]
TTL_S = 900.0

each = pytest.mark.parametrize("name", INFOS)
each_with_counter = pytest.mark.parametrize("name", WITH_COUNTER)
each_seated = pytest.mark.parametrize("name", SEATED)
Build = Callable[..., Strategy]


@pytest.fixture
def build(shop: Shop) -> Build:
    """Make strategies by name."""
    return lambda name, **options: shop.build(INFOS[name], **options)


def stock(strategy: Strategy) -> tuple[int, int, int]:
    """Read sellable, held, sold."""
    seen: Availability = strategy.availability(1)
    return seen.sellable, seen.held, seen.sold


@each
@pytest.mark.parametrize("whose", ["application", "database"])
def test_a_hold_takes_tickets_until_its_deadline(
    shop: Shop, build: Build, name: str, whose: str
) -> None:
    """The answer repeats the request and says until when."""
    shop.open()
    strategy = build(name, clock=whose)
    hold = strategy.hold(shop.ask("h1", 3))
    assert (hold.hold_id, hold.quantity, hold.customer_id) == ("h1", 3, "buyer-h1")
    assert hold.expires_at == pytest.approx(shop.clock.now() + TTL_S, abs=0.01)
    assert stock(strategy) == (7, 3, 0)


@each
def test_holds_stop_at_the_last_ticket(shop: Shop, build: Build, name: str) -> None:
    """What does not fit is refused whole, and leaves nothing behind."""
    shop.open(capacity=5)
    strategy = build(name)
    strategy.hold(shop.ask("h1", 3))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h2", 3))
    strategy.hold(shop.ask("h3", 2))
    assert stock(strategy) == (0, 5, 0)
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h4", 1))


@each
@pytest.mark.parametrize("whose", ["application", "database"])
def test_a_checkout_sells_the_held_tickets(shop: Shop, build: Build, name: str, whose: str) -> None:
    """The cart is confirmed, the order written, and later sweeps leave both alone."""
    shop.open()
    strategy = build(name, clock=whose)
    order = strategy.checkout(shop.pay(strategy.hold(shop.ask("h1", 3))))
    assert order.quantity == 3
    assert shop.cart_status("h1") == "paid"
    shop.clock.advance(2 * TTL_S)
    assert strategy.sweep().expired_holds == 0
    assert stock(strategy) == (7, 0, 3)
    assert shop.remaining() == 7


@each
def test_a_repeated_checkout_gives_the_first_order(shop: Shop, build: Build, name: str) -> None:
    """One key, one order, one capture, though the cart is paid already."""
    shop.open()
    strategy = build(name)
    request = shop.pay(strategy.hold(shop.ask("h1")))
    assert strategy.checkout(request) == strategy.checkout(request)
    assert shop.order_count() == 1
    assert shop.gateway.ledger == [("captured", "key-h1")]


@each
def test_one_hold_is_sold_once_whatever_the_key(shop: Shop, build: Build, name: str) -> None:
    """A second key for a paid cart finds it no longer held."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1"))
    strategy.checkout(shop.pay(hold))
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(hold, "another-key"))
    assert shop.gateway.ledger == [("captured", "key-h1")]


@each
def test_an_expired_hold_cannot_be_paid(shop: Shop, build: Build, name: str) -> None:
    """At its deadline a hold is over, swept or not, and no money is taken."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1"))
    shop.clock.advance(TTL_S)
    with pytest.raises(HoldExpired, match="h1"):
        strategy.checkout(shop.pay(hold))
    assert shop.gateway.ledger == []


@each
def test_b06_a_hold_that_ends_during_payment_is_refunded(
    shop: Shop, build: Build, name: str
) -> None:
    """B06 for flow 1: the confirmation looks again, refuses, and the money goes back."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1"))
    shop.gateway.during_capture = lambda _key: shop.clock.advance(TTL_S)
    with pytest.raises(OrderRefused):
        strategy.checkout(shop.pay(hold))
    assert shop.order_count() == 0
    assert shop.gateway.ledger == [("captured", "key-h1"), ("refunded", "key-h1")]


@each
def test_a_sweep_frees_expired_holds_only(shop: Shop, build: Build, name: str) -> None:
    """What expired is sellable again; what lives is untouched; a second sweep finds nothing."""
    shop.open()
    strategy = build(name)
    strategy.hold(shop.ask("old", 4))
    shop.clock.advance(TTL_S / 2)
    strategy.hold(shop.ask("young", 3))
    shop.clock.advance(TTL_S / 2)
    assert strategy.sweep().expired_holds == 1
    assert stock(strategy) == (7, 3, 0)
    assert (shop.cart_status("old"), shop.cart_status("young")) == ("expired", "held")
    assert strategy.sweep().expired_holds == 0


@each_with_counter
@pytest.mark.parametrize("reclaim", ["indexed-batch", "cron-scan"])
@pytest.mark.parametrize("give_back", ["atomic", "split"])
@pytest.mark.parametrize("whose", ["application", "database"])
def test_each_way_of_reclaiming_gives_back_exactly(
    shop: Shop, build: Build, name: str, reclaim: str, give_back: str, whose: str
) -> None:
    """Undisturbed, they differ in cost, not in result; batches go on until none is left."""
    shop.open()
    strategy = build(name, reclaim=reclaim, give_back=give_back, clock=whose, batch=2)
    for number in range(5):
        strategy.hold(shop.ask(f"h{number}", 2))
    assert strategy.sweep().returned_tickets == 0
    assert stock(strategy) == (0, 10, 0), "expired but unswept carts keep their stock"
    shop.clock.advance(TTL_S)
    assert stock(strategy) == (0, 10, 0), "expired but unswept carts keep their stock"
    report = strategy.sweep()
    assert (report.expired_holds, report.returned_tickets) == (5, 10)
    assert stock(strategy) == (10, 0, 0)
    assert shop.remaining() == 10


@each_with_counter
def test_a_delayed_task_gives_back_its_cart(shop: Shop, build: Build, name: str) -> None:
    """Each hold schedules its own end; the sweeper then leaves carts alone."""
    shop.open()
    strategy = build(name, reclaim="delayed-task", sweeper_grace_s=10.0)
    strategy.hold(shop.ask("h1", 2))
    strategy.checkout(shop.pay(strategy.hold(shop.ask("h2", 3))))
    assert [task[0] for task in shop.tasks.queue] == [shop.clock.now() + TTL_S + 10.0] * 2
    shop.clock.advance(TTL_S + 10.0)
    assert strategy.sweep().expired_holds == 0
    assert shop.tasks.run_due(strategy, shop.clock.now()) == 2
    assert stock(strategy) == (7, 0, 3)
    assert shop.tasks.queue == []


def test_a_task_run_early_by_a_slow_clock_comes_again(shop: Shop, build: Build) -> None:
    """The queue calls on time, but this server's clock says not yet."""
    shop.open()
    build("db-cart", reclaim="delayed-task").hold(shop.ask("h1"))
    slow = build("db-cart", reclaim="delayed-task", skew_s=-2.0)
    shop.clock.advance(TTL_S)
    shop.tasks.run_due(slow, shop.clock.now())
    assert shop.cart_status("h1") == "held"
    shop.clock.advance(2.0)
    shop.tasks.run_due(slow, shop.clock.now())
    assert shop.cart_status("h1") == "expired"


@pytest.mark.parametrize("name", ["db-cart", "db-derived"])
def test_a_task_of_another_kind_is_a_mistake(shop: Shop, build: Build, name: str) -> None:
    """It is not passed over in silence."""
    shop.open()
    with pytest.raises(ValueError, match="'clean'"):
        build(name).run_task("clean", "h1")


@each
def test_a_release_gives_back_once(shop: Shop, build: Build, name: str) -> None:
    """Releasing what is gone does nothing, and the sweeper does not return it again."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1", 4))
    strategy.release(hold)
    strategy.release(hold)
    assert stock(strategy) == (10, 0, 0)
    shop.clock.advance(TTL_S)
    assert strategy.sweep().expired_holds == 0
    assert stock(strategy) == (10, 0, 0)
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(hold))


@each
def test_a_sold_hold_cannot_be_released(shop: Shop, build: Build, name: str) -> None:
    """Paid tickets do not come back by a late release."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1", 4))
    strategy.checkout(shop.pay(hold))
    strategy.release(hold)
    assert stock(strategy) == (6, 0, 4)


@each
def test_b30_a_repeated_request_gets_the_same_hold(shop: Shop, build: Build, name: str) -> None:
    """B30: the first answer was lost; asking again holds nothing more, even when sold out."""
    shop.open(capacity=4)
    strategy = build(name)
    first = strategy.hold(shop.ask("h1", 4))
    shop.clock.advance(100)
    assert strategy.hold(shop.ask("h1", 4)) == first
    assert stock(strategy) == (0, 4, 0)
    strategy.checkout(shop.pay(first))
    assert strategy.hold(shop.ask("h1", 4)) == first, "paid: still the first answer"


@each
@pytest.mark.parametrize("end", ["release", "expire"])
def test_a_hold_id_is_not_used_twice(shop: Shop, build: Build, name: str, end: str) -> None:
    """After its hold has ended, an id holds nothing."""
    shop.open()
    strategy = build(name)
    hold = strategy.hold(shop.ask("h1", 2))
    if end == "release":
        strategy.release(hold)
    shop.clock.advance(TTL_S)
    with pytest.raises(HoldExpired, match="new hold_id"):
        strategy.hold(shop.ask("h1", 2))
    strategy.sweep()
    assert stock(strategy) == (10, 0, 0)


@each
def test_a_request_that_would_add_stock_is_a_mistake(shop: Shop, build: Build, name: str) -> None:
    """A quantity below one must never reach the counter."""
    shop.open()
    strategy = build(name)
    for quantity in (0, -3):
        with pytest.raises(ValueError, match="ask for 1 or more"):
            strategy.hold(shop.ask("h1", quantity))
    assert stock(strategy) == (10, 0, 0)


@each
def test_an_unknown_event_has_nothing_to_sell(shop: Shop, build: Build, name: str) -> None:
    """A hold is refused; a count is a mistake."""
    strategy = build(name)
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h1"))
    with pytest.raises(LookupError, match="event 1"):
        strategy.availability(1)


@each
def test_sweeping_settles_doubtful_payments(shop: Shop, build: Build, name: str) -> None:
    """A capture whose answer was lost, and whose buyer never came back, is refunded."""
    shop.open()
    strategy = build(name, doubtful_after_s=200.0)
    hold = strategy.hold(shop.ask("h1"))
    shop.gateway.lose_replies = 1
    with pytest.raises(Exception, match="no answer"):
        strategy.checkout(shop.pay(hold))
    shop.clock.advance(199)
    assert strategy.sweep().refunded_payments == 0
    shop.clock.advance(1)
    assert strategy.sweep().refunded_payments == 1
    assert shop.gateway.ledger[-1] == ("refunded", "key-h1")


@each_with_counter
def test_a_grace_lets_a_late_payment_through(shop: Shop, build: Build, name: str) -> None:
    """A cart is left alone for the grace, and a payment begun in time may still confirm it."""
    shop.open()
    strategy = build(name, sweeper_grace_s=60.0)
    hold = strategy.hold(shop.ask("h1"))
    shop.clock.advance(TTL_S - 1)

    def end_and_sweep(_key: str) -> None:
        shop.clock.advance(60)
        assert strategy.sweep().expired_holds == 0

    shop.gateway.during_capture = end_and_sweep
    assert strategy.checkout(shop.pay(hold)).quantity == 1
    strategy.hold(shop.ask("h2"))
    shop.clock.advance(TTL_S + 60)
    assert strategy.sweep().expired_holds == 1


def test_the_catalogue_entries_are_complete() -> None:
    """Each entry says what it admits; only the naive one is known to be bad."""

    def bad(info: StrategyInfo) -> bool:
        return info.known_bad is not None

    assert [info.name for info in INFOS.values() if bad(info)] == ["db-cart-naive"]
    assert not any(info.uses_redis for info in INFOS.values())
