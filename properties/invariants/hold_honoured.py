"""hold-honoured: an acknowledged hold, paid in time, becomes an order.

Its breach is a *broken promise*. Paid in time means that the payment was captured before the
deadline the buyer had last been told when asking for the checkout, less the clocks' slack
(`properties.evidence.clock_slack_s`). A checkout refused before its capture was in time if the
refusal itself came before that deadline.
"""

from math import inf

from model.history import Operation, Outcome
from properties.evidence import Evidence, HoldLife, answered, ended_s
from properties.telling import life_op_ids, tickets
from properties.verdicts import Invariant, Verdict, Violation, conclude

NAME = "hold-honoured"
BROKEN_BY = frozenset({"OrderRefused", "HoldExpired", "SoldOut"})


def examine(evidence: Evidence) -> Verdict:
    """Judge each acknowledged hold once; `examined` counts those paid in time with a known end.

    No chance: a hold its owner gave back first, a declined payment, a payment that came too late,
    and a checkout that never got a definite answer unless its order exists.
    """
    examined = 0
    violations = []
    for life in evidence.granted:
        if not life.checkouts:
            continue
        broken = _taken_back(life) or _refused_in_time(life, evidence)
        if broken is not None:
            violations.append(_broken_promise(life, broken, evidence))
            examined += 1
        elif _kept_in_time(life, evidence):
            examined += 1
    return conclude(
        NAME,
        examined=examined,
        violations=violations,
        nothing="no acknowledged hold was paid in time",
    )


def _answers(life: HoldLife) -> list[Operation]:
    """Return the definite answers to its checkouts, in the order in which they came."""
    return sorted(
        (op for op in life.checkouts if answered(op)), key=lambda op: (ended_s(op), op.op_id)
    )


def _taken_back(life: HoldLife) -> Operation | None:
    """Find a refusal of a key that was acknowledged before: a breach whenever it comes.

    One that began before the yes may be about the hold as it was before it was asked for again.
    """
    told_yes: dict[str, float] = {}
    for op in _answers(life):
        yes_s = told_yes.get(op.key)
        if op.outcome is Outcome.OK:
            told_yes.setdefault(op.key, ended_s(op))
        elif yes_s is not None and not _asked_between(life, op.invoked_s, yes_s):
            return op
    return None


def _asked_between(life: HoldLife, from_s: float, until_s: float) -> bool:
    """Say whether the hold may have been taken anew in a span of time."""
    return any(
        op.outcome is Outcome.UNKNOWN or (op.outcome is Outcome.OK and ended_s(op) >= from_s)
        for op in life.asks
        if op is not life.granted and from_s < until_s and op.invoked_s <= until_s
    )


def _refused_in_time(life: HoldLife, evidence: Evidence) -> Operation | None:
    """Find the last answer if it refused a payment that was in time."""
    given = _answers(life)
    if not given or any(op.outcome is Outcome.OK for op in given):
        return None
    last = given[-1]
    if last.reason not in BROKEN_BY or _given_back_s(life, last) < ended_s(last):
        return None
    return last if _in_time(last, life, evidence) else None


def _given_back_s(life: HoldLife, checkout: Operation) -> float:
    """Return when a give-back began of the hold as it was last acknowledged before a checkout.

    Before the first acknowledgement there is no promise to keep.
    """
    terms = [term for term in life.terms() if ended_s(term.granted) <= checkout.invoked_s]
    return terms[-1].released_s if terms else -inf


def _kept_in_time(life: HoldLife, evidence: Evidence) -> bool:
    """Say whether a payment in time got its order, told to the buyer or found in the audit."""
    given = _answers(life)
    bought = [op for op in given if op.outcome is Outcome.OK]
    if not given and life.ordered:
        bought = [op for op in life.checkouts if op.outcome is Outcome.UNKNOWN]
    return any(_in_time(op, life, evidence) for op in bought)


def _in_time(op: Operation, life: HoldLife, evidence: Evidence) -> bool:
    deadline_s = life.told_deadline_s(op.invoked_s)
    return _paid_s(op, evidence) < deadline_s - evidence.slack_s


def _paid_s(op: Operation, evidence: Evidence) -> float:
    """Return when its payment was captured, or else when it was answered."""
    return evidence.captured_at.get(op.key, ended_s(op))


def _broken_promise(life: HoldLife, refusal: Operation, evidence: Evidence) -> Violation:
    granted = life.granted
    assert granted is not None  # only acknowledged holds are promises
    captured_s = evidence.captured_at.get(refusal.key)
    deadline_s = life.told_deadline_s(refusal.invoked_s)
    paid = "tried to pay" if captured_s is None else f"paid at {captured_s:.1f} s"
    message = (
        f"{life.actor} held {tickets(granted.quantity)} until {deadline_s:.1f} s, {paid} and "
        f"was refused at {ended_s(refusal):.1f} s ({refusal.reason or 'no reason given'})"
    )
    if life.rows:
        message += f", although order {life.rows[0].order_id} exists"
    elif life.ordered:
        message += ", after the order had been acknowledged"
    return Violation(
        invariant=NAME,
        message=message,
        at_s=ended_s(refusal),
        op_ids=life_op_ids([life]),
        actors=(life.actor,),
        amount=granted.quantity,
    )


INVARIANT = Invariant(
    name=NAME,
    summary="an acknowledged hold, paid in time, becomes an order",
    examine=examine,
)
