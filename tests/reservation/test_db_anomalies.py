"""Flow 1's anomalies by name: the bad variant fails as the catalogue says, the fixed one does not.

Interleavings are made by hand: `before_statement` lets another actor (or the end of the server) in
between two statements of the first. What needs two transactions to wait for each other (row locks)
is left to the simulated and the real databases; plain SQLite drops FOR UPDATE (L1).
"""

from collections.abc import Callable

import pytest

from reservation import db_cart, db_derived
from reservation.api import Hold, Strategy
from reservation.errors import ReservationError
from tests.reservation.interleave import before_statement, statements
from tests.reservation.shop import Shop

INFOS = {info.name: info for info in (*db_cart.INFOS, *db_derived.INFOS)}
TTL_S = 900.0
Build = Callable[..., Strategy]


@pytest.fixture
def build(shop: Shop) -> Build:
    """Make strategies by name; `db-cart` unless named."""
    return lambda name="db-cart", **options: shop.build(INFOS[name], **options)


def stock(strategy: Strategy) -> tuple[int, int, int]:
    """Read sellable, held, sold."""
    seen = strategy.availability(1)
    return seen.sellable, seen.held, seen.sold


def outcome(call: Callable[[], object]) -> str:
    """Name how a call ended."""
    try:
        call()
    except ReservationError as error:
        return type(error).__name__
    return "ok"


@pytest.mark.parametrize(
    ("name", "second", "held"),
    [("db-cart-naive", "ok", 2), ("db-cart-row-lock", "SoldOut", 1), ("db-cart", "SoldOut", 1)],
)
def test_a01_lost_update(shop: Shop, build: Build, name: str, second: str, held: int) -> None:
    """A01: A reads one left, B takes it, A writes: only reading first sells it to both."""
    shop.open(capacity=1)
    strategy = build(name)
    with before_statement(
        shop.engine, "INSERT INTO carts", lambda: strategy.hold(shop.ask("b")) and None
    ):
        assert outcome(lambda: strategy.hold(shop.ask("a"))) == second
    assert strategy.availability(1).held == held


def test_a01_naive_seats(shop: Shop, build: Build) -> None:
    """A01 on seats: two carts hold one seat; the unique key then refuses the second buyer."""
    shop.open(2, ["A1", "A2"])
    strategy = build("db-cart-naive")
    holds: list[Hold] = []

    def other_buyer() -> None:
        holds.append(strategy.hold(shop.ask("b", seat_names=["A1"])))

    with before_statement(shop.engine, "INSERT INTO carts", other_buyer):
        holds.append(strategy.hold(shop.ask("a", seat_names=["A1"])))
    assert [outcome(lambda hold=hold: strategy.checkout(shop.pay(hold))) for hold in holds] == [
        "ok",
        "OrderRefused",
    ]
    assert shop.sold_seats() == ["A1"]


def test_a02_write_skew(shop: Shop, build: Build) -> None:
    """A02: without the lock A and B both count nothing sold, and both insert."""
    shop.open(capacity=1)
    strategy = build("db-derived", lock="none")
    with before_statement(
        shop.engine, "INSERT INTO carts", lambda: strategy.hold(shop.ask("b")) and None
    ):
        strategy.hold(shop.ask("a"))
    assert stock(strategy) == (-1, 2, 0)


@pytest.mark.parametrize(
    ("lock", "first"), [("event-row", "SELECT events.remaining_ticket"), ("none", None)]
)
def test_a02_the_lock_comes_first(shop: Shop, build: Build, lock: str, first: str | None) -> None:
    """A02's fix locks the parent row, and counts in a new statement after it (P3b)."""
    shop.open()
    strategy = build("db-derived", lock=lock)
    count_and_insert = ["SELECT events.capacity", "INSERT INTO"]
    with statements(shop.engine) as seen:
        hold = strategy.hold(shop.ask("a"))
    assert seen == ([first] if first else []) + count_and_insert
    with statements(shop.engine) as seen:
        strategy.checkout(shop.pay(hold))
    assert seen.index("UPDATE events") < seen.index("UPDATE carts")


@pytest.mark.parametrize(
    ("options", "sellable"),
    [
        ({"status_guard": False}, 12),
        ({"status_guard": False, "reclaim": "cron-scan"}, 12),
        ({}, 10),
        ({"reclaim": "cron-scan"}, 10),
    ],
)
def test_a06_two_sweepers(
    shop: Shop, build: Build, options: dict[str, object], sellable: int
) -> None:
    """A06: both sweepers read the same expired cart; unguarded, both give it back."""
    shop.open()
    strategy = build(**options)
    strategy.hold(shop.ask("a", 2))
    shop.clock.advance(TTL_S)
    with before_statement(shop.engine, "UPDATE carts", lambda: strategy.sweep() and None):
        strategy.sweep()
    assert stock(strategy) == (sellable, 0, 0)


@pytest.mark.parametrize(("guard", "sellable"), [(False, 10), (True, 8)])
def test_a07_the_sweeper_unsells(
    shop: Shop,
    build: Build,
    guard: bool,  # noqa: FBT001  a parameter of the test
    sellable: int,
) -> None:
    """A07: the sweeper's clock is ahead; the buyer pays between its read and its write."""
    shop.open()
    strategy = build()
    sweeper = build(status_guard=guard, skew_s=5.0)
    hold = strategy.hold(shop.ask("a", 2))
    shop.clock.advance(TTL_S - 3)
    with before_statement(
        shop.engine, "UPDATE carts", lambda: strategy.checkout(shop.pay(hold)) and None
    ):
        sweeper.sweep()
    assert stock(strategy) == (sellable, 0, 2)


