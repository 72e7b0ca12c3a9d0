"""More of flow 1's anomalies: crashes between writes, locks, repeats, payments (A12 to C08).

Interleavings are made by hand: `before_statement` lets another actor (or the end of the server) in
between two statements of the first. What needs two transactions to wait for each other (row locks)
is left to the simulated and the real databases; plain SQLite drops FOR UPDATE (L1).
"""

from collections.abc import Callable

import pytest

from reservation import db_cart, db_derived
from reservation.api import Hold, Strategy
from reservation.errors import HoldExpired, NotApplied, OrderRefused, ReservationError, SoldOut
from tests.reservation.interleave import ServerDied, before_statement, die
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


@pytest.mark.parametrize(("give_back", "sellable"), [("split", 8), ("atomic", 10)])
@pytest.mark.parametrize("how", ["sweep", "cron-scan", "release", "task"])
def test_a12_release_not_atomic(
    shop: Shop, build: Build, give_back: str, sellable: int, how: str
) -> None:
    """A12: the server dies between the two writes; split, the stock never comes back."""
    shop.open()
    reclaim = {"task": "delayed-task", "cron-scan": "cron-scan"}.get(how, "indexed-batch")
    strategy = build(give_back=give_back, reclaim=reclaim)
    hold = strategy.hold(shop.ask("a", 2))

    def give_back_now() -> None:
        if how == "release":
            strategy.release(hold)
        elif how == "task":
            strategy.run_task("expire-cart", "a")
        else:
            strategy.sweep()

    shop.clock.advance(0 if how == "release" else TTL_S)
    with pytest.raises(ServerDied), before_statement(shop.engine, "UPDATE events", die):
        give_back_now()
    give_back_now()
    shop.clock.advance(TTL_S)
    strategy.sweep()
    assert strategy.availability(1).sellable == sellable


@pytest.mark.parametrize("name", ["db-cart", "db-cart-row-lock"])
def test_a13_locks_are_taken_in_one_order(shop: Shop, build: Build, name: str) -> None:
    """A13: cart, then seats, then event, in every call: no two can wait for each other."""
    shop.open(4, ["A1", "A2", "A3", "A4"])
    strategy = build(name)
    rank = {"carts": 0, "seats": 1, "events": 2}
    holds: list[Hold] = []
    calls: list[Callable[[], object]] = [
        lambda: holds.append(strategy.hold(shop.ask("a", seat_names=["A1"]))),
        lambda: strategy.release(holds[0]),
        lambda: holds.append(strategy.hold(shop.ask("b", seat_names=["A2"]))),
        lambda: strategy.checkout(shop.pay(holds[1])),
        lambda: holds.append(strategy.hold(shop.ask("c", seat_names=["A3"]))),
        lambda: shop.clock.advance(TTL_S),
        strategy.sweep,
    ]
    for call in calls:
        written: list[int] = []
        with tables_written(shop, written, rank):
            call()
        assert written == sorted(written)


def tables_written(shop: Shop, written: list[int], rank: dict[str, int]):  # noqa: ANN201
    """Note the rank of each table in the order it is written."""
    from contextlib import contextmanager
    from typing import Any

    from sqlalchemy import event

    @contextmanager
    def noting():  # noqa: ANN202
        def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            words = statement.replace("INSERT INTO", "INSERT").split()
            if words[0] in {"INSERT", "UPDATE"} and words[1] in rank:
                written.append(rank[words[1]])

        event.listen(shop.engine, "before_cursor_execute", note)
        try:
            yield
        finally:
            event.remove(shop.engine, "before_cursor_execute", note)

    return noting()


@pytest.mark.parametrize(("batch", "expected"), [(2, "ok"), (1000, "NotApplied")])
def test_a14_small_batches_let_buyers_in(
    shop: Shop, build: Build, batch: int, expected: str
) -> None:
    """A14: a sweeper that gives ten carts back at once keeps buyers out; in batches it does not.

    The buyer comes when the tenth cart has been reached: between two batches, or inside the one.
    """
    shop.open()
    strategy = build(batch=batch)
    for number in range(10):
        strategy.hold(shop.ask(f"h{number}"))
    shop.clock.advance(TTL_S)
    came: list[str] = []
    strikes = {2: ("UPDATE carts", 5), 1000: ("UPDATE events", 1)}
    start, occurrence = strikes[batch]
    with before_statement(
        shop.engine,
        start,
        lambda: came.append(outcome(lambda: strategy.hold(shop.ask("new")))),
        occurrence=occurrence,
    ):
        strategy.sweep()
    assert came == [expected]


