"""The soft-deduction counter: its two sides stay together, and each safeguard has its anomaly."""

from collections.abc import Callable
from typing import Any

import pytest

from reservation.api import Strategy
from reservation.errors import HoldExpired, NotApplied, OrderRefused, SoldOut, UnknownOutcome
from reservation.redis_counter import INFOS
from tests.reservation.fakes import SALE_OPENS
from tests.reservation.interleaved import Died, die, with_interleaving
from tests.reservation.shop import Shop

COUNTER = INFOS[0]


def stock(strategy: Strategy) -> tuple[int, int, int]:
    """Read sellable, held and sold, which must sum up to the capacity at rest."""
    seen = strategy.availability(1)
    return seen.sellable, seen.held, seen.sold


@pytest.fixture(params=["atomic", "two-steps"])
def each(request: pytest.FixtureRequest, shop: Shop) -> Callable[..., Strategy]:
    """Build the strategy with either script, over 10 tickets and holds of a minute."""
    shop.open(10)
    return lambda **options: shop.build(COUNTER, script=request.param, ttl_s=60.0, **options)


def test_hold_pay_and_release_move_the_counter(shop: Shop, each: Callable[..., Strategy]) -> None:
    """Held tickets leave the counter, released ones return, sold ones do not."""
    strategy = each()
    paid, given_back = strategy.hold(shop.ask("h1", 3)), strategy.hold(shop.ask("h2", 2))
    assert (stock(strategy), paid.expires_at) == ((5, 5, 0), SALE_OPENS + 60)
    strategy.checkout(shop.pay(paid))
    strategy.release(given_back)
    strategy.release(given_back)
    assert (stock(strategy), shop.remaining()) == ((7, 0, 3), 7)


def test_a_repeated_hold_is_the_same_hold(shop: Shop, each: Callable[..., Strategy]) -> None:
    """The hold id inside the script makes a repeat harmless."""
    strategy = each()
    first = strategy.hold(shop.ask("h1", 3))
    shop.clock.advance(10)
    assert strategy.hold(shop.ask("h1", 3)) == first
    assert stock(strategy) == (7, 3, 0)


def test_more_than_there_is_is_refused(shop: Shop, each: Callable[..., Strategy]) -> None:
    """The counter never goes below zero."""
    strategy = each()
    strategy.hold(shop.ask("h1", 9))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("h2", 2))
    strategy.hold(shop.ask("h3", 1))
    assert stock(strategy) == (0, 10, 0)


def test_the_reaper_gives_back_what_ended(shop: Shop, each: Callable[..., Strategy]) -> None:
    """An ended hold cannot be paid, and keeps its tickets until the sweep, batch by batch."""
    strategy = each(batch=2)
    late = [strategy.hold(shop.ask(f"h{number}", 1)) for number in range(5)]
    shop.clock.advance(30)
    strategy.hold(shop.ask("young", 2))
    shop.clock.advance(30.5)
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(late[0]))
    assert stock(strategy) == (3, 7, 0)
    report = strategy.sweep()
    assert (report.expired_holds, report.returned_tickets) == (5, 5)
    assert stock(strategy) == (8, 2, 0)
    assert strategy.sweep().expired_holds == 0


def test_the_reaper_waits_for_its_grace(shop: Shop, each: Callable[..., Strategy]) -> None:
    """With a grace the reaper leaves a hold alone for that much longer."""
    strategy = each(sweeper_grace_s=10.0)
    strategy.hold(shop.ask("h1", 1))
    shop.clock.advance(69)
    assert strategy.sweep().expired_holds == 0
    shop.clock.advance(2)
    assert strategy.sweep().expired_holds == 1


