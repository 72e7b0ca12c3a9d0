"""Flow 2 in Redis: what every redis-hold strategy does when nothing goes wrong, and its costs."""

from dataclasses import replace
from typing import Any

import pytest

from reservation import redis_hold, redis_hold_blind, redis_hold_racy, redis_hold_read_check
from reservation.api import StrategyInfo
from reservation.errors import HoldExpired, NotApplied, OrderRefused, SoldOut, UnknownOutcome
from tests.reservation.fakes import SALE_OPENS
from tests.reservation.interleaved import count_sql, with_interleaving
from tests.reservation.shop import Shop

ALL = [
    redis_hold.HOLD,
    redis_hold.RECHECK,
    *redis_hold_read_check.INFOS,
    *redis_hold_blind.INFOS,
    *redis_hold_racy.INFOS,
]
COUNTING = [info for info in ALL if info.name != "redis-hold-blind"]
CAREFUL = [redis_hold.HOLD, redis_hold.RECHECK, *redis_hold_read_check.INFOS]


def named(info: StrategyInfo) -> str:
    """Name a test's parameter after its strategy."""
    return info.name


@pytest.fixture(params=ALL, ids=named)
def each(request: pytest.FixtureRequest) -> StrategyInfo:
    """Every redis-hold strategy in turn."""
    info: StrategyInfo = request.param
    return info


def test_hold_then_pay_sells_the_tickets(shop: Shop, redis: Any, each: StrategyInfo) -> None:
    """A hold that is paid becomes an order, a real deduction, and no key in Redis."""
    shop.open(10)
    strategy = shop.build(each)
    hold = strategy.hold(shop.ask("h1", 3))
    assert (shop.remaining(), hold.expires_at) == (10, SALE_OPENS + 900)
    order = strategy.checkout(shop.pay(hold))
    assert (order.quantity, order.customer_id) == (3, "buyer-h1")
    assert (shop.remaining(), shop.sold()) == (7, 3)
    assert redis.get("hold:{1}:h1") is None
    seen = strategy.availability(1)
    assert (seen.capacity, seen.sellable, seen.held, seen.sold) == (10, 7, 0, 3)


def test_a_repeated_hold_is_the_same_hold(shop: Shop, each: StrategyInfo) -> None:
    """Asking again with the same hold_id gives the same deadline and holds nothing more."""
    shop.open(10)
    strategy = shop.build(each)
    first = strategy.hold(shop.ask("h1", 6))
    shop.clock.advance(100)
    assert strategy.hold(shop.ask("h1", 6)) == first
    assert strategy.availability(1).held == 6


def test_a_repeated_checkout_gives_the_first_answer(shop: Shop, each: StrategyInfo) -> None:
    """Paying twice with one idempotency key makes one order."""
    shop.open(10)
    strategy = shop.build(each)
    request = shop.pay(strategy.hold(shop.ask("h1", 2)))
    assert strategy.checkout(request) == strategy.checkout(request)
    assert (shop.order_count(), shop.gateway.count("captured"), shop.remaining()) == (1, 1, 8)


def test_an_expired_hold_is_refused_and_its_tickets_are_sold_again(
    shop: Shop, each: StrategyInfo
) -> None:
    """After the TTL the hold is gone without a sweep, and somebody else gets the tickets."""
    shop.open(4)
    strategy = shop.build(each, ttl_s=60.0)
    late = strategy.hold(shop.ask("h1", 4))
    shop.clock.advance(60.1)
    other = strategy.hold(shop.ask("h2", 4))
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(late))
    strategy.checkout(shop.pay(other))
    assert (shop.sold(), shop.remaining(), shop.gateway.count("captured")) == (4, 0, 1)


def test_release_gives_back_once(shop: Shop, each: StrategyInfo) -> None:
    """A released hold's tickets are free again, and releasing it again changes nothing."""
    shop.open(4)
    strategy = shop.build(each)
    first = strategy.hold(shop.ask("h1", 3))
    strategy.hold(shop.ask("h2", 1))
    strategy.release(first)
    strategy.release(first)
    assert strategy.availability(1).held == 1
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(first))


@pytest.mark.parametrize("info", COUNTING, ids=named)
def test_live_holds_are_counted(shop: Shop, info: StrategyInfo) -> None:
    """What others hold cannot be held, to the last ticket."""
    shop.open(4)
    strategy = shop.build(info)
    strategy.hold(shop.ask("h1", 3))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h2", 2))
    strategy.hold(shop.ask("h3", 1))
    assert strategy.availability(1).sellable == 0


