"""Defects that exploration found, each as the schedule that shows it."""

from model.exploring.small_world import SmallWorld
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Search
from properties.exploration.shrinking import repaired
from properties.judge import judge
from properties.verdicts import Status

SWEPT_BEFORE_THE_COMMIT = (
    *["A"] * 12,  # hold, verify, pay, and all of the order but its commit
    *["S1"] * 3,  # a sweeper begins
    "expire",
    *["S1"] * 4,  # finds the hold ended and unsold, and gives it back
    "A!lost",  # now the commit happens, and its reply is lost
    *["A"] * 5,  # the buyer asks again and learns of the order
)


def test_a_ticket_is_not_given_back_and_sold() -> None:
    """redis-counter: a repeated checkout did not take out what a reaper had given back."""
    small = SmallWorld(
        strategy="redis-counter",
        visits=("pay",),
        happenings={"lost-reply": 1, "expire": 1, "sweep": 1},
    )
    executions = Executions(small, reduce=False)
    world = repaired(executions, SWEPT_BEFORE_THE_COMMIT)
    taken = [turn.choice for turn in world.turns]
    history = world.settle()
    executions.close()
    sweep = next(op for op in history.operations if op.kind == "sweep")
    assert sweep.returned == 1  # the reaper did give it back
    assert "A!lost" in taken
    assert history.audit is not None
    assert len(history.audit.orders) == 1
    assert judge(history)["stock-conserved"].status is Status.HOLDS


def test_a_sold_hold_takes_no_more_tickets() -> None:
    """redis-counter: a late copy of a request took a second ticket, and no reaper gave it back."""
    small = SmallWorld(strategy="redis-counter", visits=("pay>again", "leave"), capacity=2)
    found = Search(small, histories=True).run()
    assert found.complete
    assert not found.breaches
    assert found.seen["order-made"]
    assert not found.seen["refused-sold-out"]
