"""Judging: witnesses, damage, crashes, and independence from the order of the record."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.history import FaultSpan, History
from properties import judge as judge_module
from properties.assessment import assess
from properties.evidence import Evidence
from properties.judge import INVARIANTS, judge
from properties.metrics import measure
from properties.sometimes import NEEDS, NEEDS_UNDER_FAULT, WITNESSES, witnesses
from properties.verdicts import Invariant, Status, Verdict
from tests.properties.recordings import RECORDINGS
from tests.properties.sales import Sale


@pytest.mark.parametrize("name", list(RECORDINGS))
@given(seed=st.integers(0, 2**32))
def test_verdicts_do_not_depend_on_the_order_of_the_record(name: str, seed: int) -> None:
    """Shuffled operations, faults, orders and payments get equal verdicts, violations included."""
    history = RECORDINGS[name]()
    shuffle = random.Random(seed).shuffle
    shuffled = replace(history, operations=[*history.operations], faults=[*history.faults])
    shuffle(shuffled.operations)
    shuffle(shuffled.faults)
    if history.audit:
        orders, payments = [*history.audit.orders], [*history.audit.payments]
        shuffle(orders)
        shuffle(payments)
        shuffled.audit = replace(history.audit, orders=tuple(orders), payments=tuple(payments))
    assert judge(shuffled) == judge(history)
    assert witnesses(shuffled) == witnesses(history)


def test_a_history_is_judged_without_being_changed() -> None:
    """Judging twice says the same, and leaves the history equal to a fresh one."""
    history = RECORDINGS["good-everything"]()
    assert judge(history) == judge(history)
    assert history == RECORDINGS["good-everything"]()


@pytest.mark.parametrize("name", list(INVARIANTS))
def test_a_crashing_checker_is_inconclusive_and_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checker that raises gives INCONCLUSIVE with the exception; the others still judge."""

    def crash(evidence: Evidence) -> Verdict:
        raise ZeroDivisionError("seven by nought")

    broken = Invariant(name=name, summary="", examine=crash)
    monkeypatch.setitem(judge_module.INVARIANTS, name, broken)
    judged = judge(RECORDINGS["good-everything"]())
    assert judged[name].status is Status.INCONCLUSIVE
    assert "ZeroDivisionError: seven by nought" in judged[name].reason
    others = [verdict.status for other, verdict in judged.items() if other != name]
    assert others == [Status.HOLDS] * (len(INVARIANTS) - 1)


def test_an_event_without_capacity_leaves_everything_open() -> None:
    """An operation about an unknown event is named, with the events that are known."""
    sale = Sale()
    sale.hold("ann", 1.0, event_id=7)
    judged = judge(sale.ended())
    assert {verdict.status for verdict in judged.values()} == {Status.INCONCLUSIVE}
    assert "event 7, whose capacity the history does not give; it gives events [1]" in (
        judged["no-overbooking"].reason
    )
    assert assess(sale.ended()).verdicts == judged


def test_damage_forbids_holds_and_keeps_violations() -> None:
    """A damaged history never passes; what is violated in the rest stays violated."""
    good, bad = RECORDINGS["good-everything"](), RECORDINGS["bad-lost-hold-sold-twice"]()
    for history in (good, bad):
        history.problems = ["line 17: is cut in the middle"]
    assert {verdict.status for verdict in judge(good).values()} == {Status.INCONCLUSIVE}
    violated = judge(bad)["no-overbooking"]
    assert violated.status is Status.VIOLATED
    assert "line 17" in violated.reason


@pytest.mark.parametrize("name", list(INVARIANTS))
def test_a_fault_run_without_its_fault_proves_nothing(name: str) -> None:
    """The good history of a fault plan is INCONCLUSIVE once its fault span is taken out."""
    history = RECORDINGS["good-everything"]()
    assert judge(history)[name].status is Status.HOLDS
    history.faults = []
    verdict = judge(history)[name]
    assert verdict.status is Status.INCONCLUSIVE
    assert "fault-struck" in verdict.reason
    assert verdict.examined > 0


@pytest.mark.parametrize("name", list(INVARIANTS))
def test_a_plan_is_tested_only_when_each_of_its_faults_struck(name: str) -> None:
    """Two faults were planned: one that found nothing to break leaves the plan untested."""
    history = RECORDINGS["good-everything"]()
    (struck,) = history.faults
    history.meta["planned_faults"] = [struck.fault, "slow fsync"]
    idle = FaultSpan(fault="slow fsync", started_s=1.0, ended_s=2.0, struck=False)
    history.faults = [idle, struck]
    verdict = judge(history)[name]
    assert verdict.status is Status.INCONCLUSIVE
    assert "slow fsync (planned, and had nothing to strike)" in verdict.reason
    history.faults = [replace(idle, struck=True), struck]
    assert judge(history)[name].status is Status.HOLDS