def test_the_blind_one_holds_more_than_there_is(shop: Shop) -> None:
    """redis-hold-blind lets two buyers hold, and pay for, the same tickets with no fault at all."""
    shop.open(4)
    strategy = shop.build(redis_hold_blind.INFOS[0])
    holds = [strategy.hold(shop.ask(name, 4)) for name in ("h1", "h2")]
    assert strategy.availability(1).held == 8
    for hold in holds:
        strategy.checkout(shop.pay(hold))
    assert (shop.sold(), shop.remaining()) == (8, -4)


def test_the_blind_one_looks_at_the_stock(shop: Shop) -> None:
    """redis-hold-blind does refuse what the database no longer has."""
    shop.open(4)
    strategy = shop.build(redis_hold_blind.INFOS[0])
    strategy.checkout(shop.pay(strategy.hold(shop.ask("h1", 4))))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h2", 1))


def test_a_hold_is_paid_as_it_was_made(shop: Shop, each: StrategyInfo) -> None:
    """A checkout that claims more tickets, or another customer, than the key says is refused."""
    shop.open(10)
    strategy = shop.build(each)
    hold = strategy.hold(shop.ask("h1", 1))
    for claim in (replace(hold, quantity=5), replace(hold, customer_id="buyer-x")):
        with pytest.raises(HoldExpired):
            strategy.checkout(shop.pay(claim, key="other"))


@pytest.mark.parametrize("info", CAREFUL, ids=named)
def test_what_a_request_costs(
    shop: Shop, redis_server: Any, redis: Any, info: StrategyInfo
) -> None:
    """A hold is one script, a checkout reads one key and drops with one script."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(info)
    strategy.checkout(shop.pay(strategy.hold(shop.ask("h0"))))  # the server learns the scripts
    client.sent.clear()
    hold = strategy.hold(shop.ask("h1"))
    assert client.sent == {"EVALSHA": 1}
    strategy.checkout(shop.pay(hold))
    assert client.sent == {"EVALSHA": 2, "GET": 1}


@pytest.mark.parametrize("info", CAREFUL, ids=named)
def test_a_resent_script_changes_nothing_more(
    shop: Shop, redis_server: Any, redis: Any, info: StrategyInfo
) -> None:
    """redis-py may send every command twice: the careful strategies count once."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    client.resend = {"EVALSHA", "EVAL"}
    strategy = shop.build(info)
    kept, given_back, paid = (strategy.hold(shop.ask(name, 2)) for name in ("h1", "h2", "h3"))
    strategy.release(given_back)
    strategy.checkout(shop.pay(paid))
    seen = strategy.availability(1)
    assert (seen.sellable, seen.held, seen.sold) == (6, 2, 2)
    assert strategy.hold(shop.ask("h1", 2)) == kept


def test_redis_forgets_its_scripts_at_a_restart(shop: Shop, redis: Any) -> None:
    """After SCRIPT FLUSH the next call sends the script again."""
    shop.open(10)
    strategy = shop.build(redis_hold.HOLD)
    strategy.hold(shop.ask("h1", 1))
    redis.script_flush()
    strategy.hold(shop.ask("h2", 1))
    assert strategy.availability(1).held == 2


def test_without_redis_the_outcome_is_named(
    shop: Shop, redis_server: Any, redis: Any, each: StrategyInfo
) -> None:
    """With Redis away it fails closed: a hold in doubt, a checkout not begun, no money."""
    shop.open(10)
    strategy = shop.build(each)
    hold = strategy.hold(shop.ask("h1"))
    redis_server.connected = False
    with pytest.raises((UnknownOutcome, NotApplied)):
        strategy.hold(shop.ask("h2"))
    with pytest.raises(NotApplied):
        strategy.checkout(shop.pay(hold))
    redis_server.connected = True
    assert (shop.gateway.ledger, shop.order_count()) == ([], 0)


