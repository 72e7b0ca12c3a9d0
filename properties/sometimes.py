"""Every *always* has a *sometimes*: what must have happened before "it holds" means anything.

A sale in which no hold ever expired says nothing about expiry. `witnesses` counts the interesting
things that happened; `NEEDS` says which of them each invariant wants to have seen.
"""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from math import inf

from model.history import History, Operation, Outcome
from properties.evidence import Evidence, HoldLife, ended_s, gather

WITNESSES: dict[str, str] = {
    "hold-acknowledged": "a buyer was told that tickets are held",
    "hold-expired-unpaid": "an acknowledged hold came to its end without order or release",
    "hold-released": "a buyer gave a hold back",
    "hold-ended-unsold": "a hold expired unpaid or was given back",
    "order-made": "tickets were sold",
    "refused-sold-out": "a buyer was refused because nothing was left",
    "sold-out": "an event sold all its tickets",
    "demand-over-capacity": "buyers wanted more tickets than there were, or bought all",
    "seat-contended": "two buyers wanted the same seat",
    "fault-struck": "a fault struck",
    "fault-between-hold-and-payment": "a fault struck after a hold was acknowledged and before "
    "its checkout ended",
    "fault-after-order": "a fault struck after an order was acknowledged",
    "reply-lost": "a call ended with an unknown outcome",
    "retry-after-unknown": "a call with unknown outcome was repeated",
    "refund-made": "a captured payment was given back",
    "expired-during-payment": "a hold ended while its checkout was under way, or before it began",
}

NEEDS: dict[str, tuple[str, ...]] = {
    "no-overbooking": ("demand-over-capacity",),
    "seat-sold-once": ("seat-contended",),
    "hold-honoured": (),
    "no-overhold": ("demand-over-capacity",),
    "stock-conserved": ("hold-acknowledged",),
    "no-leak": ("hold-ended-unsold",),
    "charged-once": (),
    "orders-durable": ("order-made",),
    "expiry-honoured": ("expired-during-payment",),
    "sale-goes-on": (),
    "linearizable": (),
}

NEEDS_UNDER_FAULT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NEEDS, ("fault-struck",)),
    "hold-honoured": ("fault-struck", "fault-between-hold-and-payment"),
    "orders-durable": ("fault-struck", "fault-after-order"),
}


def witnesses(history: History) -> dict[str, int]:
    """Count how often each of `WITNESSES` happened in `history`."""
    return count(gather(history))


def needed(invariant: str, fault: str, *, live: bool = False) -> tuple[str, ...]:
    """Say what must have been seen for `invariant` to hold under the fault plan `fault`.

    On real servers a fault strikes when it strikes: a `live` run counts, for every invariant, only
    if its faults landed between a hold and its payment at least once.
    """
    under_fault = () if fault == "none" else NEEDS_UNDER_FAULT.get(invariant, ("fault-struck",))
    if live and fault != "none":
        under_fault = tuple(dict.fromkeys((*under_fault, "fault-between-hold-and-payment")))
    return (*NEEDS.get(invariant, ()), *under_fault)


def idle_faults(history: History) -> list[str]:
    """Name the faults of the run's plan that never struck, by `meta["planned_faults"]`."""
    struck = {span.fault for span in history.faults if span.struck}
    return [name for name in history.meta.get("planned_faults", ()) if name not in struck]


def count(evidence: Evidence) -> dict[str, int]:
    """Count the witnesses in evidence that was gathered already."""
    expired = sum(_expired_unpaid(life, evidence.end_s) for life in evidence.granted)
    released = sum(_released(life) for life in evidence.granted)
    payments = evidence.audit.payments if evidence.audit else ()
    found = {
        "hold-acknowledged": len(evidence.granted),
        "hold-expired-unpaid": expired,
        "hold-released": released,
        "hold-ended-unsold": expired + released,
        "order-made": len(evidence.sold),
        "refund-made": sum(payment.refunded_s is not None for payment in payments),
        "expired-during-payment": sum(_expired_during_payment(life) for life in evidence.granted),
        "fault-struck": len(evidence.faults),
        "fault-between-hold-and-payment": _struck_between(evidence),
        "fault-after-order": _struck_after_order(evidence),
        "retry-after-unknown": _retries(evidence),
        **_demand(evidence),
        **_answers(evidence),
    }
    return {name: found[name] for name in WITNESSES}


