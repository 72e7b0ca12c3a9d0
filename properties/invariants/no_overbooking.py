"""no-overbooking: paid tickets never exceed capacity."""

from properties.evidence import Evidence, Sold
from properties.telling import sale_actors, sale_op_ids, tickets
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "no-overbooking"
STORY_SALES = 4  # orders told per violation: the one that crossed the line and those just before


def examine(evidence: Evidence) -> Verdict:
    """Add up each event's tickets; `examined` counts the orders.

    Sold is what the audit's order rows say, plus acknowledged orders that have no row: their buyers
    hold a confirmation all the same. Without an audit, acknowledged orders can prove a breach but
    not its absence.
    """
    violations = [
        violation
        for event_id, capacity in evidence.capacity.items()
        if (violation := _overbooked(event_id, capacity, evidence)) is not None
    ]
    if not violations and evidence.audit is None:
        return inconclusive(NAME, NO_AUDIT, examined=len(evidence.sold))
    return conclude(
        NAME, examined=len(evidence.sold), violations=violations, nothing="no ticket was sold"
    )


def _overbooked(event_id: int, capacity: int, evidence: Evidence) -> Violation | None:
    sold = 0
    crossing: int | None = None
    sales = [sale for sale in evidence.sold if sale.event_id == event_id]
    for index, sale in enumerate(sales):
        sold += sale.quantity
        if sold > capacity and crossing is None:
            crossing = index
    if crossing is None:
        return None
    last = sales[crossing]
    told = _story(sales[: crossing + 1])
    return Violation(
        invariant=NAME,
        message=(
            f"event {event_id} sold {tickets(sold)} of {capacity}, {sold - capacity} too many; "
            f"{last.owner}'s {last.label} over {last.quantity} crossed the line "
            f"at {last.at_s:.1f} s"
        ),
        at_s=last.at_s,
        op_ids=sale_op_ids(told),
        actors=sale_actors(told),
        amount=sold - capacity,
    )


def _story(sales: list[Sold]) -> list[Sold]:
    """Pick the crossing sale and the latest ones whose hold was open in the same time.

    Two buyers who held the same ticket are what an overbooking is made of; sales that were over
    before the crossing one began explain nothing.
    """
    crossing = sales[-1]
    begun = crossing.life.granted if crossing.life else None
    since_s = begun.invoked_s if begun else crossing.at_s
    together = [sale for sale in sales if sale.at_s >= since_s]
    return together[-STORY_SALES:]


INVARIANT = Invariant(name=NAME, summary="paid tickets never exceed capacity", examine=examine)