def test_a_lost_reply_leaves_one_hold(shop: Shop, redis_server: Any, redis: Any) -> None:
    """A hold whose answer was lost is found again by its id."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(redis_hold.RECHECK)
    client.fail_after = {"EVALSHA", "EVAL"}
    with pytest.raises(UnknownOutcome):
        strategy.hold(shop.ask("h1", 4))
    client.fail_after = set()
    assert strategy.availability(1).held == 4
    strategy.hold(shop.ask("h1", 4))
    assert strategy.availability(1).held == 4


def test_expired_holds_are_purged_once(shop: Shop, redis: Any) -> None:
    """Holds that end at different times leave the set and the total together."""
    shop.open(10)
    strategy = shop.build(redis_hold.HOLD, ttl_s=60.0)
    strategy.hold(shop.ask("h1", 1))
    shop.clock.advance(30)
    strategy.hold(shop.ask("h2", 2))
    shop.clock.advance(31)
    strategy.hold(shop.ask("h3", 4))
    assert (redis.zcard("holds:{1}"), redis.get("held:{1}")) == (2, b"6")
    shop.clock.advance(61)
    assert strategy.availability(1).held == 0
    assert (redis.zcard("holds:{1}"), redis.get("held:{1}")) == (0, b"0")


def test_dropping_an_expired_hold_that_was_not_purged_counts_once(shop: Shop, redis: Any) -> None:
    """A late release of a hold whose key has expired takes it out of the total, once."""
    shop.open(10)
    strategy = shop.build(redis_hold.HOLD, ttl_s=60.0)
    hold = strategy.hold(shop.ask("h1", 3))
    shop.clock.advance(61)
    strategy.release(hold)
    strategy.release(hold)
    assert redis.get("held:{1}") == b"0"


def test_a_failed_drop_only_holds_too_long(shop: Shop, redis_server: Any, redis: Any) -> None:
    """C04, a lost drop after the commit: sold and held until the TTL, then free of it."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(redis_hold.RECHECK, ttl_s=60.0)
    hold = strategy.hold(shop.ask("h1", 4))
    client.fail_before = {"EVALSHA", "EVAL"}
    strategy.checkout(shop.pay(hold))
    client.fail_before = set()
    seen = strategy.availability(1)
    assert (seen.sellable, seen.held, seen.sold) == (2, 4, 4)
    shop.clock.advance(61)
    seen = strategy.availability(1)
    assert (seen.sellable, seen.held, seen.sold) == (6, 0, 4)


def test_the_sweep_settles_a_payment_without_an_order(shop: Shop, redis: Any) -> None:
    """A payment captured by a checkout that never came back is refunded by the sweep."""
    shop.open(10)
    strategy = shop.build(redis_hold.RECHECK)
    request = shop.pay(strategy.hold(shop.ask("h1", 1)))
    shop.gateway.lose_replies = 1
    with pytest.raises(UnknownOutcome):
        strategy.checkout(request)
    shop.clock.advance(299)
    assert strategy.sweep().refunded_payments == 0
    shop.clock.advance(2)
    assert strategy.sweep().refunded_payments == 1
    assert shop.gateway.count("refunded") == 1
    with pytest.raises(OrderRefused):
        strategy.checkout(request)


class TestStockFromTheCache:
    """Step 1 against a copy of `remaining_ticket`."""

    def test_the_copy_saves_the_database(self, shop: Shop, redis: Any) -> None:
        """With a copy there, a hold asks the database nothing; without one, once."""
        shop.open(10)
        strategy = shop.build(redis_hold.HOLD, stock_check="cache")
        statements = count_sql(shop.engine)
        strategy.hold(shop.ask("h1", 2))
        assert (redis.get("remaining:{1}"), statements.total()) == (b"10", 1)
        strategy.hold(shop.ask("h2", 2))
        assert statements.total() == 1
        shop.clock.advance(5.1)
        strategy.hold(shop.ask("h3", 2))
        assert statements.total() == 2

    def test_a_sale_makes_the_copy_no_wronger(self, shop: Shop, redis: Any) -> None:
        """After a sale the old copy cannot sell the same tickets again."""
        shop.open(4)
        strategy = shop.build(redis_hold.HOLD, stock_check="cache")
        strategy.checkout(shop.pay(strategy.hold(shop.ask("h1", 3))))
        assert redis.get("remaining:{1}") == b"4"
        with pytest.raises(SoldOut):
            strategy.hold(shop.ask("h2", 2))
        strategy.hold(shop.ask("h3", 1))

    def test_open_sale_shows_new_stock_at_once(self, shop: Shop, redis: Any) -> None:
        """A raised `remaining_ticket` counts after `open_sale`, or when copy and floor ended."""
        shop.open(4)
        strategy = shop.build(redis_hold.HOLD, stock_check="cache")
        strategy.checkout(shop.pay(strategy.hold(shop.ask("h1", 4))))
        shop.clock.advance(6)
        with pytest.raises(SoldOut):
            strategy.hold(shop.ask("h2", 2))  # a fresh copy says 0
        with shop.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE events SET remaining_ticket = 2")
        with pytest.raises(SoldOut):
            strategy.hold(shop.ask("h2", 2))
        strategy.open_sale(1)
        strategy.hold(shop.ask("h2", 2))


def test_a_deployment_without_redis_is_refused(shop: Shop, redis: Any, each: StrategyInfo) -> None:
    """Building a Redis strategy without a client says what is missing."""
    shop.open(10)
    poor = replace(shop, stores=replace(shop.stores, redis=None))
    with pytest.raises(ValueError, match=rf"{each.name} keeps its holds in Redis"):
        poor.build(each)


def test_tasks_of_others_are_refused(shop: Shop, each: StrategyInfo) -> None:
    """Nothing schedules tasks here, so a task is a mistake."""
    shop.open(10)
    with pytest.raises(ValueError, match="expire-cart"):
        shop.build(each).run_task("expire-cart", "h1")
