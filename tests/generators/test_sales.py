"""Generated sales break what is bad, in the smallest way there is, and nothing that is good."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from chaos.persistence import Persistence
from model.run import simulate
from model.spec import RunSpec
from properties.judge import judge
from properties.verdicts import Status
from tests.generators.sales import describe, worlds

ALWAYS, NONE = Persistence.AOF_ALWAYS, Persistence.NONE
BOUNDED = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
KEEPS = (
    "no-overbooking",
    "no-overhold",
    "seat-sold-once",
    "hold-honoured",
    "stock-conserved",
    "charged-once",
    "orders-durable",
    "linearizable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """What breaks an invariant, and the smallest sale in which it does."""

    strategy: str
    invariant: str
    sale: dict[str, Any]


SMALLEST = [
    Smallest(
        strategy="redis-hold-blind",
        invariant="no-overhold",
        sale={
            "tickets": (1, 1),
            "capacity": 1,
            "together": 0,
            "faults": (),
            "persistence": ALWAYS,
        },
    ),
    Smallest(
        strategy="db-cart-naive",
        invariant="linearizable",
        sale={
            "tickets": (1, 1),
            "capacity": 1,
            "together": 1,
            "faults": (),
            "persistence": None,
        },
    ),
    Smallest(
        strategy="redis-hold-recheck",
        invariant="hold-honoured",
        sale={
            "tickets": (1,),
            "capacity": 1,
            "together": 0,
            "faults": ("redis-kill",),
            "persistence": NONE,
        },
    ),
]


@pytest.mark.parametrize("known", SMALLEST, ids=lambda known: known.strategy)
def test_a_defect_comes_down_to_its_smallest_sale(known: Smallest) -> None:
    """Fewest buyers and tickets, no fault in vain, nobody at the same time in vain."""

    def broken(spec: RunSpec) -> bool:
        return judge(simulate(spec).history)[known.invariant].status is Status.VIOLATED

    smallest = find(worlds(known.strategy), broken, settings=BOUNDED)
    assert describe(smallest) == known.sale


@pytest.mark.parametrize(
    "strategy", ["db-cart", "redis-hold-recheck", "redis-counter", "seat-setnx"]
)
def test_good_strategies_keep_everything(strategy: str) -> None:
    """No generated sale breaks a good strategy, faults or not, on a Redis that keeps all."""

    @settings(BOUNDED, max_examples=15)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        spec = data.draw(worlds(strategy, persistences=(ALWAYS,)))
        verdicts = judge(simulate(spec).history)
        broken = {name: verdicts[name] for name in KEEPS if verdicts[name].violations}
        assert not broken, describe(spec)

    check()
