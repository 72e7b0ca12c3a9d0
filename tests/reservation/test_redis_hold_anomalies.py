"""The catalogue's anomalies of flow 2: the bad variant shows each, the fixed one does not."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from reservation import redis_hold, redis_hold_racy, redis_hold_read_check
from reservation.api import StrategyInfo
from reservation.errors import HoldExpired, OrderRefused, SoldOut, UnknownOutcome
from reservation.hold_ledger import SOLD_OUT, HoldLedger
from tests.reservation.interleaved import before_sql, with_interleaving
from tests.reservation.shop import Shop

RACY = redis_hold_racy.INFOS[0]
READ_CHECK = redis_hold_read_check.INFOS[0]


def named(info: StrategyInfo) -> str:
    """Name a test's parameter after its strategy."""
    return info.name


def held_after_counting(shop: Shop, server: Any, watch: str) -> int:
    """Let B hold the last tickets after A has counted and before A writes; count what is held."""
    shop.open(4)
    other = shop.build(RACY, watch=watch)
    slow_shop, client = with_interleaving(shop, server)
    strategy = slow_shop.build(RACY, watch=watch)
    counted = type(client.pipeline()).execute

    def b_comes_first(pipe: Any, *args: Any) -> Any:
        patch.undo()
        other.hold(shop.ask("b", 4))
        return counted(pipe, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.client.Pipeline.execute", b_comes_first)
        with suppress(SoldOut):
            strategy.hold(shop.ask("a", 4))
    return other.availability(1).held


@pytest.mark.parametrize("watch", ["none", "client"])
def test_b01_b03_count_then_write(shop: Shop, redis_server: Any, redis: Any, watch: str) -> None:
    """B01, B03: both fit when both count first, and a WATCH on the client changes nothing."""
    assert held_after_counting(shop, redis_server, watch) == 8


def test_b03_watch_on_the_pipeline(shop: Shop, redis_server: Any, redis: Any) -> None:
    """B03 fixed: the pipeline's WATCH sees the other's hold, and A counts again."""
    assert held_after_counting(shop, redis_server, "pipeline") == 4


def test_b03_the_optimistic_lock_gives_up(shop: Shop, redis_server: Any, redis: Any) -> None:
    """When others always come between, the outcome is named after a bounded number of tries."""
    shop.open(100)
    other = shop.build(RACY, watch="pipeline")
    strategy = shop.build(RACY, watch="pipeline")
    counted = redis.pipeline().__class__.execute
    tries: list[str] = []

    def b_comes_first(pipe: Any, *args: Any) -> Any:
        if not tries or tries[-1] != "b":
            tries.append("b")
            other.hold(shop.ask(f"b{len(tries)}"))
            tries.append("a")
        return counted(pipe, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.client.Pipeline.execute", b_comes_first)
        with pytest.raises(UnknownOutcome, match="20 times"):
            strategy.hold(shop.ask("a"))
    assert strategy.availability(1).held == redis_hold_racy.ATTEMPTS


def test_b01_one_script_counts_and_writes(shop: Shop, redis_server: Any, redis: Any) -> None:
    """B01 fixed: whoever's script runs second finds the first one's hold."""
    shop.open(4)
    other = shop.build(redis_hold.HOLD)
    slow_shop, client = with_interleaving(shop, redis_server)
    strategy = slow_shop.build(redis_hold.HOLD)
    client.before["EVALSHA"] = lambda: other.hold(shop.ask("b", 4))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("a", 4))


def pay_through_a_loss(shop: Shop, redis: Any, info: StrategyInfo, **options: Any) -> Any:
    """A holds all; while A pays, Redis loses everything and B holds and pays: A's end result."""
    shop.open(4)
    strategy = shop.build(info, **options)
    first = strategy.hold(shop.ask("a", 4))

    def redis_restarts_empty(_key: str) -> None:
        redis.flushall()
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b", 4))))

    shop.gateway.during_capture = redis_restarts_empty
    return strategy.checkout(shop.pay(first))


@pytest.mark.parametrize(
    ("info", "options"),
    [(redis_hold.HOLD, {}), (RACY, {}), (READ_CHECK, {"check": "before-payment"})],
    ids=["redis-hold", "redis-hold-racy", "read-check-before-payment"],
)
def test_b08_lost_holds_overbook(
    shop: Shop, redis: Any, info: StrategyInfo, options: dict[str, Any]
) -> None:
    """B08: a deduction that does not ask sells lost holds twice."""
    pay_through_a_loss(shop, redis, info, **options)
    assert (shop.sold(), shop.remaining()) == (8, -4)


@pytest.mark.parametrize("info", [redis_hold.RECHECK, READ_CHECK], ids=named)
def test_b08_the_recheck_refunds(shop: Shop, redis: Any, info: StrategyInfo) -> None:
    """B08 fixed: the recheck refuses and refunds; the price is A's broken promise."""
    with pytest.raises(OrderRefused):
        pay_through_a_loss(shop, redis, info)
    assert (shop.sold(), shop.remaining()) == (4, 0)
    assert (shop.gateway.count("captured"), shop.gateway.count("refunded")) == (2, 1)


def test_b08_a_hold_lost_before_the_checkout_is_refused(shop: Shop, redis: Any) -> None:
    """B08: whoever comes to pay after the loss is refused before any money moves."""
    shop.open(4)
    strategy = shop.build(redis_hold.HOLD)
    hold = strategy.hold(shop.ask("a", 4))
    redis.flushall()
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(hold))
    assert shop.gateway.ledger == []


