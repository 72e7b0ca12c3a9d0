"""What a state must tell apart: whatever a verdict, or anything to come, may depend on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, text

from chaos.persistence import Persistence
from model.exploring.digest import keyspace
from model.exploring.small_world import SmallWorld
from model.streams import stream
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.finding import NOT_EXPLORED, ORDERED
from properties.exploration.sampling import RandomWalk, Sampling
from properties.judge import INVARIANTS, judge
from properties.verdicts import Status
from reservation.api import Hold, HoldRequest, Stores
from reservation.catalogue import STRATEGIES
from reservation.tables import payments

DECIDED = tuple(name for name in INVARIANTS if name not in {*ORDERED, *NOT_EXPLORED})
PASTS = [
    ("db-cart-naive", ("release+again", "pay"), {"lost-reply": 1}),
    ("db-cart-naive", ("release+again", "pay"), {"expire": 1, "sweep": 1}),
    ("redis-hold-blind", ("pay+release",), {"redis-kill": 1, "expire": 1}),
    ("redis-hold-blind", ("again>pay", "pay"), {"redis-kill": 1, "expire": 1}),
    ("redis-hold", ("pay+pay", "pay"), {"redis-kill": 1, "expire": 1}),
    ("redis-hold-blind", ("again+pay", "pay"), {"redis-kill": 1, "expire": 1}),
    ("redis-counter", ("pay+release", "pay"), {"redis-kill": 1}),
    ("seat-setnx", ("pay+release", "pay"), {"app-kill": 1, "expire": 1}),
    ("redis-hold-blind", ("release>again", "leave"), {}),
    ("redis-hold-blind", ("release>again>pay", "leave"), {"redis-kill": 1}),
    ("redis-hold-blind", ("release>again>release", "release"), {"expire": 1}),
    ("redis-hold-racy", ("release>again>pay", "pay"), {"lost-reply": 1}),
]
WALKS = 120


@pytest.mark.parametrize(("strategy", "visits", "happenings"), PASTS)
def test_a_state_decides_every_verdict(
    strategy: str, visits: tuple[str, ...], happenings: dict[str, int]
) -> None:
    """Histories that end in one state violate the same, or judging one of them would hide some."""
    executions = Executions(
        SmallWorld(strategy=strategy, visits=visits, happenings=happenings), reduce=False
    )
    known: dict[bytes, set[str]] = {}
    met_again = 0
    for number in range(WALKS):
        world, walk = executions.fresh(), RandomWalk(stream(1, "states", number))
        while not world.over:
            world.take(walk.pick(world, world.choices()))
        state = world.state()
        verdicts = judge(world.settle())
        world.close()
        violated = {name for name in DECIDED if verdicts[name].violations}
        met_again += state in known
        assert known.setdefault(state, violated) == violated, f"walk {number}"
    executions.close()
    assert met_again


@pytest.mark.parametrize(("kills", "differ"), [(1, True), (0, False)])
def test_a_snapshot_on_the_disk_is_part_of_the_state(kills: int, *, differ: bool) -> None:
    """RDB: two ways to the same keyspace, of which one was saved in between: only a kill tells."""
    small = SmallWorld(
        strategy="redis-counter",
        visits=("release",),
        happenings={"expire": 1, "redis-kill": kills},
        persistence=Persistence.RDB,
        ttl_s=4000.0,  # past the save point of an hour
    )
    executions = Executions(small, reduce=False)
    states, keyspaces = [], []
    for expires_first in (True, False):
        world = executions.fresh()
        while world.actor("A").stop is None or world.actor("A").stop.label != "release":
            world.take("A")
        if expires_first:
            world.take("expire")
        while not world.over:
            world.take("A")
        if not expires_first:
            world.take("expire")
        states.append(world.state())
        assert world.shop.redis is not None
        keyspaces.append(keyspace(world.shop.redis))
        world.close()
    executions.close()
    assert keyspaces[0] == keyspaces[1]
    assert (states[0] != states[1]) == differ


def test_what_is_not_synced_yet_is_part_of_the_state() -> None:
    """AOF everysec: after an hour the first write is synced at once, the next one is at risk."""
    small = SmallWorld(
        strategy="redis-counter",
        visits=("leave", "leave"),
        capacity=2,
        happenings={"expire": 1, "redis-power-loss": 1},
        persistence=Persistence.AOF_EVERYSEC,
    )
    matched, unreduced = Search(small).run(), Search(small, reduce=False).run()
    assert matched.complete
    assert matched.finals == unreduced.finals


def test_the_order_of_writes_on_a_safe_disk_is_not() -> None:
    """Two holds of different seats, nothing left to strike: one final state, not two."""
    small = SmallWorld(
        strategy="seat-setnx",
        visits=("leave", "leave"),
        capacity=2,
        persistence=Persistence.AOF_EVERYSEC,
    )
    assert len(Search(small, reduce=False).run().finals) == 1


@pytest.mark.parametrize("depth", range(6, 16, 3))
def test_a_depth_bound_covers_all_within_it(depth: int) -> None:
    """A state met late, where the bound cuts, and then early is searched further."""
    small = SmallWorld(strategy="db-cart", visits=("leave", "release"), happenings={"expire": 1})
    matched = Search(small, Bounds(depth=depth), reduce=False).run()
    unmatched = Search(small, Bounds(depth=depth), reduce=False, match=False).run()
    assert matched.finals == unmatched.finals
    assert matched.visited == unmatched.visited


def planted(
    monkeypatch: pytest.MonkeyPatch, good: str, more: Callable[[Stores, HoldRequest], None]
) -> str:
    """Make a strategy whose `hold` does something more, first."""
    info = STRATEGIES[good]

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


def test_a_deadlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that keeps the write lock for ever: others hang, and the search must not say HOLDS."""
    kept: list[Any] = []

    def leak(stores: Stores, request: HoldRequest) -> None:
        connection = stores.engine.connect()
        connection.execute(text("UPDATE events SET price_cents = price_cents"))
        kept.append(connection)  # never given back

    strategy = planted(monkeypatch, "seat-setnx", leak)
    small = SmallWorld(strategy=strategy, visits=("leave", "leave"), capacity=2)
    found = Search(small).run()
    assert "waits for ever" in found.crash
    assert found.status is Status.INCONCLUSIVE
    sampled = Sampling(small, Bounds(), how="random", schedules=2).run()
    assert "waits for ever" in sampled.crash


