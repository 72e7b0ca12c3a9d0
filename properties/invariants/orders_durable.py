"""orders-durable: an acknowledged order is never lost."""

from model.history import Operation, OrderRow, Outcome
from properties.evidence import Evidence, ended_s, matching_row
from properties.telling import life_op_ids, tickets
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "orders-durable"


def examine(evidence: Evidence) -> Verdict:
    """Look every acknowledged order up in the audit; `examined` counts them, once per key."""
    if evidence.audit is None:
        return inconclusive(NAME, NO_AUDIT)
    acknowledged: dict[tuple[str, str], Operation] = {}
    for op in evidence.operations:
        if op.kind == "checkout" and op.outcome is Outcome.OK:
            acknowledged.setdefault((op.hold_id, op.key), op)
    violations = []
    for op in acknowledged.values():
        problem = _problem(op, matching_row(op, evidence))
        if problem:
            violations.append(_lost(op, problem, evidence))
    return conclude(
        NAME,
        examined=len(acknowledged),
        violations=violations,
        nothing="no order was acknowledged",
    )


def _problem(op: Operation, row: OrderRow | None) -> str:
    if row is None:
        return "is not in the database at the end"
    if op.quantity and row.quantity != op.quantity:
        return f"over {tickets(op.quantity)} has {row.quantity} at the end"
    if op.seats and set(row.seats) != set(op.seats):
        return f"for seats {', '.join(op.seats)} has {', '.join(row.seats) or 'none'} at the end"
    return ""


def _lost(op: Operation, problem: str, evidence: Evidence) -> Violation:
    life = evidence.lives[op.hold_id]
    order = f"order {op.order_id}" if op.order_id is not None else f"the order of key {op.key!r}"
    return Violation(
        invariant=NAME,
        message=f"{order}, acknowledged to {op.actor} at {ended_s(op):.1f} s, {problem}",
        at_s=ended_s(op),
        op_ids=life_op_ids([life]),
        actors=(op.actor,),
        amount=op.quantity or (life.granted.quantity if life.granted else 1),
    )


INVARIANT = Invariant(name=NAME, summary="an acknowledged order is never lost", examine=examine)
