"""Claims that are no invariant of the design's table, for the anomalies that break only them.

`told_longer_than` is about hoarding (A17): the invariants take each deadline as it was told.
`falsely_sold_out` is about buyers turned away in front of free tickets (B29, B30): a refusal is a
definite answer, and what is kept for nobody comes back when its TTL ends.
`turned_away` is about buyers sent off without an answer while tickets stayed unsold (A20).
`refused_before_unsold` is about refusals, each of them true, of tickets nobody bought (A15).
"""

from math import inf

from model.history import History, Operation, Outcome
from properties.evidence import HoldLife, ended_s, gather


def told_longer_than(history: History, bound_s: float) -> list[str]:
    """Name the holds whose deadline came to lie more than `bound_s` after they were asked for."""
    return [
        life.hold_id
        for life in gather(history).granted
        if life.last_deadline_s - life.asks[0].invoked_s > bound_s
    ]


def falsely_sold_out(history: History) -> list[Operation]:
    """List the holds refused as sold out though nobody had, or was just getting, the tickets.

    Whoever was ever told yes counts from when they first asked. Seats are compared by name.
    """
    evidence = gather(history)
    refused = [
        op
        for op in evidence.operations
        if op.kind == "hold" and op.outcome is Outcome.REFUSED and op.reason == "SoldOut"
    ]
    return [
        op
        for op in refused
        if _kept(op, evidence.granted) + op.quantity <= _wanted_stock(op, history)
    ]


def turned_away(history: History) -> list[Operation]:
    """List the holds that were not applied, and never asked for again, of a sale not sold out."""
    assert history.audit is not None
    if any(row.sold >= row.capacity for row in history.audit.stock):
        return []
    last = {op.actor: op for op in history.operations if op.kind == "hold"}
    return [op for op in last.values() if op.outcome is Outcome.NOT_APPLIED]


def refused_before_unsold(history: History) -> list[Operation]:
    """List the holds refused as sold out, if in the end there were tickets that nobody bought."""
    assert history.audit is not None
    if all(row.sold >= row.capacity for row in history.audit.stock):
        return []
    return [op for op in history.operations if op.kind == "hold" and op.reason == "SoldOut"]


def _wanted_stock(op: Operation, history: History) -> int:
    return op.quantity if op.seats else history.capacity[op.event_id]


def _kept(op: Operation, granted: list[HoldLife]) -> int:
    """Count the tickets (for seats: those of `op`) that belonged to others during the call."""
    kept = 0
    for life in granted:
        until_s = inf if life.ordered else min(life.last_deadline_s, life.released_s)
        if life.asks[0].invoked_s > ended_s(op) or until_s < op.invoked_s:
            continue
        assert life.granted is not None
        same = set(life.granted.seats) & set(op.seats)
        kept += len(same) if op.seats else life.granted.quantity
    return kept
