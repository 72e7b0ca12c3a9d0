"""seat-sold-once: one owner per seat."""

from collections import defaultdict

from properties.evidence import Evidence, Sold
from properties.telling import sale_actors, sale_op_ids
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "seat-sold-once"


def examine(evidence: Evidence) -> Verdict:
    """Look for seats with two orders; `examined` counts the seats sold.

    As for `no-overbooking`, an acknowledged order counts even when its row is missing.
    """
    owners: dict[tuple[int, str], list[Sold]] = defaultdict(list)
    for sale in evidence.sold:
        for seat in sale.seats:
            owners[sale.event_id, seat].append(sale)
    violations = [
        _sold_twice(event_id, seat, sales)
        for (event_id, seat), sales in owners.items()
        if len(sales) > 1
    ]
    if not violations and evidence.audit is None:
        return inconclusive(NAME, NO_AUDIT, examined=len(owners))
    asked = any(op.seats for op in evidence.operations)
    return conclude(
        NAME,
        examined=len(owners),
        violations=violations,
        nothing="no seat was sold" if asked else "no seats in this sale",
    )


def _sold_twice(event_id: int, seat: str, sales: list[Sold]) -> Violation:
    owners = sale_actors(sales)
    orders = " and ".join(f"{sale.label} of {sale.owner}" for sale in sales)
    return Violation(
        invariant=NAME,
        message=f"seat {seat} of event {event_id} was sold {len(sales)} times: {orders}",
        at_s=sales[1].at_s,
        op_ids=sale_op_ids(sales),
        actors=owners,
        amount=len(sales) - 1,
    )


INVARIANT = Invariant(name=NAME, summary="one owner per seat", examine=examine)
