"""Where a reduction is easily wrong: sessions, ends of calls, numbers, second visits, payments."""

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from redis.exceptions import RedisError
from sqlalchemy import insert, text
from sqlalchemy.exc import SQLAlchemyError

from chaos.persistence import Persistence
from model.exploring.small_world import SmallWorld
from properties.exploration.branching import Branching
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Bounds, Search
from reservation.api import Hold, HoldRequest, Stores
from reservation.catalogue import STRATEGIES
from reservation.tables import orders, payments
from tests.properties.exploration.crews import ShuffledCrew, everything

More = Callable[[Stores, HoldRequest], None]


def planted(monkeypatch: pytest.MonkeyPatch, more: More) -> str:
    """A strategy whose `hold` does something more, first."""
    info = STRATEGIES["seat-setnx"]

    def build(stores: Stores, options: dict[str, Any]) -> Any:
        strategy: Any = info.build(stores, options)
        hold = strategy.hold

        def with_more(request: HoldRequest) -> Hold:
            more(stores, request)
            found: Hold = hold(request)
            return found

        strategy.hold = with_more
        return strategy

    monkeypatch.setitem(STRATEGIES, "planted", replace(info, name="planted", build=build))
    return "planted"


def _pay_row(request: HoldRequest) -> dict[str, Any]:
    return {
        "idempotency_key": f"pay-{request.customer_id}",
        "hold_id": request.hold_id,
        "amount_cents": 1,
        "status": "pending",
        "created_at": 0.0,
    }


def look_and_commit(stores: Stores, request: HoldRequest) -> None:
    """A transaction that only reads, and then something that is no store."""
    with suppress(SQLAlchemyError), stores.engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    stores.payments.lookup(f"pay-{request.customer_id}")


def ping(stores: Stores, request: HoldRequest) -> None:
    """A command without keys."""
    assert stores.redis is not None
    with suppress(RedisError):
        stores.redis.ping()
    stores.payments.lookup(f"pay-{request.customer_id}")


def number(stores: Stores, request: HoldRequest) -> None:
    """Two orders of different keys: the first one gets the lower number."""
    row = {
        "idempotency_key": f"pay-{request.customer_id}",
        "hold_id": request.hold_id,
        "event_id": 1,
        "customer_id": request.customer_id,
        "quantity": 1,
        "created_at": 0.0,
    }
    with stores.engine.begin() as connection:
        connection.execute(insert(orders), [row])


def count_the_others(stores: Stores, request: HoldRequest) -> None:
    """Look at all payments but one's own, and then make one."""
    assert stores.redis is not None
    key = f"pay-{request.customer_id}"
    others = text("SELECT count(*) FROM payments WHERE idempotency_key <> :key")
    with stores.engine.connect() as connection:
        seen = connection.execute(others, {"key": key}).scalar()
    stores.redis.set(f"saw-{request.customer_id}", str(seen))
    with stores.engine.begin() as connection:
        connection.execute(insert(payments), [_pay_row(request)])


@pytest.mark.parametrize(
    ("more", "happenings"),
    [
        (look_and_commit, {"db-restart": 2}),
        (ping, {"redis-kill": 2}),
        (number, {}),
        (count_the_others, {}),
    ],
)
def test_what_touches_little_is_still_seen(
    monkeypatch: pytest.MonkeyPatch, more: More, happenings: dict[str, int]
) -> None:
    """Moves that name no row or key still find their session broken, take a number, or look on."""
    small = SmallWorld(
        strategy=planted(monkeypatch, more),
        visits=("leave",) if happenings else ("leave", "leave"),
        capacity=2,
        happenings=happenings,
        persistence=Persistence.NONE,
    )
    reduced, whole = Search(small).run(), Search(small, reduce=False).run()
    assert reduced.complete
    assert reduced.finals == whole.finals


@pytest.mark.parametrize(
    "small",
    [
        SmallWorld(
            strategy="redis-hold-read-check",
            visits=("pay+release",),
            happenings={"app-kill": 1},
            attempts=1,
        ),
        SmallWorld(
            strategy="redis-hold-blind",
            visits=("release", "release>again"),
            happenings={"redis-kill": 1},
            persistence=Persistence.AOF_ALWAYS,
            attempts=1,
        ),
    ],
    ids=["a call that ends amid a transaction", "the end of a release"],
)
def test_ends_of_calls_keep_their_order(small: SmallWorld) -> None:
    """What a verdict asks of the past is reached in every order."""
    assert Search(small).run().finals == Search(small, reduce=False).run().finals