def test_a_lock_that_is_kept_while_redis_is_asked_is_not_its_owners_business(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who writes their own row and then asks Redis keeps everybody else from writing meanwhile."""

    def ask_inside(stores: Stores, request: HoldRequest) -> None:
        assert stores.redis is not None
        row = {
            "idempotency_key": f"pay-{request.customer_id}",
            "hold_id": request.hold_id,
            "amount_cents": 1,
            "status": "pending",
            "created_at": 0.0,
        }
        with stores.engine.begin() as connection:
            seen = stores.redis.get("seen")
            connection.execute(insert(payments), [row])
            stores.redis.set("seen", request.customer_id)
            stores.redis.set(f"saw-{request.customer_id}", str(seen))

    strategy = planted(monkeypatch, "seat-setnx", ask_inside)
    small = SmallWorld(strategy=strategy, visits=("leave", "leave"), capacity=2)
    reduced, unreduced = Search(small).run(), Search(small, reduce=False).run()
    assert not unreduced.crash
    assert reduced.finals == unreduced.finals


def test_a_pipeline_that_ends_with_a_look_has_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pipeline writes is written, whatever its last command does."""

    def write_and_look(stores: Stores, request: HoldRequest) -> None:
        assert stores.redis is not None
        with stores.redis.pipeline(transaction=False) as pipe:
            pipe.set("latest", request.customer_id)
            pipe.get("nothing")
            pipe.execute()

    strategy = planted(monkeypatch, "seat-setnx", write_and_look)
    small = SmallWorld(strategy=strategy, visits=("leave", "leave"), capacity=2)
    reduced, unreduced = Search(small).run(), Search(small, reduce=False).run()
    assert reduced.finals == unreduced.finals
    assert len(unreduced.finals) == 2
