"""Defects that the real PostgreSQL showed and the simulated SQLite cannot have."""

import pytest

from model.history import Outcome
from model.run import simulate
from model.spec import RunSpec
from tests.anomalies.trial import hostile

pytest.importorskip("psycopg", reason="no psycopg: pip install 'holdfast[postgres]'")


def test_two_carts_of_one_event_do_not_deadlock() -> None:
    """`db-cart-row-lock` locked the event's key, which each new cart shares: a deadlock a pair."""
    result = simulate(
        RunSpec(
            scenario=hostile(arrivals={"buyers": 4, "opening_s": 0.001}),
            strategy="db-cart-row-lock",
            seed=1,
            database="postgres",
        )
    )
    assert result.metrics["db_lock_waits_per_buyer"] > 0.0, "they must have met"
    assert result.metrics["db_deadlocks"] == 0.0
    holds = [op for op in result.history.operations if op.kind == "hold"]
    assert not [op for op in holds if op.outcome is Outcome.NOT_APPLIED]
