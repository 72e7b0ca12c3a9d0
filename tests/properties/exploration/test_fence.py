"""The fence: code that looks at what is not in its Stores is caught, and the crossings named."""

import copy
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from model.exploring.small_world import SmallWorld
from properties.exploration.execution import NotDeterministic, first_divergence
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.sampling import Sampling
from reservation.api import Hold, HoldRequest, Stores
from reservation.catalogue import STRATEGIES

ROOT = Path(__file__).parents[3]
_calls = count()


def _objects() -> str:
    """The order of a set of objects is that of their addresses, which differ from run to run."""
    kept.append([object() for _ in range(next(_calls) % 7 + 1)])
    return str(hash(next(iter({object() for _ in range(5)} | set(kept[-1])))))


def _thread() -> str:
    """What another thread has got to."""
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(str(time.perf_counter_ns())))
    thread.start()
    thread.join()
    return seen[0]


kept: list[Any] = []
SOURCES: dict[str, Callable[[], str]] = {
    "wall time": lambda: str(time.time_ns()),
    "randomness": lambda: str(random.random()),
    "uuid": lambda: str(uuid.uuid4()),
    "set order": _objects,
    "threads": _thread,
}


@pytest.fixture
def leaking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A strategy that writes what it must not look at into Redis while it holds."""
    info, source = STRATEGIES["seat-setnx"], SOURCES[request.param]

    def build(stores: Stores, options: dict[str, Any]) -> Any:
        strategy: Any = info.build(stores, options)
        hold = strategy.hold

        def leaky(asked: HoldRequest) -> Hold:
            assert stores.redis is not None
            stores.redis.set("seen", source())
            stores.redis.get("seen")
            found: Hold = hold(asked)
            return found

        strategy.hold = leaky
        return strategy

    monkeypatch.setitem(STRATEGIES, "leaking", replace(info, name="leaking", build=build))
    return "leaking"


@pytest.mark.parametrize("leaking", SOURCES, indirect=True)
def test_what_is_not_under_control_is_caught(leaking: str) -> None:
    """Wall time, randomness, uuid, set order, threads: each is caught, with both crossings."""
    with pytest.raises(NotDeterministic) as caught:
        Search(SmallWorld(strategy=leaking, visits=("leave", "leave")), twice=True).run()
    assert "redis GET" in caught.value.first
    assert "redis GET" in caught.value.second
    assert caught.value.first != caught.value.second
    assert "wall clock" in str(caught.value)


@pytest.mark.parametrize("leaking", ["wall time"], indirect=True)
def test_sampling_twice_catches_it_too(leaking: str) -> None:
    """A drawn schedule that is executed twice goes the same way, or is refused."""
    small = SmallWorld(strategy=leaking, visits=("leave",))
    with pytest.raises(NotDeterministic):
        Sampling(small, Bounds(), how="random", schedules=3, twice=True).run()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_is_deterministic(strategy: str) -> None:
    """The negative control: each path of each strategy goes the same way twice."""
    small = SmallWorld(strategy=strategy, visits=("pay", "leave"))
    assert Search(small, twice=True).run().complete


def test_the_first_divergence_is_named() -> None:
    """A difference, and a missing rest."""
    difference = first_divergence(["a", "b", "c"], ["a", "x", "c"])
    assert difference is not None
    assert (difference.number, difference.first, difference.second) == (2, "b", "x")
    shorter = first_divergence(["a", "b"], ["a"])
    assert shorter is not None
    assert (shorter.number, shorter.first, shorter.second) == (2, "b", "(ended)")
    assert first_divergence(["a"], ["a"]) is None


def test_a_divergence_crosses_from_a_worker_to_its_parent() -> None:
    """Both crossings arrive, and not a worker that seems to have died."""
    there = NotDeterministic(3, "A | redis GET", "A | redis SET")
    here = copy.copy(there)  # as pickle does it
    assert (here.number, here.first, here.second) == (3, "A | redis GET", "A | redis SET")
    assert str(here) == str(there)


def test_other_processes_and_hash_seeds_go_the_same_way() -> None:
    """The order of a set of texts depends on PYTHONHASHSEED; a search must not."""
    program = (
        "from model.exploring.small_world import SmallWorld\n"
        "from properties.exploration.exhaustive import Search\n"
        "f = Search(SmallWorld(strategy='redis-counter', visits=('pay', 'pay'))).run()\n"
        "print(f.schedules, f.turns, sorted(each.hex() for each in f.visited))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "7")
    }
    assert len(answers) == 1