@pytest.mark.parametrize(
    ("script", "leaked"), [("two-steps", 4), ("atomic", 0)], ids=["bad", "fixed"]
)
def test_b20_a_crash_between_counter_and_hold(
    shop: Shop, redis_server: Any, redis: Any, script: str, leaked: int
) -> None:
    """B20: a server dies after its first write; no reaper finds what only the counter knows."""
    shop.open(10)
    dying_shop, client = with_interleaving(shop, redis_server)
    strategy = dying_shop.build(COUNTER, script=script)
    taken: list[str] = []

    def after_the_first_write(pipe: Any, *args: Any) -> Any:
        if redis.get("stock:{1}") != b"10":
            taken.append("died")
            raise Died
        return run(pipe, *args)

    run = type(client.pipeline()).execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redis.client.Pipeline.execute", after_the_first_write)
        try:
            strategy.hold(shop.ask("a", 4))
        except Died:
            assert script == "two-steps"
    audit = shop.build(COUNTER)
    shop.clock.advance(1000)
    audit.sweep()
    assert sum(stock(audit)) == 10 - leaked


@pytest.mark.parametrize(
    ("give_back", "total"), [("unguarded", 14), ("guarded", 10)], ids=["bad", "fixed"]
)
def test_b21_give_back_twice(shop: Shop, redis: Any, give_back: str, total: int) -> None:
    """B21: reaped and then released by its owner, one hold returns its tickets once or twice."""
    shop.open(10)
    strategy = shop.build(COUNTER, give_back=give_back)
    hold = strategy.hold(shop.ask("a", 4))
    shop.clock.advance(901)
    strategy.sweep()
    strategy.release(hold)
    assert sum(stock(strategy)) == total


@pytest.mark.parametrize(
    ("give_back", "total"), [("unguarded", 14), ("guarded", 10)], ids=["bad", "fixed"]
)
def test_b21_two_reapers(
    shop: Shop, redis_server: Any, redis: Any, give_back: str, total: int
) -> None:
    """B21: two reapers list the same ended hold before either gives it back."""
    shop.open(10)
    other = shop.build(COUNTER, give_back=give_back)
    other.hold(shop.ask("a", 4))
    shop.clock.advance(901)
    slow_shop, client = with_interleaving(shop, redis_server)
    strategy = slow_shop.build(COUNTER, give_back=give_back)

    def lists_then_waits() -> None:
        client.before["EVALSHA"] = other.sweep

    client.before["EVALSHA"] = lists_then_waits
    strategy.sweep()
    assert not client.before
    assert sum(stock(strategy)) == total


@pytest.mark.parametrize(("recheck", "held"), [(False, 0), (True, 4)], ids=["bad", "fixed"])
def test_b23_reaper_against_a_hold_that_lives_again(
    shop: Shop, redis_server: Any, redis: Any, *, recheck: bool, held: int
) -> None:
    """B23: the owner asks again between the reaper's listing and its giving back."""
    shop.open(4)
    strategy = shop.build(COUNTER, reaper_recheck=recheck)
    strategy.hold(shop.ask("a", 4))
    shop.clock.advance(901)
    slow_shop, client = with_interleaving(shop, redis_server)
    reaper = slow_shop.build(COUNTER, reaper_recheck=recheck)
    renewed: list[float] = []

    def lists_then_waits() -> None:
        client.before["EVALSHA"] = lambda: renewed.append(
            strategy.hold(shop.ask("a", 4)).expires_at
        )

    client.before["EVALSHA"] = lists_then_waits
    reaper.sweep()
    assert renewed == [SALE_OPENS + 901 + 900]
    assert strategy.availability(1).held == held


@pytest.mark.parametrize(("request_id", "total"), [(False, 6), (True, 10)], ids=["bad", "fixed"])
def test_b28_a_resent_script(
    shop: Shop, redis_server: Any, redis: Any, *, request_id: bool, total: int
) -> None:
    """B28: redis-py resends after a lost reply; without the id the counter falls twice."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(COUNTER, request_id=request_id)
    client.resend = {"EVALSHA", "EVAL"}
    strategy.hold(shop.ask("a", 4))
    assert sum(stock(strategy)) == total


def test_b28_resent_give_back_and_settling(shop: Shop, redis_server: Any, redis: Any) -> None:
    """Every other script is harmless when sent twice, too."""
    shop.open(10)
    shop, client = with_interleaving(shop, redis_server)
    client.resend = {"EVALSHA", "EVAL"}
    strategy = shop.build(COUNTER)
    given_back, paid, ends = (strategy.hold(shop.ask(name, 2)) for name in ("h1", "h2", "h3"))
    strategy.release(given_back)
    strategy.checkout(shop.pay(paid))
    assert stock(strategy) == (6, 2, 2)
    shop.clock.advance(901)
    assert ends.quantity == 2
    strategy.sweep()
    assert stock(strategy) == (8, 0, 2)


def pay_while(shop: Shop, strategy: Strategy, meanwhile: Callable[[], Any]) -> None:
    """A holds 4 of 10 and `meanwhile` happens while A's payment is captured."""
    hold = strategy.hold(shop.ask("a", 4))
    shop.gateway.during_capture = lambda _key: meanwhile()
    strategy.checkout(shop.pay(hold))


