"""Assigned seats: one key per seat in Redis, one unique key in the database."""

from typing import Any

import pytest

from reservation.api import Strategy
from reservation.errors import HoldExpired, NotApplied, OrderRefused, SoldOut, UnknownOutcome
from reservation.seat_setnx import INFOS, seat_of
from tests.reservation.fakes import SALE_OPENS
from tests.reservation.interleaved import Died, before_sql, die, with_interleaving
from tests.reservation.shop import Shop

SEATS = INFOS[0]
ROW = ("A1", "A2", "A3", "A4")


@pytest.fixture(params=["atomic", "separate"])
def strategy(request: pytest.FixtureRequest, shop: Shop) -> Strategy:
    """Sell one row of four seats, with either way of writing a key and its TTL."""
    shop.open(4, ROW)
    return shop.build(SEATS, expire=request.param, ttl_s=60.0)


def counts(strategy: Strategy) -> tuple[int, int, int, int]:
    """Read capacity, sellable, held and sold."""
    seen = strategy.availability(1)
    return seen.capacity, seen.sellable, seen.held, seen.sold


def test_hold_then_pay_sells_the_seats(shop: Shop, redis: Any, strategy: Strategy) -> None:
    """The seats end up in the order, marked as sold, deducted, and free of keys."""
    hold = strategy.hold(shop.ask("a", seat_names=("A1", "A2")))
    assert (hold.expires_at, counts(strategy)) == (SALE_OPENS + 60, (4, 2, 2, 0))
    order = strategy.checkout(shop.pay(hold))
    assert (order.seats, shop.sold_seats()) == (("A1", "A2"), ["A1", "A2"])
    assert (shop.seat_status("A1"), shop.seat_status("A3")) == ("sold", "available")
    assert (shop.remaining(), counts(strategy)) == (2, (4, 2, 0, 2))
    assert redis.keys("seat:*") == []


def test_all_seats_or_none(shop: Shop, strategy: Strategy) -> None:
    """A party that cannot get one of its seats keeps none of them."""
    strategy.hold(shop.ask("a", seat_names=("A2",)))
    with pytest.raises(SoldOut, match="A1, A2"):
        strategy.hold(shop.ask("b", seat_names=("A1", "A2")))
    strategy.hold(shop.ask("c", seat_names=("A1",)))


@pytest.mark.parametrize("seats", [("A1",), ("A3", "A1"), ("Z9",), ("A3", "A3")])
def test_sold_or_unknown_seats_cannot_be_held(
    shop: Shop, redis: Any, strategy: Strategy, seats: tuple[str, ...]
) -> None:
    """A seat sold in the database, one that does not exist, or the same one twice: refused."""
    strategy.checkout(shop.pay(strategy.hold(shop.ask("a", seat_names=("A1",)))))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("b", seat_names=seats))
    assert redis.keys("seat:*") == []


def test_no_sale_slips_between_the_two_looks(shop: Shop, redis_server: Any, redis: Any) -> None:
    """B25: a sale that ends while another asks for its seat: the database is asked last."""
    shop.open(4, ROW)
    other = shop.build(SEATS)
    sold_soon = other.hold(shop.ask("a", seat_names=("A1",)))
    slow_shop, client = with_interleaving(shop, redis_server)
    strategy = slow_shop.build(SEATS)
    client.before["EVALSHA"] = lambda: other.checkout(shop.pay(sold_soon))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("b", seat_names=("A1",)))


def test_a_repeated_hold_is_the_same_hold(shop: Shop, strategy: Strategy) -> None:
    """The owner's token makes a repeat find its own seats, with the first deadline."""
    request = shop.ask("a", seat_names=("A1", "A2"))
    first = strategy.hold(request)
    shop.clock.advance(10)
    assert strategy.hold(request) == first


def test_an_expired_hold_is_refused(shop: Shop, strategy: Strategy) -> None:
    """After the TTL the seats are free for others and the late owner is told so."""
    late = strategy.hold(shop.ask("a", seat_names=("A1", "A2")))
    shop.clock.advance(60.1)
    strategy.hold(shop.ask("b", seat_names=("A2",)))
    with pytest.raises(HoldExpired):
        strategy.checkout(shop.pay(late))
    assert counts(strategy) == (4, 3, 1, 0)


def test_a_request_without_seats_is_a_mistake(shop: Shop, strategy: Strategy) -> None:
    """Seats must be named."""
    with pytest.raises(ValueError, match="names none"):
        strategy.hold(shop.ask("a"))


@pytest.mark.parametrize(
    ("expire", "immortal"), [("separate", True), ("atomic", False)], ids=["bad", "fixed"]
)
def test_b02_a_crash_before_the_ttl_is_set(
    shop: Shop, redis_server: Any, redis: Any, expire: str, *, immortal: bool
) -> None:
    """B02: SETNX, then the server dies before EXPIRE: nobody can ever hold that seat again."""
    shop.open(4, ROW)
    dying_shop, client = with_interleaving(shop, redis_server)
    dying = dying_shop.build(SEATS, expire=expire)
    client.before["PEXPIRE"] = die
    try:
        dying.hold(shop.ask("a", seat_names=("A1",)))
    except Died:
        assert immortal
    shop.clock.advance(1_000_000)
    assert (shop.build(SEATS).availability(1).held == 1) is immortal


@pytest.mark.parametrize(
    ("release", "robbed"), [("blind", True), ("token", False)], ids=["bad", "fixed"]
)
def test_b05_a_late_release(shop: Shop, redis: Any, release: str, *, robbed: bool) -> None:
    """B05: A's hold ends, B gets the seat, A releases late: C can take B's seat only if by name."""
    shop.open(4, ROW)
    strategy = shop.build(SEATS, release=release, ttl_s=60.0)
    late = strategy.hold(shop.ask("a", seat_names=("A1",)))
    shop.clock.advance(61)
    strategy.hold(shop.ask("b", seat_names=("A1",)))
    strategy.release(late)
    assert (strategy.availability(1).held == 0) is robbed


