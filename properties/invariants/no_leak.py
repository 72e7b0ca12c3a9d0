"""no-leak: unsold stock becomes sellable again within a bound after its hold ends."""

from model.history import Operation, Outcome, StockRow
from properties.evidence import Evidence, ended_s
from properties.telling import in_order, tickets
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "no-leak"
STORY_OPERATIONS = 6


def examine(evidence: Evidence) -> Verdict:
    """Look for unsold tickets nobody can buy; `examined` counts holds that ended without an order.

    Judged only when every hold, also one whose answer was lost, has ended by more than the bound
    before the audit. An overbooked event has no unsold stock and cannot leak.
    """
    audit = evidence.audit
    if audit is None:
        return inconclusive(NAME, NO_AUDIT)
    ended = [life for life in evidence.granted if not life.ordered]
    due_s = settled_s(evidence)
    if audit.at_s < due_s:
        return inconclusive(
            NAME,
            f"audited at {audit.at_s:.1f} s, {due_s - audit.at_s:.1f} s before the last hold's "
            f"end plus the bound of {evidence.history.sweep_bound_s:.1f} s",
            examined=len(ended),
        )
    return conclude(
        NAME,
        examined=len(ended),
        violations=[_leak(row, evidence) for row in audit.stock if leaked(row, evidence) > 0],
        nothing="every acknowledged hold became an order",
    )


def settled_s(evidence: Evidence) -> float:
    """Return when the last hold's stock must be sellable again, in seconds.

    A hold whose answer was lost may live for one TTL from when its call ended.
    """
    ttl_s = evidence.history.ttl_s
    ends_s = [life.last_deadline_s for life in evidence.granted]
    ends_s.extend(
        (op.invoked_s if op.completed_s is None else op.completed_s) + ttl_s
        for op in evidence.operations
        if op.kind == "hold" and op.outcome is Outcome.UNKNOWN
    )
    return max(ends_s, default=0.0) + evidence.history.sweep_bound_s


def leaked(row: StockRow, evidence: Evidence) -> int:
    """Count the event's tickets that are neither sold nor sellable; never below zero."""
    return max(0, row.capacity - evidence.sold_tickets(row.event_id) - row.sellable)


def _leak(row: StockRow, evidence: Evidence) -> Violation:
    told = _suspects(row.event_id, evidence)
    lost = leaked(row, evidence)
    waited_s = evidence.end_s - settled_s(evidence) + evidence.history.sweep_bound_s
    return Violation(
        invariant=NAME,
        message=(
            f"{tickets(lost, 'unsold')} of event {row.event_id} cannot be sold {waited_s:.1f} s "
            f"after the last hold ended (bound {evidence.history.sweep_bound_s:.1f} s): of "
            f"{row.capacity}, {evidence.sold_tickets(row.event_id)} are sold, {row.sellable} "
            f"sellable, {row.held} still held"
        ),
        at_s=evidence.end_s,
        op_ids=in_order(told),
        actors=tuple(dict.fromkeys(op.actor for op in told)),
        amount=lost,
    )


def _suspects(event_id: int, evidence: Evidence) -> list[Operation]:
    """Name who may have lost them: give-backs left in doubt, else the last holds not bought."""
    doubtful = [
        op
        for op in evidence.operations
        if op.outcome is Outcome.UNKNOWN and op.event_id == event_id and op.kind != "checkout"
    ]
    if doubtful:
        return doubtful[-STORY_OPERATIONS:]
    unsold = [
        life.granted
        for life in evidence.granted
        if life.granted and life.granted.event_id == event_id and not life.ordered
    ]
    return sorted(unsold, key=lambda op: (ended_s(op), op.op_id))[-STORY_OPERATIONS:]


INVARIANT = Invariant(
    name=NAME,
    summary="unsold stock becomes sellable again within a bound after its hold ends",
    examine=examine,
)