def test_a07_unsold_seats(shop: Shop, build: Build) -> None:
    """A07 on seats: an unguarded sweeper offers a sold seat again."""
    for guard, status in ((True, "sold"), (False, "available")):
        seat = f"A{int(guard)}"
        if guard:
            shop.open(2, ["A0", "A1"])
        strategy, sweeper = build(), build(status_guard=guard, skew_s=5.0)
        hold = strategy.hold(shop.ask(seat, seat_names=[seat]))
        shop.clock.advance(TTL_S - 3)
        with before_statement(
            shop.engine,
            "UPDATE carts",
            lambda hold=hold, buyer=strategy: buyer.checkout(shop.pay(hold)) and None,
        ):
            sweeper.sweep()
        assert shop.seat_status(seat) == status


@pytest.mark.parametrize(
    ("confirm", "first", "sold"), [("blind", "ok", 2), ("conditional", "OrderRefused", 1)]
)
def test_a08_checkout_after_sweep(
    shop: Shop, build: Build, confirm: str, first: str, sold: int
) -> None:
    """A08: while A pays, its cart is swept and B buys; a blind confirmation sells it twice."""
    shop.open(capacity=1)
    strategy = build(confirm=confirm)
    hold = strategy.hold(shop.ask("a"))

    def sweep_and_sell_to_b(_key: str) -> None:
        shop.clock.advance(TTL_S)
        strategy.sweep()
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b"))))

    shop.gateway.during_capture = sweep_and_sell_to_b
    assert outcome(lambda: strategy.checkout(shop.pay(hold))) == first
    assert shop.sold() == sold
    assert shop.gateway.count("captured") - shop.gateway.count("refunded") == sold


@pytest.mark.parametrize(
    ("margin_s", "first", "captures"), [(0.0, "OrderRefused", 1), (120.0, "HoldExpired", 0)]
)
def test_a09_a_margin_refuses_before_the_money_is_taken(
    shop: Shop, build: Build, margin_s: float, first: str, captures: int
) -> None:
    """A09: valid when checked, expired when committed; a margin says no before it is paid."""
    shop.open()
    strategy = build(checkout_margin_s=margin_s)
    hold = strategy.hold(shop.ask("a"))
    shop.clock.advance(TTL_S - 60)
    shop.gateway.during_capture = lambda _key: shop.clock.advance(100)
    assert outcome(lambda: strategy.checkout(shop.pay(hold))) == first
    assert shop.gateway.count("captured") == captures


def test_a09_an_unchecked_slow_payment_oversells(shop: Shop, build: Build) -> None:
    """A09 with nothing that looks again: the tickets are sold twice unless there is a margin."""
    for margin_s, sold in ((0.0, 2), (120.0, 1)):
        shop.event_id = int(margin_s) + 1
        shop.open(capacity=1)
        strategy = build(confirm="blind", checkout_margin_s=margin_s)
        hold = strategy.hold(shop.ask(f"a{margin_s}"))
        shop.clock.advance(TTL_S - 60)

        def slow(_key: str, strategy: Strategy = strategy, name: str = f"b{margin_s}") -> None:
            shop.clock.advance(100)
            strategy.sweep()
            strategy.checkout(shop.pay(strategy.hold(shop.ask(name))))

        before = shop.sold()
        shop.gateway.during_capture = slow
        if outcome(lambda s=strategy, hold=hold: s.checkout(shop.pay(hold))) == "HoldExpired":
            slow("")
        assert shop.sold() - before == sold


@pytest.mark.parametrize("name", ["db-cart", "db-cart-row-lock"])
@pytest.mark.parametrize(("whose", "paid"), [("application", "HoldExpired"), ("database", "ok")])
def test_a10_clock_skew(shop: Shop, build: Build, name: str, whose: str, paid: str) -> None:
    """A10: a server 5 s ahead sweeps a hold that has 3 s left; the database's clock does not."""
    shop.open()
    buyers_server = build(name, clock=whose)
    fast_server = build(name, clock=whose, skew_s=5.0)
    hold = buyers_server.hold(shop.ask("a"))
    shop.clock.advance(TTL_S - 3)
    fast_server.sweep()
    assert outcome(lambda: buyers_server.checkout(shop.pay(hold))) == paid


def test_a10_derived(shop: Shop, build: Build) -> None:
    """A10 without a sweeper: the fast server's count leaves out a hold that is still live."""
    for whose, second in (("application", "ok"), ("database", "SoldOut")):
        shop.event_id += 1
        shop.open(capacity=1)
        build("db-derived", clock=whose).hold(shop.ask(f"a-{whose}"))
        shop.clock.advance(TTL_S - 3)
        fast_server = build("db-derived", clock=whose, skew_s=5.0)
        ask = shop.ask(f"b-{whose}")
        assert outcome(lambda server=fast_server, ask=ask: server.hold(ask)) == second


@pytest.mark.parametrize(("guard", "sellable"), [(False, 12), (True, 10)])
def test_a11_double_release(
    shop: Shop,
    build: Build,
    guard: bool,  # noqa: FBT001  a parameter of the test
    sellable: int,
) -> None:
    """A11: the user cancels twice, both requests read `held`; only unguarded both give back."""
    shop.open()
    strategy = build(status_guard=guard)
    hold = strategy.hold(shop.ask("a", 2))
    with before_statement(shop.engine, "UPDATE carts", lambda: strategy.release(hold)):
        strategy.release(hold)
    assert stock(strategy) == (sellable, 0, 0)