@pytest.mark.parametrize("expire", ["atomic", "separate"])
@pytest.mark.parametrize(
    ("recognise_own", "refused"), [(False, True), (True, False)], ids=["bad", "fixed"]
)
def test_b29_a_resent_set_nx(
    shop: Shop,
    redis_server: Any,
    redis: Any,
    expire: str,
    *,
    recognise_own: bool,
    refused: bool,
) -> None:
    """B29: SET NX applied, reply lost, sent again: the seat is taken, by the asker himself."""
    shop.open(4, ROW)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(SEATS, recognise_own=recognise_own, expire=expire)
    client.resend = {"EVALSHA", "EVAL", "SETNX"}
    try:
        strategy.hold(shop.ask("a", seat_names=("A1",)))
    except SoldOut:
        assert refused
    else:
        assert not refused
    assert strategy.availability(1).held == 1


def test_b30_an_unknown_outcome_is_asked_again(shop: Shop, redis_server: Any, redis: Any) -> None:
    """B30: the reply is lost with no resend: the outcome is unknown, and the same id finds it."""
    shop.open(4, ROW)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(SEATS)
    client.fail_after = {"EVALSHA", "EVAL"}
    request = shop.ask("a", seat_names=("A1",))
    with pytest.raises(UnknownOutcome):
        strategy.hold(request)
    client.fail_after = set()
    strategy.hold(request)
    assert strategy.availability(1).held == 1


@pytest.mark.parametrize(("unique_guard", "owners"), [(False, 2), (True, 1)], ids=["bad", "fixed"])
def test_b08_the_unique_key_is_the_last_word(
    shop: Shop, redis: Any, *, unique_guard: bool, owners: int
) -> None:
    """B08: a hold is lost during its payment; without the unique key its seat is sold twice."""
    shop.open(4, ROW)
    strategy = shop.build(SEATS, unique_guard=unique_guard)
    hold = strategy.hold(shop.ask("a", seat_names=("A1",)))

    def lost_and_sold_to_b(_key: str) -> None:
        redis.flushall()
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b", seat_names=("A1",)))))

    shop.gateway.during_capture = lost_and_sold_to_b
    try:
        assert strategy.checkout(shop.pay(hold)).seats == ("A1",)
    except OrderRefused:
        assert shop.gateway.count("refunded") == 1
    assert [seat_of(label) for label in shop.sold_seats()] == ["A1"] * owners
    assert shop.remaining() == 4 - owners


def test_labels_fit_their_column(shop: Shop, redis: Any) -> None:
    """Without the guard a label is seat and mark, and a repeated checkout still names the seat."""
    shop.open(1, ("AA123",))
    strategy = shop.build(SEATS, unique_guard=False)
    request = shop.pay(strategy.hold(shop.ask("a" * 64, seat_names=("AA123",))))
    assert strategy.checkout(request) == strategy.checkout(request)
    assert strategy.checkout(request).seats == ("AA123",)
    assert max(len(label) for label in shop.sold_seats()) <= 16


def test_seats_taken_while_the_database_is_away(
    shop: Shop, redis: Any, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys taken but seats unread: the outcome is unknown, and a repeat ends it."""
    request = shop.ask("a", seat_names=("A1",))

    def away(*_: Any) -> Any:
        raise NotApplied("the database failed")

    with monkeypatch.context() as patch:
        patch.setattr("reservation.seat_setnx.database_reading", away)
        with pytest.raises(UnknownOutcome):
            strategy.hold(request)
    assert strategy.hold(request).seats == ("A1",)


def test_a_refusal_that_cannot_free_its_seats_is_unknown(
    shop: Shop, redis_server: Any, redis: Any
) -> None:
    """The seat is sold, and Redis goes away before its key is taken back: not a clean refusal."""
    shop.open(4, ROW)
    strategy = shop.build(SEATS)
    strategy.checkout(shop.pay(strategy.hold(shop.ask("a", seat_names=("A1",)))))

    def redis_goes() -> None:
        redis_server.connected = False

    before_sql(shop.engine, "SELECT count", redis_goes)
    with pytest.raises(UnknownOutcome):
        strategy.hold(shop.ask("b", seat_names=("A1",)))
    redis_server.connected = True


def test_what_a_request_costs(shop: Shop, redis_server: Any, redis: Any) -> None:
    """A hold is one script, a checkout one MGET and one script, however many the seats."""
    shop.open(4, ROW)
    shop, client = with_interleaving(shop, redis_server)
    strategy = shop.build(SEATS)
    strategy.checkout(shop.pay(strategy.hold(shop.ask("a", seat_names=("A1",)))))
    client.sent.clear()
    strategy.checkout(shop.pay(strategy.hold(shop.ask("b", seat_names=("A2", "A3", "A4")))))
    assert client.sent == {"EVALSHA": 2, "MGET": 1}


def test_without_redis_it_fails_closed(
    shop: Shop, redis_server: Any, redis: Any, strategy: Strategy
) -> None:
    """With Redis away nothing is held or captured."""
    hold = strategy.hold(shop.ask("a", seat_names=("A1",)))
    redis_server.connected = False
    with pytest.raises(UnknownOutcome):
        strategy.hold(shop.ask("b", seat_names=("A2",)))
    with pytest.raises(NotApplied):
        strategy.checkout(shop.pay(hold))
    redis_server.connected = True
    assert shop.gateway.ledger == []
