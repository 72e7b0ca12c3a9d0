"""A run's description survives being stored, and a wrong one is named."""

import json
from typing import Any

import pytest

from chaos.persistence import Persistence
from model.scenario_file import load_scenario
from model.spec import RunSpec
from model.spec_codec import SpecError, spec_from_meta, spec_to_meta


def spec(**changes: Any) -> RunSpec:
    """Return a description with everything in it."""
    values = {
        "scenario": load_scenario("small"),
        "strategy": "redis-hold",
        "seed": 7,
        "fault": "redis-kill",
        "persistence": Persistence.AOF_ALWAYS,
        "options": {"stock_check": "cache", "cache_s": 2.5},
        "only_buyers": frozenset({3, 1}),
        **changes,
    }
    return RunSpec(**values)


@pytest.mark.parametrize(
    "whole",
    [
        spec(),
        spec(persistence=None, only_buyers=None, options={}),
        spec(scenario=load_scenario("seats")),
        spec(scenario=load_scenario("on-sale", {"arrivals.buyers": "3", "ttl_s": "60.5"})),
    ],
)
def test_a_description_comes_back_equal(whole: RunSpec) -> None:
    """Through JSON text and back, nothing is lost and nothing changes its type."""
    assert spec_from_meta(json.loads(json.dumps(spec_to_meta(whole)))) == whole


def test_unrelated_keys_are_left_alone() -> None:
    """A history's meta carries more than the description."""
    assert spec_from_meta({**spec_to_meta(spec()), "trace_hash": "abc"}) == spec()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"persistence": "aof-sometimes"}, ("persistence", "aof-sometimes", "aof-always")),
        ({"seed": "seven"}, ("seed", "seven", "not a whole number")),
        ({"seed": True}, ("seed", "True")),
        ({"strategy": None}, ("strategy", "None")),
        ({"only_buyers": ["buyer-1"]}, ("only_buyers", "buyer-1")),
        ({"scenario": {"name": "x", "sale": {"capacity": 0}}}, ("scenario.sale.capacity",)),
        ({"scenario": "on-sale"}, ("scenario",)),
    ],
)
def test_a_wrong_key_is_named_with_its_value(change: dict[str, Any], told: tuple[str, ...]) -> None:
    """Whoever edited a history learns which key is wrong and what stands there."""
    with pytest.raises(SpecError) as caught:
        spec_from_meta({**spec_to_meta(spec()), **change})
    for part in told:
        assert part in str(caught.value)


def test_a_history_without_a_description_says_what_can_be_done() -> None:
    """A history from elsewhere can still be judged."""
    with pytest.raises(SpecError, match=r"no scenario, seed.*holdfast judge"):
        spec_from_meta({"strategy": "db-cart"})