@pytest.mark.parametrize(
    ("info", "sold"), [(redis_hold.HOLD, 8), (redis_hold.RECHECK, 4)], ids=["bad", "fixed"]
)
def test_b06_the_hold_ends_during_payment(
    shop: Shop, redis: Any, info: StrategyInfo, sold: int
) -> None:
    """B06: a payment longer than the hold overbooks without a fault; the recheck refunds it."""
    shop.open(4)
    strategy = shop.build(info, ttl_s=60.0)
    slow = strategy.hold(shop.ask("a", 4))

    def takes_too_long(_key: str) -> None:
        shop.clock.advance(61)
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b", 4))))

    shop.gateway.during_capture = takes_too_long
    try:
        strategy.checkout(shop.pay(slow))
    except OrderRefused:
        assert shop.gateway.count("refunded") == 1
    assert shop.sold() == sold


@pytest.mark.parametrize(
    ("info", "sold"), [(READ_CHECK, 8), (redis_hold.RECHECK, 4)], ids=["bad", "fixed"]
)
def test_b07_unlocked_double_check(shop: Shop, redis: Any, info: StrategyInfo, sold: int) -> None:
    """B07: B sells between A's look at the stock and A's deduction."""
    shop.open(4)
    strategy = shop.build(info)
    holds = [strategy.hold(shop.ask("a", 4))]
    redis.flushall()
    holds.append(strategy.hold(shop.ask("b", 4)))
    redis.set("hold:{1}:a", f"{round(holds[0].expires_at * 1000)}:4:buyer-a")

    def b_pays() -> None:
        strategy.checkout(shop.pay(holds[1]))

    def b_pays_before_the_order_is_written(_key: str) -> None:
        # The claim of the payment opens the order's transaction: A has looked at the stock by then.
        before_sql(shop.engine, "UPDATE payments", b_pays)

    shop.gateway.during_capture = b_pays_before_the_order_is_written
    try:
        strategy.checkout(shop.pay(holds[0]))
    except OrderRefused:
        assert shop.gateway.count("refunded") == 1
    assert shop.sold() == sold


@pytest.mark.parametrize("stock_check", ["database", "cache"])
@pytest.mark.parametrize(("sale_floor", "over"), [(False, True), (True, False)])
def test_b25_stale_stock(
    shop: Shop,
    redis_server: Any,
    redis: Any,
    stock_check: str,
    *,
    sale_floor: bool,
    over: bool,
) -> None:
    """B25: a sale between reading the stock and counting the holds; its floor tells the script."""
    shop.open(4)
    options: dict[str, Any] = {"sale_floor": sale_floor, "stock_check": stock_check}
    other = shop.build(redis_hold.RECHECK, **options)
    sold_soon = other.hold(shop.ask("b", 4))
    slow_shop, client = with_interleaving(shop, redis_server)
    strategy = slow_shop.build(redis_hold.RECHECK, **options)
    client.sent.clear()
    if stock_check == "cache":
        with pytest.raises(SoldOut):
            strategy.hold(shop.ask("warms-the-copy", 1))
    client.before["EVALSHA"] = lambda: other.checkout(shop.pay(sold_soon))
    if over:
        assert strategy.hold(shop.ask("a", 4)).quantity == 4
    else:
        with pytest.raises(SoldOut):
            strategy.hold(shop.ask("a", 4))
    seen = strategy.availability(1)
    assert seen.sold + seen.held == (8 if over else 4)


def test_b25_the_floor_is_the_lowest_report(shop: Shop, redis: Any) -> None:
    """B25: two sales commit in one order and drop in the other: the floor stays at the lower."""
    shop.open(10)
    ledger = HoldLedger(redis, ttl_s=900.0)
    first, second = (shop.build(redis_hold.HOLD).hold(shop.ask(name, 3)) for name in ("a", "b"))
    ledger.drop(second, remaining_after=4)
    ledger.drop(first, remaining_after=7)
    assert ledger.place(shop.ask("c", 5), remaining=10) == SOLD_OUT
    assert ledger.place(shop.ask("d", 4), remaining=10) > 0


@pytest.mark.parametrize("order", ["after-commit", "before-commit"])
def test_c04_when_the_hold_is_dropped(
    shop: Shop, redis: Any, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C04: a hold dropped before its commit is open to others while it is being paid."""
    shop.open(4)
    strategy = shop.build(redis_hold.RECHECK, drop_hold=order)
    hold = strategy.hold(shop.ask("a", 4))
    seen: list[int] = []

    def b_looks(_key: str) -> None:
        before_sql(
            shop.engine, "UPDATE payments", lambda: seen.append(strategy.availability(1).held)
        )

    shop.gateway.during_capture = b_looks
    strategy.checkout(shop.pay(hold))
    assert seen == [4 if order == "after-commit" else 0]


def test_b07_the_read_check_may_look_before_the_payment(shop: Shop, redis: Any) -> None:
    """With `check = before-payment` a buyer whose tickets are gone is refused unpaid."""
    shop.open(4)
    strategy = shop.build(READ_CHECK, check="before-payment")
    hold = strategy.hold(shop.ask("a", 4))
    redis.flushall()
    strategy.checkout(shop.pay(strategy.hold(shop.ask("b", 4))))
    redis.set("hold:{1}:a", "1:4:buyer-a")
    with pytest.raises(SoldOut):
        strategy.checkout(shop.pay(replace(hold)))
    assert shop.gateway.count("captured") == 1