def test_what_is_awake_at_a_second_visit_is_tried() -> None:
    """Nobody was alone at the first visit; so the second one may not leave the others out."""
    left_out: list[str] = []
    visited: set[object] = set()

    class Watched(Search):
        def _search(self, key: object, branching: Branching, preempted: int) -> None:
            again = key in visited and key not in self._sole
            visited.add(key)
            super()._search(key, branching, preempted)
            if again:
                left_out.extend(branching.todo[branching.position :])

    small = SmallWorld(
        strategy="db-cart",
        options={"payment_intent": False},
        visits=("pay", "pay"),
        capacity=2,
        happenings={"db-restart": 2},
        attempts=1,
    )
    assert Watched(small).run().complete
    assert not left_out


def test_a_schedule_is_spelled_out_past_a_task_that_entered() -> None:
    """A whole transaction is broken off by a task that is due: so is its spelling."""
    small = SmallWorld(
        strategy="db-cart-row-lock",
        options={"reclaim": "delayed-task"},
        visits=("again>pay", "release"),
        happenings={"expire": 1},
        attempts=1,
    )
    ends: dict[bytes, tuple[str, ...]] = {}

    class Noted(Search):
        def _end(self, state: bytes, *, new: bool) -> None:
            ends.setdefault(state, self._schedule())
            super()._end(state, new=new)

    assert Noted(small).run().complete
    spelling, spelled = Executions(small), Executions(small, reduce=False)
    for state, schedule in ends.items():
        world = spelled.fresh()
        for choice in spelling.expand(schedule):
            world.take(choice)
        assert world.state() == state
        world.close()
    spelling.close()
    spelled.close()


def test_a_search_that_starts_over_finds_the_same_with_a_crew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody looks at others' payments: all is searched again, whoever executes it."""
    strategy = planted(monkeypatch, count_the_others)
    small = SmallWorld(
        strategy=strategy, visits=("leave", "leave"), capacity=2, persistence=Persistence.NONE
    )
    alone = Search(small).run()
    crew = partial(ShuffledCrew, small, 2, 1)
    together = Search(small, crew=crew, alone_s=0.0)
    assert everything(together.run()) == everything(alone)
    assert not together._owning
    assert alone.finals == Search(small, reduce=False).run().finals


def test_a_hold_given_back_before_it_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop says yes to whoever has been told yes: only in one order two have the seat by it."""
    info = STRATEGIES["seat-setnx"]

    def build(stores: Stores, options: dict[str, Any]) -> Any:
        strategy: Any = info.build(stores, options)
        hold = strategy.hold

        def remembering(request: HoldRequest) -> Hold:
            stores.payments.lookup("nothing")
            assert stores.redis is not None
            told = stores.redis.get(f"told-{request.hold_id}")
            if told is not None:
                return Hold.granted(request, expires_at=float(told))
            found: Hold = hold(request)
            stores.redis.set(f"told-{request.hold_id}", str(found.expires_at))
            return found

        strategy.hold = remembering
        return strategy

    monkeypatch.setitem(STRATEGIES, "planted", replace(info, name="planted", build=build))
    small = SmallWorld(
        strategy="planted",
        visits=("again+release", "leave"),
        persistence=Persistence.NONE,
        attempts=1,
    )
    reduced, whole = Search(small).run(), Search(small, reduce=False).run()
    assert "no-overhold" in reduced.breaches
    assert reduced.finals == whole.finals


@pytest.mark.parametrize("visit", ["pay+release>again", "release>again+pay", "pay+again"])
def test_states_that_were_asked_for_anew_in_another_order_differ(visit: str) -> None:
    """Which call about a hold had ended when another began; every single schedule is tried."""
    small = SmallWorld(
        strategy="redis-hold", visits=(visit,), persistence=Persistence.NONE, attempts=1
    )
    matched = Search(small).run()
    enumerated = Search(small, reduce=False, match=False).run()
    assert enumerated.complete
    assert matched.finals == enumerated.finals
    assert sorted(matched.breaches) == sorted(enumerated.breaches)


def test_who_has_died_says_no_more_to_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that watches is collected at any time, and would then cross as whoever runs."""
    ignored: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", ignored.append)
    small = SmallWorld(
        strategy="redis-hold-racy",
        options={"watch": "pipeline"},
        visits=("leave", "leave"),
        happenings={"app-kill": 1},
        persistence=Persistence.NONE,
        attempts=1,
    )
    Search(small, Bounds(states=400)).run()
    gc.collect()
    assert not ignored