def test_a_sale_of_a_reaped_hold_takes_its_tickets_out(shop: Shop, redis: Any) -> None:
    """B06, B21: reaped during its payment and then sold, the counter ends right."""
    shop.open(10)
    strategy = shop.build(COUNTER, ttl_s=60.0)

    def hold_ends() -> None:
        shop.clock.advance(61)
        assert strategy.sweep().returned_tickets == 4

    pay_while(shop, strategy, hold_ends)
    assert stock(strategy) == (6, 0, 4)


def test_b08_a_seeded_counter_learns_of_sales_it_did_not_know(shop: Shop, redis: Any) -> None:
    """B08: Redis comes back empty, is seeded, and only then the sale of a lost hold commits."""
    shop.open(10)
    strategy = shop.build(COUNTER)

    def redis_is_lost_and_seeded() -> None:
        redis.flushall()
        strategy.hold(shop.ask("b", 6))

    pay_while(shop, strategy, redis_is_lost_and_seeded)
    assert stock(strategy) == (0, 6, 4)


def test_b08_a_seed_that_saw_the_sale_is_left_alone(shop: Shop, redis: Any) -> None:
    """B08: the sale commits before the seed is read, so the counter is right already."""
    shop.open(10)
    strategy = shop.build(COUNTER)
    pay_while(shop, strategy, redis.flushall)
    assert redis.get("stock:{1}") is None
    strategy.hold(shop.ask("b", 6))
    assert stock(strategy) == (0, 6, 4)


def test_b08_a_seed_between_the_commit_and_the_settling(
    shop: Shop, redis_server: Any, redis: Any
) -> None:
    """B08: a counter seeded after the sale's commit and before its settling is right as it is."""
    shop.open(10)
    other = shop.build(COUNTER)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(COUNTER)

    def lost_and_seeded() -> None:
        redis.flushall()
        other.hold(shop.ask("b", 2))

    def at_the_settling() -> None:
        client.before["EVALSHA"] = lost_and_seeded

    pay_while(shop, strategy, at_the_settling)
    assert stock(strategy) == (4, 2, 4)


def test_b25_a_seed_read_before_the_sale_and_written_after(
    shop: Shop, redis_server: Any, redis: Any
) -> None:
    """B25: a seed read before a sale and written after it is cut to what the sale reported."""
    shop.open(10)
    strategy = shop.build(COUNTER)
    slow_shop, client = with_interleaving(shop, redis_server)
    slow = slow_shop.build(COUNTER)
    hold = strategy.hold(shop.ask("a", 4))

    def redis_is_lost(_key: str) -> None:
        redis.delete("stock:{1}", "seed:{1}", "deadlines:{1}", "soft:{1}")

    def then_the_seed_is_late() -> None:
        # The first script finds no counter; the sale comes before the second, which seeds.
        client.before["EVALSHA"] = lambda: strategy.checkout(shop.pay(hold))

    redis_is_lost("")
    redis.hset("soft:{1}", "a", f"{round(hold.expires_at * 1000)}:4:buyer-a")
    shop.gateway.during_capture = redis_is_lost
    client.before["EVALSHA"] = then_the_seed_is_late
    slow.hold(shop.ask("b", 6))
    assert stock(slow) == (0, 6, 4)


