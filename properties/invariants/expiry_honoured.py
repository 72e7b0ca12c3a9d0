"""expiry-honoured: nothing is sold on a hold that had expired."""

from math import inf

from model.history import Outcome
from properties.evidence import Evidence, HoldLife, Sold, ended_s
from properties.telling import life_op_ids, tickets
from properties.verdicts import Invariant, Verdict, Violation, conclude

NAME = "expiry-honoured"


def examine(evidence: Evidence) -> Verdict:
    """Compare each order's payment with its hold's deadline; `examined` counts the comparisons.

    Late is a capture at or after the latest deadline told before the sale plus the clocks' slack
    (`properties.evidence.clock_slack_s`: five standard deviations of the scenario's clock skew, 0.0
    when there is none). Where the capture is not on record, a checkout first asked for after the
    deadline is late as well. No chance: a hold that a request in doubt may have taken anew.
    """
    examined = 0
    violations = []
    for sale in evidence.sold:
        paid_s = _paid_s(sale, evidence)
        deadline_s = None if sale.life is None else _deadline_s(sale.life)
        if deadline_s is None or paid_s is None:
            continue
        examined += 1
        if paid_s >= deadline_s + evidence.slack_s:
            violations.append(_late_sale(sale, paid_s, deadline_s))
    return conclude(
        NAME,
        examined=examined,
        violations=violations,
        nothing="no order whose hold and payment are on record",
    )


def _deadline_s(life: HoldLife) -> float | None:
    """Return the latest deadline told of the hold that was sold, if that is known.

    A request that began when the sale had been acknowledged is about no hold that was sold. One in
    doubt is settled by a later one that is acknowledged; else it may have taken the tickets anew.
    """
    bought = (ended_s(op) for op in life.checkouts if op.outcome is Outcome.OK)
    bought_s = min(bought, default=inf)
    asks = [op for op in life.asks if op.invoked_s <= bought_s]
    told = [op for op in asks if op.outcome is Outcome.OK and op.expires_s is not None]
    settled_s = max((op.invoked_s for op in told), default=-inf)
    if any(op.outcome is Outcome.UNKNOWN and ended_s(op) > settled_s for op in asks):
        return None
    return max((op.expires_s for op in told if op.expires_s is not None), default=None)


def _paid_s(sale: Sold, evidence: Evidence) -> float | None:
    """Return the capture, or else the first checkout that may have led to it."""
    if sale.life is None:
        return None
    tries = [op for op in sale.life.checkouts if op.outcome is not Outcome.NOT_APPLIED]
    captured = [
        evidence.captured_at[key]
        for key in (sale.key, *(op.key for op in tries))
        if key in evidence.captured_at
    ]
    if captured:
        return captured[0]
    invoked_s = min((op.invoked_s for op in tries), default=inf)
    return None if invoked_s == inf else invoked_s


def _late_sale(sale: Sold, paid_s: float, deadline_s: float) -> Violation:
    life = sale.life
    assert life is not None  # a sale without a known hold is not examined
    return Violation(
        invariant=NAME,
        message=(
            f"{sale.owner}'s hold had ended at {deadline_s:.1f} s; the payment came "
            f"{paid_s - deadline_s:.1f} s later and {sale.label} over {tickets(sale.quantity)} "
            "was made all the same"
        ),
        at_s=max(paid_s, sale.at_s),
        op_ids=life_op_ids([life]),
        actors=(sale.owner,),
        amount=sale.quantity,
    )


INVARIANT = Invariant(
    name=NAME, summary="nothing is sold on a hold that had expired", examine=examine
)
