"""A box office that tries every order of everything: slow, plain, and written independently.

It shares nothing with `properties.linearizability` but the specification (`docs/linearizable.md`).
For histories of one event without seats and without faults.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import inf

from model.history import History, Operation, Outcome

NOT_LIVE = {"HoldExpired", "OrderRefused", "SoldOut"}


@dataclass(frozen=True)
class Desk:
    """The sequential object: how many tickets are free, and what has become of each hold."""

    free: int
    holds: tuple[tuple[str, str], ...] = ()  # hold id -> live | over | ended | sold

    def state(self, hold_id: str) -> str:
        """Say what has become of a hold."""
        return dict(self.holds).get(hold_id, "none")

    def moved(self, hold_id: str, to: str, tickets: int) -> "Desk":
        """Return the desk after a hold has changed and so many tickets came back."""
        holds = {**dict(self.holds), hold_id: to}
        return replace(self, free=self.free + tickets, holds=tuple(sorted(holds.items())))


Step = Callable[[Desk], Desk | None]


@dataclass(frozen=True)
class Event:
    """Something that happens at one instant of a span; None says that it may not happen so."""

    from_s: float
    until_s: float
    step: Step
    optional: bool = False


def has_an_order(history: History) -> bool:
    """Say whether any order of all events is what a box office could have answered."""
    events = _events(history)

    @cache
    def search(left: frozenset[int], desk: Desk, now_s: float) -> bool:
        if all(events[index].optional for index in left):
            return True
        for index in left:
            event = events[index]
            at_s = max(now_s, event.from_s)
            if at_s > event.until_s:
                if event.optional:
                    continue
                return False
            after = event.step(desk)
            if after is not None and search(left - {index}, after, at_s):
                return True
        return False

    return search(frozenset(range(len(events))), Desk(history.capacity[1]), -inf)


def _events(history: History) -> list[Event]:
    operations = history.operations
    events = []
    for op in operations:
        step = _step(op, history)
        if step is not None and op.outcome is not Outcome.NOT_APPLIED:
            doubtful = op.outcome is Outcome.UNKNOWN
            surely_sold = op.kind == "checkout" and _is_sold(op.hold_id, history)
            events.append(
                Event(
                    op.invoked_s,
                    inf if doubtful else _end(op),
                    step,
                    optional=doubtful and not surely_sold,
                )
            )
    for op in operations:
        if op.kind == "hold" and op.outcome is Outcome.OK and _first(op, operations):
            last_s = max(o.expires_s for o in _asks(op, operations) if o.expires_s is not None)
            first_s = min(o.expires_s for o in _asks(op, operations) if o.expires_s is not None)
            bound_s = history.sweep_bound_s
            until_s = last_s + bound_s if bound_s else inf
            events.append(Event(first_s, inf, _run_out(op.hold_id), optional=True))
            events.append(
                Event(first_s, until_s, _expire(op.hold_id, op.quantity), optional=until_s == inf)
            )
    return events


def _step(op: Operation, history: History) -> Step | None:
    refused = op.outcome is Outcome.REFUSED
    step: Step | None = None
    if op.kind == "hold" and refused:
        step = _refuse(op, history) if op.reason == "SoldOut" else None
    elif op.kind == "hold":
        granted = any(o.outcome is Outcome.OK for o in _asks(op, history.operations))
        step = _take(op.hold_id, op.quantity) if granted else None
    elif op.kind == "release":
        step = _expire(op.hold_id, op.quantity)
    elif op.kind == "checkout" and refused:
        step = _not_live(op.hold_id) if op.reason in NOT_LIVE else None
    elif op.kind == "checkout" and _is_sold(op.hold_id, history):
        step = _sell(op.hold_id)  # in doubt and not in the audit: it had no effect
    return step


def _take(hold_id: str, quantity: int) -> Step:
    def step(desk: Desk) -> Desk | None:
        state = desk.state(hold_id)
        if state != "none":
            return desk
        return desk.moved(hold_id, "live", -quantity) if desk.free >= quantity else None

    return step


def _expire(hold_id: str, quantity: int) -> Step:
    def step(desk: Desk) -> Desk | None:
        if desk.state(hold_id) == "none":
            return None  # nothing ends before it began
        if desk.state(hold_id) in {"live", "over"}:
            return desk.moved(hold_id, "ended", quantity)
        return desk

    return step


def _run_out(hold_id: str) -> Step:
    """Let a hold be over while its tickets still wait for the sweeper."""
    return lambda desk: desk.moved(hold_id, "over", 0) if desk.state(hold_id) == "live" else None


def _sell(hold_id: str) -> Step:
    def step(desk: Desk) -> Desk | None:
        state = desk.state(hold_id)
        if state == "live":
            return desk.moved(hold_id, "sold", 0)
        return desk if state == "sold" else None

    return step


def _not_live(hold_id: str) -> Step:
    return lambda desk: None if desk.state(hold_id) == "live" else desk


def _refuse(op: Operation, history: History) -> Step:
    in_transit = _in_transit(op, history)
    return lambda desk: desk if desk.free - in_transit < op.quantity else None


def _in_transit(refusal: Operation, history: History) -> int:
    """Count what somebody else's doubtful request or half-dropped sale may keep away."""
    total = 0
    for op in history.operations:
        others = op.hold_id != refusal.hold_id and op.invoked_s <= _end(refusal)
        granted = any(o.outcome is Outcome.OK for o in _asks(op, history.operations))
        if op.kind == "hold" and others and op.outcome is Outcome.UNKNOWN and not granted:
            total += op.quantity
    for hold_id in {op.hold_id for op in history.operations if op.kind == "checkout"}:
        if hold_id == refusal.hold_id or not _is_sold(hold_id, history):
            continue
        pays = [o for o in history.operations if o.kind == "checkout" and o.hold_id == hold_id]
        began_s = min(o.invoked_s for o in pays if o.outcome in (Outcome.OK, Outcome.UNKNOWN))
        told_s = min((_end(o) for o in pays if o.outcome is Outcome.OK), default=inf)
        if any(o.outcome is Outcome.UNKNOWN for o in pays):
            deadlines = [
                o.expires_s for o in history.operations if o.hold_id == hold_id and o.expires_s
            ]
            swept_s = max(deadlines) + history.sweep_bound_s if history.sweep_bound_s else inf
            told_s = max(began_s if told_s == inf else told_s, swept_s)
        if began_s <= _end(refusal) and told_s >= refusal.invoked_s:
            total += pays[0].quantity
    return total


def _is_sold(hold_id: str, history: History) -> bool:
    assert history.audit is not None
    told = any(
        op.kind == "checkout" and op.hold_id == hold_id and op.outcome is Outcome.OK
        for op in history.operations
    )
    return told or any(row.hold_id == hold_id for row in history.audit.orders)


def _asks(op: Operation, operations: list[Operation]) -> list[Operation]:
    return [o for o in operations if o.kind == "hold" and o.hold_id == op.hold_id]


def _first(op: Operation, operations: list[Operation]) -> bool:
    return next(o for o in _asks(op, operations) if o.outcome is Outcome.OK) is op


def _end(op: Operation) -> float:
    return inf if op.completed_s is None else op.completed_s
