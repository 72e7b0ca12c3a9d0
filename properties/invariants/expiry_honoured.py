"""expiry-honoured: nothing is sold on a hold that had expired."""

from math import inf

from model.history import Outcome
from properties.evidence import Evidence, Sold
from properties.telling import life_op_ids, tickets
from properties.verdicts import Invariant, Verdict, Violation, conclude

NAME = "expiry-honoured"


def examine(evidence: Evidence) -> Verdict:
    """Compare each order's payment with its hold's deadline; `examined` counts the comparisons.

    Late is a capture at or after the latest deadline told plus the clocks' slack
    (`properties.evidence.clock_slack_s`: five standard deviations of the scenario's clock skew, 0.0
    when there is none). Where the capture is not on record, a checkout first asked for after the
    deadline is late as well.
    """
    examined = 0
    violations = []
    for sale in evidence.sold:
        paid_s = _paid_s(sale, evidence)
        if sale.life is None or sale.life.granted is None or paid_s is None:
            continue
        examined += 1
        if paid_s >= sale.life.last_deadline_s + evidence.slack_s:
            violations.append(_late_sale(sale, paid_s, sale.life.last_deadline_s))
    return conclude(
        NAME,
        examined=examined,
        violations=violations,
        nothing="no order whose hold and payment are on record",
    )


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
