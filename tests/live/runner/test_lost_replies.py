"""Replies that are lost after their effect: on real connections, to the real client libraries."""

import pytest

from model.history import Outcome
from model.live.run import Arm
from model.scenario import Plan, Sale, Scenario, Servers
from tests.live.runner.sales import hold_sale, plan, prompt


def losing(crossing: str, operation: str) -> Plan:
    """The first such reply is lost, and only that one."""
    return plan(
        "lost-replies",
        crossing=crossing,
        operation=operation,
        actor="buyer",
        settings={
            "probability": 1.0,
            "duration_s": 0.001,
            "target": crossing.split(maxsplit=1)[0],
        },
    )


# The thread stands still before its COMMIT leaves; when it goes on, the proxy resets the connection
# as soon as an answer comes: the effect has happened by then.
CUT = plan(
    "db-reset",
    crossing="database request COMMIT",
    operation="checkout",
    actor="buyer",
    settings={"duration_s": 3.0},
)
COMMIT = losing("database reply COMMIT", "checkout")
TAKEN = losing("redis reply", "hold")


def scenario(retries: int = 0, **plans: Plan) -> Scenario:
    """A prompt sale without a rush on the stock, so that every hold is granted."""
    tier = Servers(workers=40, database_pool=8, redis_pool=8, redis_retries=retries)
    return prompt(plans, servers=tier, sale=Sale(capacity=60))


@pytest.mark.parametrize(("idempotency", "status"), [("unique", "holds"), ("none", "violated")])
def test_a_checkout_whose_commit_is_in_doubt_sells_once(
    arm: Arm, idempotency: str, status: str
) -> None:
    """The order is there, its COMMIT's answer is not: the retried checkout gives that order.

    The positive control forgets the idempotency key, and sells twice.
    """
    entry = COMMIT.faults[0].model_copy(update={"crossing": "database reply COMMIT"})
    third = entry.model_copy(update={"occurrence": 2})  # the first notes the payment as pending
    told = hold_sale(
        arm,
        "redis-hold-recheck",
        scenario(commit=Plan(faults=(third,))),
        "commit",
        options={"idempotency": idempotency, "payment_intent": False},
    )
    assert [span.detail for span in told.history.faults if span.struck], told.history.faults
    assert told.assessment.witnesses["retry-after-unknown"] > 0
    assert told.says("charged-once") == status, told.assessment.verdicts["charged-once"]


@pytest.mark.toxiproxy
def test_a_checkout_whose_commit_the_proxy_cuts_sells_once(arm: Arm, toxiproxy: None) -> None:
    """Toxiproxy resets the connection on the COMMIT's answer: asked again, there is one order."""
    told = hold_sale(
        arm,
        "redis-hold-recheck",
        scenario(cut=CUT),
        "cut",
        options={"payment_intent": False},
    )
    history = told.history
    victim = history.faults[0].detail.rsplit("by ", 1)[1]
    tries = [op for op in history.operations if op.actor == victim and op.kind == "checkout"]
    outcomes = [op.outcome for op in tries]  # between them the proxy may still be cutting
    assert (outcomes[0], outcomes[-1]) == (Outcome.UNKNOWN, Outcome.OK), tries
    assert "no answer to the commit" in tries[0].reason
    assert history.audit is not None
    assert sum(row.key == tries[0].key for row in history.audit.orders) == 1
    assert told.says("charged-once") == "holds"


@pytest.mark.parametrize("retries", [0, 10])
@pytest.mark.parametrize(
    ("options", "leaked"),
    [({"script": "two-steps", "request_id": False}, True), ({}, False)],
    ids=["naive", "idempotent"],
)
def test_a_resent_deduction_counts_twice_only_in_the_naive_counter(
    arm: Arm, retries: int, options: dict[str, object], *, leaked: bool
) -> None:
    """The deduction was applied and its answer lost: asked again, it is done again.

    Whoever asks again (redis-py itself, or the buyer), unless the script knows the hold.
    """
    label = "redis reply DECRBY" if leaked else "redis reply EVALSHA"
    told = hold_sale(
        arm,
        "redis-counter",
        scenario(retries, taken=losing(label, "hold")),
        "taken",
        options=dict(options),
    )
    assert [span.detail for span in told.history.faults if span.struck], told.history.faults
    lost = told.number("leaked_tickets")
    assert (lost > 0) is leaked, told.assessment.verdicts["no-leak"]
    victim = told.history.faults[0].detail.rsplit("by ", 1)[1]
    first = next(op for op in told.history.operations if op.actor == victim)
    # Where redis-py may ask again, the buyer never learns that a reply was lost.
    assert first.outcome is (Outcome.OK if retries else Outcome.UNKNOWN), first