@pytest.mark.parametrize(("recheck", "sold"), [(False, 8), (True, 4)], ids=["bad", "fixed"])
def test_b08_the_recheck_at_payment(shop: Shop, redis: Any, *, recheck: bool, sold: int) -> None:
    """B08, B06: without the recheck lost holds are sold twice; with it the second is refunded."""
    shop.open(4)
    strategy = shop.build(COUNTER, recheck=recheck)

    def lost_and_sold_to_b() -> None:
        redis.flushall()
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b", 4))))

    try:
        pay_while(shop, strategy, lost_and_sold_to_b)
    except OrderRefused:
        assert shop.gateway.count("refunded") == 1
    assert shop.sold() == sold


def test_c04_the_reaper_does_not_give_sold_tickets_back(
    shop: Shop, redis_server: Any, redis: Any
) -> None:
    """C04: a server dies between commit and settling; the reaper asks the database and settles."""
    shop.open(10)
    dying_shop, client = with_interleaving(shop, redis_server)
    strategy = dying_shop.build(COUNTER)
    hold = strategy.hold(shop.ask("a", 4))
    ends = strategy.hold(shop.ask("b", 1))

    def verified_then_dies_at_the_settling() -> None:
        client.before["EVALSHA"] = die

    shop.gateway.during_capture = lambda _key: verified_then_dies_at_the_settling()
    with pytest.raises(Died):
        strategy.checkout(shop.pay(hold))
    audit = shop.build(COUNTER)
    assert stock(audit) == (5, 1, 4)
    shop.clock.advance(901)
    report = audit.sweep()
    assert (report.expired_holds, report.returned_tickets) == (ends.quantity, 1)
    assert stock(audit) == (6, 0, 4)


def test_a_counter_deleted_by_an_operator_is_seeded_beside_the_holds(
    shop: Shop, redis: Any
) -> None:
    """Seeding subtracts the holds that are still there."""
    shop.open(10)
    strategy = shop.build(COUNTER)
    strategy.hold(shop.ask("a", 4))
    redis.delete("stock:{1}")
    strategy.open_sale(1)
    strategy.open_sale(1)
    assert stock(strategy) == (6, 4, 0)


def test_a_counter_that_keeps_vanishing_is_named(shop: Shop, redis: Any) -> None:
    """A Redis that evicts the counter at once gives a clear NotApplied, not a loop."""
    shop.open(10)
    strategy = shop.build(COUNTER)
    redis.delete("stock:{1}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reservation.counter_scripts.SEED", lambda *_: 0)
        with pytest.raises(NotApplied, match="evicting"):
            strategy.hold(shop.ask("a", 1))


def test_an_old_counter_offers_sold_tickets_again(shop: Shop, redis: Any) -> None:
    """Documented limit: a counter older than settled sales is too high; nobody overbooks."""
    shop.open(10)
    strategy = shop.build(COUNTER)
    for name in ("a", "b"):
        strategy.checkout(shop.pay(strategy.hold(shop.ask(name, 5))))
    redis.set("stock:{1}", 10)
    with pytest.raises(OrderRefused):
        strategy.checkout(shop.pay(strategy.hold(shop.ask("c", 1))))
    assert (shop.sold(), sum(stock(strategy)) > 10) == (10, True)


def test_a_repeated_checkout_gives_the_first_answer(
    shop: Shop, each: Callable[..., Strategy]
) -> None:
    """Paying twice with one key sells and settles once."""
    strategy = each()
    request = shop.pay(strategy.hold(shop.ask("h1", 3)))
    assert strategy.checkout(request) == strategy.checkout(request)
    assert stock(strategy) == (7, 0, 3)


def test_without_redis_it_fails_closed(
    shop: Shop, redis_server: Any, redis: Any, each: Callable[..., Strategy]
) -> None:
    """With Redis away nothing is held, captured or reaped, and the outcome is named."""
    strategy = each()
    hold = strategy.hold(shop.ask("h1", 3))
    redis_server.connected = False
    for call in (lambda: strategy.hold(shop.ask("h2")), strategy.sweep):
        with pytest.raises((NotApplied, UnknownOutcome)):
            call()
    with pytest.raises(NotApplied):
        strategy.checkout(shop.pay(hold))
    redis_server.connected = True
    assert (shop.gateway.ledger, stock(strategy)) == ([], (7, 3, 0))
