"""Application servers are real processes: what their deaths and pauses leave behind."""

import pytest

from chaos.persistence import Persistence
from model.history import Outcome
from model.live.run import Arm
from model.scenario import Plan, Servers
from tests.live.runner.sales import hold_sale, hostile, plan, prompt

DIES_AFTER_COMMIT = plan(
    "app-kill", crossing="database reply COMMIT", operation="checkout", actor="buyer"
)
DIES_BEFORE_COMMIT = plan(
    "app-kill", crossing="database request COMMIT", operation="checkout", actor="buyer"
)


def died(plan_: Plan, arm: Arm) -> tuple[int, int, str]:
    """Kill a server at that crossing: orders of the key, tries of the key, charged-once."""
    told = hold_sale(
        arm,
        "redis-hold-recheck",
        prompt({"dies": plan_}),
        "dies",
        options={"payment_intent": False},
    )
    history = told.history
    assert history.faults[0].detail.startswith("app-"), history.faults
    dead = [
        op
        for op in history.operations
        if op.outcome is Outcome.UNKNOWN and op.reason == "the application server died"
    ]
    buyer = history.faults[0].detail.rsplit("by ", 1)[1]
    victim = next(op for op in dead if op.actor == buyer and op.kind == "checkout")
    assert history.audit is not None
    orders = [row for row in history.audit.orders if row.key == victim.key]
    tries = [op for op in history.operations if op.key == victim.key]
    first_end_s = victim.completed_s or 0.0
    assert all(op.invoked_s >= first_end_s for op in tries if op is not victim)
    return len(orders), len(tries), told.says("charged-once")


def test_a_server_that_dies_after_its_commit_has_sold(arm: Arm) -> None:
    """SIGKILL after a COMMIT and before its answer: the order is there, and a repeat gets it."""
    orders, tries, charged = died(DIES_AFTER_COMMIT, arm)
    assert (orders, charged) == (1, "holds")
    assert tries > 1


def test_a_server_that_dies_before_its_commit_has_not(arm: Arm) -> None:
    """SIGKILL just before the COMMIT is sent: PostgreSQL rolls back, and the repeat sells."""
    orders, tries, charged = died(DIES_BEFORE_COMMIT, arm)
    assert (orders, charged) == (1, "holds")
    assert tries > 1


def test_a_payment_that_outlives_its_server_is_nobody_elses(arm: Arm) -> None:
    """A dead server's answers went to its successor, to whoever had asked as many questions."""
    told = hold_sale(
        arm,
        "redis-hold-recheck",
        hostile(
            {"dies": plan("app-kill", at_s=20.0)},
            servers=Servers(count=1, workers=40, database_pool=8, redis_pool=8),
        ),
        "dies",
        persistence=Persistence.AOF_ALWAYS,
    )
    assert told.history.audit is not None
    captured = {row.key for row in told.history.audit.payments if row.captured_s is not None}
    sold = {row.key for row in told.history.audit.orders}
    assert sold
    assert sold <= captured
    assert told.says("charged-once") == "holds", told.assessment.verdicts["charged-once"]


@pytest.mark.parametrize(("give_back", "leaks"), [("split", True), ("atomic", False)])
def test_a_sweeper_that_dies_before_giving_back(arm: Arm, give_back: str, *, leaks: bool) -> None:
    """A12 on real servers: only a give-back in two transactions loses the tickets between them."""
    dies = plan("app-kill", crossing="database request UPDATE events", operation="sweep")
    leavers = prompt().buyers.model_copy(update={"abandon": 0.8})
    scenario = prompt({"dies": dies}, buyers=leavers)
    told = hold_sale(
        arm, "db-cart", scenario, "dies", persistence=None, options={"give_back": give_back}
    )
    assert told.history.faults, "no sweeper gave anything back"
    assert (told.number("leaked_tickets") > 0) is leaks
    assert told.says("no-leak") == ("violated" if leaks else "holds") or not leaks


def test_a_paused_server_answers_when_it_goes_on(arm: Arm) -> None:
    """SIGSTOP amid a hold, SIGCONT later: it is answered late, and nothing is lost."""
    pause = plan(
        "app-pause",
        crossing="redis request EVALSHA",
        operation="hold",
        actor="buyer",
        settings={"duration_s": 6.0},
    )
    told = hold_sale(arm, "redis-hold", prompt({"pause": pause}), "pause")
    (span,) = told.history.faults
    actor = span.detail.rsplit("by ", 1)[1]
    stopped = next(op for op in told.history.operations if op.actor == actor)
    assert stopped.completed_s is not None
    assert stopped.invoked_s <= span.started_s
    assert stopped.completed_s >= span.started_s + 6.0
    assert stopped.outcome in {Outcome.OK, Outcome.REFUSED}, stopped
    assert told.number("leaked_tickets") == told.number("over_returned_tickets") == 0
