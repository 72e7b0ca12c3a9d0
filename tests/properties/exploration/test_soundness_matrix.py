"""Every strategy under every kind of fault: the reduced search finds what the unreduced one finds.

The default suite searches two buyers who hold and leave; `-m extended` two of whom one pays.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chaos.persistence import Persistence
from model.exploring.small_world import EVENTS, ON_REDIS, SmallWorld
from properties.exploration import branching
from properties.exploration.exhaustive import Search
from properties.exploration.finding import Exploration
from reservation.catalogue import STRATEGIES, find

NONE, EVERYSEC = Persistence.NONE, Persistence.AOF_EVERYSEC
SLOW = {"redis-hold-racy"}  # ten times the schedules: not every persistence by default
KINDS: dict[str, dict[str, int]] = {
    "lost-reply": {"lost-reply": 1},
    "app-kill": {"app-kill": 1},
    "db-restart": {"db-restart": 1},
    "expire": {"expire": 1},
    "sweep": {"sweep": 1},
    "expire and sweep": {"expire": 1, "sweep": 1},
}
LONG = {"expire and sweep"}

Cell = tuple[str, str, dict[str, int], Persistence | None]


def cells(*, every: bool) -> list[Cell]:
    """The matrix: strategy, name, what happens, persistence; `every` takes the slow ones too."""
    found: list[Cell] = []
    for strategy, info in STRATEGIES.items():
        found += [
            (strategy, name, happens, None)
            for name, happens in KINDS.items()
            if every or not (strategy in SLOW and name in LONG)
        ]
        if not info.uses_redis:
            continue
        found += [
            (strategy, f"{death}, {kept}", {death: 1}, kept)
            for death in ON_REDIS
            for kept in Persistence
            if every or strategy not in SLOW or (death, kept) == ("redis-power-loss", EVERYSEC)
        ]
    return found


def name_of(cell: Cell) -> str:
    """As a test report shows it."""
    return f"{cell[0]}, {cell[1]}"


def found_out(found: Exploration) -> dict[str, Any]:
    """What both searches must agree on."""
    assert found.complete, found.cut
    assert not found.crash, found.crash
    return {
        "final states": frozenset(found.finals),
        "violations": sorted(found.breaches),
        "held": sorted(name for name, claim in found.claims.items() if claim.held),
        "seen": sorted(found.seen),
    }


def agree(cell: Cell, visits: tuple[str, ...], **options: Any) -> None:
    """Search one world with and without reduction."""
    strategy, _, happenings, persistence = cell
    small = SmallWorld(
        strategy=strategy,
        options=options,
        visits=visits,
        happenings=happenings,
        persistence=persistence,
    )
    reduced, whole = Search(small).run(), Search(small, reduce=False).run()
    assert found_out(reduced) == found_out(whole)
    assert reduced.turns <= whole.turns


@pytest.mark.parametrize("cell", cells(every=False), ids=name_of)
def test_the_reduced_search_loses_nothing(cell: Cell) -> None:
    """Two buyers who hold and leave, one strike: the same final states and violations."""
    agree(cell, ("leave", "leave"))


@pytest.mark.parametrize("event", ["expire", "lost-reply"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_reduced_search_loses_nothing_beside_a_sweeper(strategy: str, event: str) -> None:
    """One buyer who pays, a sweeper, and what strikes amid a transaction; the rest then goes on."""
    agree((strategy, "", {event: 1, "sweep": 1}, None), ("pay",))


@pytest.mark.extended
@pytest.mark.parametrize("cell", cells(every=True), ids=name_of)
def test_the_reduced_search_loses_nothing_when_one_pays(cell: Cell) -> None:
    """The same with a payment, its deduction and its order."""
    agree(cell, ("pay", "leave"))


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name.startswith("db-cart")])
def test_delayed_tasks_enter_when_they_are_due(strategy: str) -> None:
    """A task that is late when it is scheduled runs beside the transaction that scheduled it."""
    agree((strategy, "", {"expire": 1}, None), ("leave", "leave"), reclaim="delayed-task")


def test_the_matrix_leaves_nothing_out() -> None:
    """Every strategy meets all that may happen to it, and Redis's deaths on every persistence."""
    for strategy in STRATEGIES:
        mine = [cell for cell in cells(every=True) if cell[0] == strategy]
        happened = {event for cell in mine for event in cell[2]}
        uses_redis = find(strategy).uses_redis
        assert happened == set(EVENTS) - (set() if uses_redis else set(ON_REDIS))
        kept = {cell[3] for cell in mine if cell[3] is not None}
        assert kept == (set(Persistence) if uses_redis else set())


# What a search would miss if two moves that touch this were taken to commute.
NEEDED: dict[str, Cell] = {
    "redis:": ("redis-hold-racy", "", {}, None),
    "db:": ("db-cart-naive", "", {}, None),
    "clock": ("redis-counter", "", {"expire": 2}, None),
    "acks": ("redis-hold-blind", "", {}, None),
}


def without(prefix: str) -> Callable[..., bool]:
    """The relation of conflicts, blind to some resources."""
    conflict = branching.conflict

    def seen(touched: frozenset[str]) -> frozenset[str]:
        return frozenset(each for each in touched if not each.startswith(prefix))

    def blind(reads: frozenset[str], writes: frozenset[str], other: Any) -> bool:
        return conflict(seen(reads), seen(writes), (seen(other[0]), seen(other[1])))

    return blind


@pytest.mark.parametrize("resource", NEEDED)
def test_a_relation_that_misses_a_conflict_is_noticed(
    resource: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: blind to one kind of resource, the reduced search loses something."""
    visits = ("leave", "leave") if resource == "clock" else ("pay", "leave")
    agree(NEEDED[resource], visits)
    monkeypatch.setattr(branching, "conflict", without(resource))
    with pytest.raises(AssertionError):
        agree(NEEDED[resource], visits)


def test_movers_that_are_not_alone_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If every move counted as its actor's own business, whole subtrees would be cut away."""
    monkeypatch.setattr(branching, "_owned", lambda *_: True)
    monkeypatch.setattr(branching, "_only_mine", lambda *_, **__: True)
    with pytest.raises(AssertionError):
        agree(NEEDED["db:"], ("leave", "leave"))
