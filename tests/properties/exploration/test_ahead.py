"""Whoever executes a search's moves, and however fast: it finds the same, to the last number."""

from typing import Any

import pytest

from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from properties.exploration.ahead import Ahead
from properties.exploration.execution import NotDeterministic
from properties.exploration.exhaustive import Bounds, Search
from tests.properties.exploration.crews import ShuffledCrew, everything

WORLDS = {
    "a good cart": SmallWorld(strategy="db-cart", visits=("pay", "leave", "release")),
    "a naive cart": SmallWorld(strategy="db-cart-naive"),
    "seats": SmallWorld(strategy="seat-setnx", visits=("pay",) * 3),
    "a kill": SmallWorld(
        strategy="redis-hold", visits=("pay", "leave"), happenings={"redis-kill": 1}
    ),
    "an expiry": SmallWorld(
        strategy="redis-counter", visits=("leave", "leave"), happenings={"expire": 1}
    ),
    "a lost reply": SmallWorld(
        strategy="redis-hold-recheck", visits=("leave",), happenings={"lost-reply": 1}
    ),
}


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("size", "seed"), [(1, 1), (2, 2), (5, 3)])
def test_a_crew_changes_nothing(name: str, size: int, seed: int) -> None:
    """Same counts, states, verdicts and counterexamples, with a crew from the first node on."""
    small = WORLDS[name]
    crew = ShuffledCrew(small, size, seed)
    alone = Search(small).run()
    together = Search(small, crew=lambda: crew, alone_s=0.0).run()
    assert everything(together) == everything(alone)
    assert together.complete
    assert crew.errands > 1


def test_a_crew_that_comes_late_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a search the crew takes over where it stands."""
    small = WORLDS["a kill"]
    alone = Search(small).run()
    crew = ShuffledCrew(small, 2, 4)
    search = Search(small, crew=lambda: crew, alone_s=0.0)
    monkeypatch.setattr(crew, "ready", lambda: len(search.found.visited) > alone.states // 2)
    assert everything(search.run()) == everything(alone)
    assert 1 < crew.errands < alone.schedules


def test_with_a_crew_the_search_itself_executes_nothing() -> None:
    """What lies ready is not executed here: nothing is replayed any more."""
    small = WORLDS["a kill"]
    crew = ShuffledCrew(small, 2, 5)
    search = Search(small, crew=lambda: crew, alone_s=0.0)
    search.run()
    assert search._here.replayed == 0


def test_histories_are_told_apart_together_too() -> None:
    """The order of calls is part of a state for every worker."""
    small = WORLDS["a naive cart"]
    alone = Search(small, histories=True).run()
    crew = ShuffledCrew(small, 3, 6, histories=True)
    together = Search(small, crew=lambda: crew, histories=True, alone_s=0.0).run()
    assert everything(together) == everything(alone)


def test_a_budget_cuts_a_search_together_too() -> None:
    """A bound on states stops at the same state, and what was found so far is the same."""
    small, bounds = WORLDS["a naive cart"], Bounds(states=60)
    alone = Search(small, bounds).run()
    crew = ShuffledCrew(small, 2, 7)
    together = Search(small, bounds, crew=lambda: crew, alone_s=0.0).run()
    assert everything(together) == everything(alone)
    assert not together.complete


def test_what_leads_elsewhere_in_another_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's replay that goes another way ends the search with both turns."""
    small = WORLDS["a naive cart"]
    crew = ShuffledCrew(small, 2, 8)
    real = Turn.line.fget  # type: ignore[attr-defined]
    lines: list[str] = []

    def drifting(turn: Turn) -> str:
        lines.append(real(turn))
        return f"{lines[-1]} {len(lines) > 200}"

    monkeypatch.setattr(Turn, "line", property(drifting))
    with pytest.raises(NotDeterministic, match="went two ways"):
        Search(small, crew=lambda: crew, alone_s=0.0).run()


def test_little_is_made_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a search no node is open, and most of what was made ahead of it was used."""
    small = WORLDS["seats"]
    made: list[Ahead] = []
    real = Ahead.__init__

    def noted(ahead: Ahead, *arguments: Any) -> None:
        real(ahead, *arguments)
        made.append(ahead)

    monkeypatch.setattr(Ahead, "__init__", noted)
    crew = ShuffledCrew(small, 2, 9)
    search = Search(small, crew=lambda: crew, alone_s=0.0)
    found = search.run()
    assert not search._open
    assert len(made[0]._edges) < found.turns // 4