def _answers(evidence: Evidence) -> dict[str, int]:
    refused = unknown = 0
    for op in evidence.operations:
        if op.outcome is Outcome.UNKNOWN:
            unknown += 1
        elif op.outcome is Outcome.REFUSED and op.kind == "hold" and op.reason == "SoldOut":
            refused += 1
    return {"refused-sold-out": refused, "reply-lost": unknown}


def _demand(evidence: Evidence) -> dict[str, int]:
    """Compare what each buyer wanted (once, however often tried) with what there was."""
    wanted: dict[tuple[int, str], int] = {}
    seats: dict[tuple[int, str], set[str]] = {}
    for op in evidence.operations:
        if op.kind == "hold":
            who = (op.event_id, op.actor)
            wanted[who] = max(op.quantity, wanted.get(who, 0))
            for seat in op.seats:
                seats.setdefault((op.event_id, seat), set()).add(op.actor)
    demand = dict.fromkeys(evidence.capacity, 0)
    for (event_id, _), quantity in wanted.items():
        demand[event_id] += quantity
    sold_out = {
        event_id
        for event_id, capacity in evidence.capacity.items()
        if evidence.sold_tickets(event_id) >= capacity
    }
    over = {
        event_id for event_id, tickets in demand.items() if tickets > evidence.capacity[event_id]
    }
    return {
        "sold-out": len(sold_out),
        "demand-over-capacity": len(over | sold_out),
        "seat-contended": sum(len(actors) > 1 for actors in seats.values()),
    }


def _released(life: HoldLife) -> bool:
    return life.released_s < inf


def _expired_unpaid(life: HoldLife, end_s: float) -> bool:
    return not life.ordered and not _released(life) and life.last_deadline_s <= end_s


def _expired_during_payment(life: HoldLife) -> bool:
    if life.released_s < life.deadline_s:
        return False
    return any(
        ended_s(op) >= life.deadline_s
        for op in life.checkouts
        if op.outcome is not Outcome.NOT_APPLIED
    )


def _struck_between(evidence: Evidence) -> int:
    """Count holds with a fault between their acknowledgement and the end of their checkout.

    Either a fault began in between, or one that had begun before lasted through all of it.
    """
    starts_s = [span.started_s for span in evidence.faults]
    ends_s = [inf if span.ended_s is None else span.ended_s for span in evidence.faults]
    longest_s = list(accumulate(ends_s, max))  # the latest end among the first spans
    struck = 0
    for life in evidence.granted:
        if not life.checkouts or life.granted is None:
            continue
        from_s = ended_s(life.granted)
        until_s = max(ended_s(op) for op in life.checkouts)
        before = bisect_left(starts_s, from_s)
        began_between = bisect_right(starts_s, until_s) > before
        struck += began_between or (before > 0 and longest_s[before - 1] >= until_s)
    return struck


def _struck_after_order(evidence: Evidence) -> int:
    first_s = min(
        (
            ended_s(op)
            for op in evidence.operations
            if op.kind == "checkout" and op.outcome is Outcome.OK
        ),
        default=inf,
    )
    return (
        sum((inf if span.ended_s is None else span.ended_s) >= first_s for span in evidence.faults)
        if first_s < inf
        else 0
    )


def _retries(evidence: Evidence) -> int:
    """Count repeats of a call whose earlier try with the same token ended in doubt."""
    return sum(
        _repeats(tries)
        for life in evidence.lives.values()
        for tries in (life.asks, life.releases, life.checkouts)
        if len(tries) > 1
    )


def _repeats(tries: list[Operation]) -> int:
    in_doubt: set[str] = set()
    repeats = 0
    for op in tries:
        repeats += op.key in in_doubt
        if op.outcome is Outcome.UNKNOWN:
            in_doubt.add(op.key)
    return repeats
