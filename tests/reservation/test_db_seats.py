"""Assigned seats in flow 1, and what holds and sweeps cost in statements."""

from collections.abc import Callable
from typing import Any

import pytest

from reservation import db_cart, db_derived
from reservation.api import AdmissionKind, Availability, Strategy
from reservation.errors import SoldOut
from tests.reservation.interleave import statements
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


@each_seated
def test_seats_are_held_sold_and_freed_with_their_cart(shop: Shop, build: Build, name: str) -> None:
    """Seats and the counter move together through hold, sale, release and expiry."""
    shop.open(4, ["A1", "A2", "A3", "A4"])
    strategy = build(name)
    sold = strategy.hold(shop.ask("h1", seat_names=["A2", "A1"]))
    assert sold.seats == ("A2", "A1")
    assert stock(strategy) == (2, 2, 0)
    assert strategy.checkout(shop.pay(sold)).seats == ("A2", "A1")
    assert shop.sold_seats() == ["A2", "A1"]
    released = strategy.hold(shop.ask("h2", seat_names=["A3"]))
    strategy.release(released)
    strategy.hold(shop.ask("h3", seat_names=["A3", "A4"]))
    assert stock(strategy) == (0, 2, 2)
    shop.clock.advance(TTL_S)
    assert strategy.sweep().returned_tickets == 2
    assert [shop.seat_status(seat) for seat in ("A1", "A2", "A3", "A4")] == [
        "sold",
        "sold",
        "available",
        "available",
    ]
    assert stock(strategy) == (2, 0, 2)


@each_seated
def test_a_taken_or_unknown_seat_refuses_the_whole_request(
    shop: Shop, build: Build, name: str
) -> None:
    """Nobody gets half of what they asked for."""
    shop.open(3, ["A1", "A2", "A3"])
    strategy = build(name)
    first = strategy.hold(shop.ask("h1", seat_names=["A2"]))
    for wanted in (["A1", "A2"], ["A1", "Z9"]):
        with pytest.raises(SoldOut, match="A1"):
            strategy.hold(shop.ask("h2", seat_names=wanted))
    assert shop.seat_status("A1") == "available"
    assert strategy.hold(shop.ask("h1", seat_names=["A2"])) == first
    assert stock(strategy) == (2, 1, 0)


@each_seated
def test_a_seat_named_twice_is_a_mistake(shop: Shop, build: Build, name: str) -> None:
    """Each seat once, as many as the quantity."""
    shop.open(3, ["A1", "A2", "A3"])
    with pytest.raises(ValueError, match="name each seat once"):
        build(name).hold(shop.ask("h1", seat_names=["A1", "A1"]))


def test_a_hold_is_two_statements_in_one_transaction(shop: Shop, build: Build) -> None:
    """The price of the competent hold, and of one refused."""
    shop.open(1)
    strategy = build("db-cart")
    with statements(shop.engine) as seen:
        strategy.hold(shop.ask("h1"))
    assert seen == ["INSERT INTO", "UPDATE events"]
    with statements(shop.engine) as seen, pytest.raises(SoldOut):
        strategy.hold(shop.ask("h2"))
    assert seen == ["INSERT INTO", "UPDATE events"]


def test_a_sweep_costs_three_statements_however_many_carts(shop: Shop, build: Build) -> None:
    """One for the carts, one for the event, one for the payments."""
    shop.open(50)
    strategy = build("db-cart")
    for number in range(50):
        strategy.hold(shop.ask(f"h{number}"))
    shop.clock.advance(TTL_S)
    with statements(shop.engine) as seen:
        assert strategy.sweep().expired_holds == 50
    assert seen == ["UPDATE carts", "UPDATE events", "SELECT payments.idempotency_key"]


@each_seated
@pytest.mark.parametrize("options", [{}, {"reclaim": "cron-scan"}, {"clock": "database"}])
def test_a_large_sweep_stays_under_the_parameter_limit(
    shop: Shop, build: Build, name: str, options: dict[str, Any]
) -> None:
    """No statement carries more than 999 values, SQLite's limit before 3.32."""
    from sqlalchemy import event

    names = [f"S{number}" for number in range(1200)]
    shop.open(1200, names)
    strategy = build(name, batch=5000, **options)
    for start in range(0, 1200, 4):
        strategy.hold(shop.ask(f"h{start}", seat_names=names[start : start + 4]))
    shop.clock.advance(TTL_S)
    most: list[int] = []

    def measure(_conn: Any, _cursor: Any, _statement: str, parameters: Any, *_: Any) -> None:
        most.append(len(parameters))

    event.listen(shop.engine, "before_cursor_execute", measure)
    assert strategy.sweep().returned_tickets == 1200
    event.remove(shop.engine, "before_cursor_execute", measure)
    assert max(most) <= 999
    assert stock(strategy) == (1200, 0, 0)