@pytest.mark.parametrize(("rehold", "later_s"), [("reset-ttl", 600.0), ("same", 0.0)])
def test_a17_ttl_reset_by_retry(shop: Shop, build: Build, rehold: str, later_s: float) -> None:
    """A17: asking again moves the deadline, so one buyer can keep tickets for ever."""
    shop.open()
    strategy = build(rehold=rehold)
    first = strategy.hold(shop.ask("a", 2))
    shop.clock.advance(600)
    assert strategy.hold(shop.ask("a", 2)).expires_at - first.expires_at == later_s
    shop.clock.advance(400)
    assert strategy.sweep().returned_tickets == (0 if later_s else 2)


@pytest.mark.parametrize(("rehold", "lost"), [("overwrite", 2), ("same", 0)])
def test_a18_rehold_overwrites_the_quantity(
    shop: Shop, build: Build, rehold: str, lost: int
) -> None:
    """A18: 2 tickets become 1, both are deducted, one hold's worth comes back."""
    shop.open()
    strategy = build(rehold=rehold)
    strategy.hold(shop.ask("a", 2))
    again = strategy.hold(shop.ask("a", 1))
    assert again.quantity == (1 if lost else 2)
    strategy.release(again)
    assert stock(strategy) == (10 - lost, 0, 0)


def test_a18_overwriting_more_than_there_is_changes_nothing(shop: Shop, build: Build) -> None:
    """Even the bad variant does not oversell."""
    shop.open(capacity=3)
    strategy = build(rehold="overwrite")
    strategy.hold(shop.ask("a", 2))
    with pytest.raises(SoldOut):
        strategy.hold(shop.ask("a", 3))
    assert stock(strategy) == (1, 2, 0)


@pytest.mark.parametrize(("guard", "sellable"), [(False, 10), (True, 8)])
def test_c08_cancel_against_confirm(
    shop: Shop,
    build: Build,
    guard: bool,  # noqa: FBT001  a parameter of the test
    sellable: int,
) -> None:
    """C08: a cancel reads `held`, the payment confirms, the cancel gives sold tickets back."""
    shop.open()
    strategy = build(status_guard=guard)
    hold = strategy.hold(shop.ask("a", 2))
    with before_statement(
        shop.engine, "UPDATE carts", lambda: build().checkout(shop.pay(hold)) and None
    ):
        strategy.release(hold)
    assert stock(strategy) == (sellable, 0, 2)


def test_c02_paid_after_the_seat_was_resold_is_refunded(shop: Shop, build: Build) -> None:
    """C02: the money arrives after expiry and resale: the policy is a refund."""
    shop.open(1, ["A1"])
    strategy = build()
    hold = strategy.hold(shop.ask("a", seat_names=["A1"]))

    def resell(_key: str) -> None:
        shop.clock.advance(TTL_S)
        strategy.sweep()
        strategy.checkout(shop.pay(strategy.hold(shop.ask("b", seat_names=["A1"]))))

    shop.gateway.during_capture = resell
    with pytest.raises(OrderRefused):
        strategy.checkout(shop.pay(hold))
    assert shop.sold_seats() == ["A1"]
    assert shop.gateway.ledger[-1] == ("refunded", "key-a")


def test_a_locked_database_is_not_applied(shop: Shop, build: Build) -> None:
    """Waiting in vain for another writer has had no effect, and a repeat works."""
    shop.open()
    strategy = build()
    with shop.engine.begin() as other:
        other.exec_driver_sql("UPDATE events SET price_cents = price_cents")
        with pytest.raises(NotApplied, match="locked"):
            strategy.hold(shop.ask("a"))
    assert strategy.hold(shop.ask("a")).quantity == 1


def test_a_crash_before_the_commit_leaves_no_hold(shop: Shop, build: Build) -> None:
    """The cart is inserted and the server dies: nothing is kept, and the id can be used again."""
    shop.open()
    strategy = build()
    with pytest.raises(ServerDied), before_statement(shop.engine, "UPDATE events", die):
        strategy.hold(shop.ask("a", 2))
    assert stock(strategy) == (10, 0, 0)
    assert strategy.hold(shop.ask("a", 2)).quantity == 2


def test_an_extension_of_a_hold_that_just_ended_is_refused(shop: Shop, build: Build) -> None:
    """A17's bad variant still asks whether the cart is held when it writes."""
    shop.open()
    strategy = build(rehold="reset-ttl")
    hold = strategy.hold(shop.ask("a"))
    with (
        before_statement(shop.engine, "UPDATE carts", lambda: build().release(hold)),
        pytest.raises(HoldExpired),
    ):
        strategy.hold(shop.ask("a"))