def test_a_violation_stands_without_its_witness() -> None:
    """A plan that never struck does not excuse an overbooking."""
    history = RECORDINGS["bad-lost-hold-sold-twice"]()
    history.faults = []
    assert judge(history)["no-overbooking"].status is Status.VIOLATED


@pytest.mark.parametrize(
    ("meta", "struck_at_s", "status"),
    [
        ({}, 100.0, Status.HOLDS),
        ({"arm": "live"}, 100.0, Status.INCONCLUSIVE),
        ({"arm": "live"}, 5.0, Status.HOLDS),
    ],
    ids=["simulated", "live, too late", "live, while paying"],
)
def test_a_live_run_counts_only_if_its_fault_landed_where_it_hurts(
    meta: dict[str, str], struck_at_s: float, status: Status
) -> None:
    """On real servers a fault beside every hold and payment proves nothing, for any invariant."""
    sale = Sale(capacity=2, plan="redis-kill", meta=meta)
    sale.hold("ann", 1.0)
    sale.strike("redis-kill", struck_at_s, struck_at_s + 1.0)
    sale.pay("ann", 10.0)
    sale.hold("bob", 200.0)
    sale.release("bob", 210.0)
    verdicts = judge(sale.ended())
    for invariant in ("charged-once", "stock-conserved", "no-leak"):
        assert verdicts[invariant].status is status, verdicts[invariant]


def _history_without(witness: str) -> History:
    """Tell a good sale in which everything but `witness` could be seen."""
    sale = Sale(capacity=2, plan="redis-kill" if witness.startswith("fault") else "none")
    if witness == "demand-over-capacity":
        sale.capacity = 3
    sale.hold("ann", 1.0)
    if witness == "fault-after-order":
        sale.strike("redis-kill", 5.0, 6.0)
    sale.pay("ann", 10.0)
    if witness == "fault-between-hold-and-payment":
        sale.strike("redis-kill", 100.0, 101.0)
    if witness != "hold-ended-unsold":
        sale.hold("bob", 200.0)
        sale.release("bob", 210.0)
    if witness == "seat-contended":
        for op in sale.operations[:2]:
            op.seats = ("A1",)
        sale.orders[0] = replace(sale.orders[0], seats=("A1",))
    return sale.ended()


@pytest.mark.parametrize(
    ("name", "witness"),
    [
        ("no-overbooking", "demand-over-capacity"),
        ("no-overhold", "demand-over-capacity"),
        ("seat-sold-once", "seat-contended"),
        ("expiry-honoured", "expired-during-payment"),
        ("hold-honoured", "fault-between-hold-and-payment"),
        ("orders-durable", "fault-after-order"),
    ],
)
def test_holds_without_its_witness_is_inconclusive(name: str, witness: str) -> None:
    """A checker that found nothing wrong is overruled by name when the chance never came."""
    history = _history_without(witness)
    assert INVARIANTS[name].check(history).status is Status.HOLDS
    assert witnesses(history)[witness] == 0
    verdict = judge(history)[name]
    assert verdict.status is Status.INCONCLUSIVE
    assert witness in verdict.reason


def test_no_leak_is_open_when_every_hold_was_bought() -> None:
    """Nothing can leak where no hold ended unsold."""
    assert judge(_history_without("hold-ended-unsold"))["no-leak"].status is Status.INCONCLUSIVE


def test_needs_name_known_invariants_and_witnesses() -> None:
    """The tables of needs cover every invariant and name only witnesses that are counted."""
    assert list(NEEDS) == list(INVARIANTS) == list(NEEDS_UNDER_FAULT)
    for needs in (*NEEDS.values(), *NEEDS_UNDER_FAULT.values()):
        assert set(needs) <= set(WITNESSES)


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_assess_says_what_the_three_say(name: str) -> None:
    """`assess` is `judge`, `measure` and `witnesses` in one pass."""
    history = RECORDINGS[name]()
    assessed = assess(history)
    assert assessed.verdicts == judge(history)
    assert assessed.metrics == measure(history)
    assert assessed.witnesses == witnesses(history)


def test_a_fault_span_counts_even_when_meta_names_no_plan() -> None:
    """Live histories may carry spans without a plan; they are judged as they are."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.faults.append(FaultSpan(fault="redis-kill", started_s=2.0, ended_s=3.0))
    history = sale.ended()
    del history.meta["fault"]
    assert witnesses(history)["fault-struck"] == 1
    assert judge(history)["stock-conserved"].status is Status.HOLDS
