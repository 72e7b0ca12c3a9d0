"""Calls of the strategies' own ledgers: the scripts and pipelines that production sends."""

from collections.abc import Callable
from typing import Any

import redis
from hypothesis import strategies as st

from reservation.api import Hold, HoldRequest
from reservation.counter_ledger import CounterLedger
from reservation.hold_ledger import HoldLedger
from reservation.redis_hold_racy import RacyLedger
from reservation.seat_keys import SeatKeys
from tests.conformance.differential import Call
from tests.reservation.fakes import FakeClock

EVENT = 1
TTL_S = 100.0
_SHORT_TTL_S = 0.064
_NUMBERS = st.integers(min_value=1, max_value=3)
_TTLS = st.sampled_from([TTL_S, TTL_S, _SHORT_TTL_S])


def _request(number: int, quantity: int = 1, seats: tuple[str, ...] = ()) -> HoldRequest:
    return HoldRequest(
        hold_id=f"id{number}",
        event_id=EVENT,
        customer_id=f"c{number}",
        quantity=len(seats) or quantity,
        seats=seats,
    )


def _hold(request: HoldRequest) -> Hold:
    return Hold(
        hold_id=request.hold_id,
        event_id=EVENT,
        customer_id=request.customer_id,
        quantity=request.quantity,
        seats=request.seats,
        expires_at=0.0,
    )


def _counter(client: redis.Redis, ttl_s: float) -> CounterLedger:
    return CounterLedger(client, ttl_s=ttl_s, recognise=True, guarded=True, recheck=True)


def _reap(client: redis.Redis) -> tuple[dict[str, int], tuple[int, int] | None]:
    ledger = _counter(client, TTL_S)
    due = ledger.due(EVENT, grace_s=0.0, batch=2)
    return due, ledger.reap(EVENT, due, grace_s=0.0) if due else None


def _named(name: str, call: Callable[[redis.Redis], Any], *arguments: object) -> Call:
    return Call(f"{name}({', '.join(map(str, arguments))})", call)


def _hold_ledger(number: int, quantity: int, ttl_s: float, remaining: int | None) -> list[Call]:
    request = _request(number, quantity)

    def ledger(client: redis.Redis) -> HoldLedger:
        return HoldLedger(client, ttl_s=ttl_s, cache_s=50.0)

    def place(client: redis.Redis) -> int:
        return ledger(client).place(request, remaining)

    def racy(client: redis.Redis) -> int:
        return RacyLedger(client, ttl_s=ttl_s, watch="pipeline").place(request, 5)

    return [
        _named(
            "place",
            lambda c: ledger(c).place(request, remaining),
            number,
            quantity,
            ttl_s,
            remaining,
        ),
        _named("place racy", racy, number, quantity, ttl_s),
        _named("is live", lambda c: ledger(c).is_live(_hold(request)), number, quantity),
        _named("drop", lambda c: ledger(c).drop(_hold(request), remaining), number, remaining),
        _named("count", lambda c: ledger(c).view(EVENT, 5)),
        _named("forget stock", lambda c: ledger(c).forget_stock(EVENT)),
    ]


def _counter_ledger(number: int, quantity: int, ttl_s: float, after: int | None) -> list[Call]:
    request = _request(number, quantity)
    hold_id = request.hold_id
    return [
        _named("seed", lambda c: _counter(c, ttl_s).seed(EVENT, 5)),
        _named("take", lambda c: _counter(c, ttl_s).take(request), number, quantity, ttl_s),
        _named(
            "take in two",
            lambda c: _counter(c, ttl_s).take_in_two_steps(request),
            number,
            quantity,
            ttl_s,
        ),
        _named("is taken", lambda c: _counter(c, ttl_s).is_live(_hold(request)), number),
        _named("release", lambda c: _counter(c, ttl_s).release(_hold(request)), number),
        _named(
            "settle",
            lambda c: _counter(c, ttl_s).settle(EVENT, hold_id, quantity, after),
            number,
            after,
        ),
        _named("due and reap", _reap),
        _named("view", lambda c: _counter(c, ttl_s).view(EVENT)),
    ]


def _seat_keys(number: int, seats: tuple[str, ...], ttl_s: float) -> list[Call]:
    request = _request(number, seats=seats)

    def keys(client: redis.Redis) -> SeatKeys:
        return SeatKeys(client, FakeClock(), ttl_s=ttl_s, recognise=True, by_token=True)

    return [
        _named("take seats", lambda c: keys(c).take(request), number, seats, ttl_s),
        _named("seats mine", lambda c: keys(c).are_mine(_hold(request)), number, seats),
        _named("free seats", lambda c: keys(c).release(request), number, seats),
        _named("seats held", lambda c: sorted(keys(c).held(EVENT, ["A1", "A2"]))),
    ]


def calls() -> st.SearchStrategy[Call]:
    """One call of one ledger."""
    amounts = st.sampled_from([None, 5, 2, 0])
    seats = st.sampled_from([("A1",), ("A2",), ("A1", "A2")])
    return st.one_of(
        st.builds(_hold_ledger, _NUMBERS, _NUMBERS, _TTLS, amounts).flatmap(st.sampled_from),
        st.builds(_counter_ledger, _NUMBERS, _NUMBERS, _TTLS, amounts).flatmap(st.sampled_from),
        st.builds(_seat_keys, _NUMBERS, seats, _TTLS).flatmap(st.sampled_from),
    )
