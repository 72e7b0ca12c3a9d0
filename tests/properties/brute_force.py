"""A box office that tries every order of everything: slow, plain, and written independently.

It shares nothing with `properties.linearizability` but the specification (`docs/linearizable.md`).
For histories of one event without seats and without faults.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import inf

from model.history import History, Operation, Outcome

NOT_LIVE = {"HoldExpired", "OrderRefused", "SoldOut"}
IN_DOUBT = {Outcome.OK, Outcome.UNKNOWN}


@dataclass(frozen=True, order=True)
class Held:
    """What has become of one hold: live | over (its tickets wait for the sweeper) | ended | sold.

    It may be over from `first_s` on; `swept_s` is when its tickets must be free. `asked_s` is when
    the request began that took them.
    """

    state: str
    quantity: int
    first_s: float = inf
    swept_s: float = inf
    asked_s: float = inf


NEVER = Held("none", 0)


@dataclass(frozen=True)
class Desk:
    """The sequential object: how many tickets are free, and what has become of each hold."""

    free: int
    holds: tuple[tuple[str, Held], ...] = ()

    def held(self, hold_id: str) -> Held:
        """Say what has become of a hold."""
        return dict(self.holds).get(hold_id, NEVER)

    def moved(self, hold_id: str, to: Held, tickets: int = 0) -> "Desk":
        """Return the desk after a hold has changed and so many tickets came back."""
        holds = {**dict(self.holds), hold_id: to}
        return replace(self, free=self.free + tickets, holds=tuple(sorted(holds.items())))

    def overdue(self, now_s: float) -> bool:
        """Say whether a hold should have been swept by now."""
        return any(
            held.state in {"live", "over"} and held.swept_s < now_s for _, held in self.holds
        )

    def run_out(self, now_s: float) -> Iterator[tuple["Desk", float]]:
        """Let one hold end by its deadline: first it is over, then its tickets are free."""
        for hold_id, held in self.holds:
            at_s = max(now_s, held.first_s)
            if at_s < inf and at_s <= held.swept_s:
                if held.state == "live":
                    yield self.moved(hold_id, replace(held, state="over")), at_s
                elif held.state == "over":
                    yield self.moved(hold_id, replace(held, state="ended"), held.quantity), at_s


Step = Callable[[Desk], Desk | None]


@dataclass(frozen=True)
class Event:
    """A call that takes effect at one instant of a span; None says that it cannot do so now.

    One that `repeats` may have been sent any number of times: a release in doubt.
    """

    from_s: float
    until_s: float
    step: Step
    optional: bool = False
    repeats: bool = False


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
            after = None if desk.overdue(at_s) else event.step(desk)
            if after is None or (event.repeats and after == desk):
                continue
            if search(left if event.repeats else left - {index}, after, at_s):
                return True
        return any(search(left, after, at_s) for after, at_s in desk.run_out(now_s))

    return search(frozenset(range(len(events))), Desk(history.capacity[1]), -inf)


def _events(history: History) -> list[Event]:
    events = []
    for op in history.operations:
        step = _step(op, history)
        if step is not None and op.outcome is not Outcome.NOT_APPLIED:
            doubtful = op.outcome is Outcome.UNKNOWN
            surely_sold = op.kind == "checkout" and _is_sold(op.hold_id, history)
            until_s = inf if doubtful else _end(op)
            if doubtful and op.kind == "hold":
                until_s = _settled_s(op, history)
            optional = doubtful and not surely_sold
            repeats = doubtful and op.kind == "release"
            events.append(Event(op.invoked_s, until_s, step, optional=optional, repeats=repeats))
    return events


def _step(op: Operation, history: History) -> Step | None:
    refused = op.outcome is Outcome.REFUSED
    step: Step | None = None
    if op.kind == "hold" and refused:
        step = _refuse(op, history) if op.reason == "SoldOut" else None
    elif op.kind == "hold":
        taken = _settled_s(op, history) < inf or _is_sold(op.hold_id, history)
        step = _take(op, history) if taken else None  # else it is in transit only
    elif op.kind == "release":
        step = _give_back(op.hold_id)
    elif op.kind == "checkout" and refused:
        step = _not_live(op.hold_id) if op.reason in NOT_LIVE else None
    elif op.kind == "checkout" and _is_sold(op.hold_id, history):
        step = _sell(op.hold_id)  # in doubt and not in the audit: it had no effect
    return step


def _take(op: Operation, history: History) -> Step:
    """Hold the tickets, also those of a hold that has ended; one that lives or is sold stays so.

    What is in doubt has the deadline of the repeat that was told one. A repeat that came while the
    hold surely lived may tell another deadline, and the earlier counts.
    """
    settled = (o for o in _granted(op, history) if _end(o) >= op.invoked_s)
    told = op if op.outcome is Outcome.OK else next(settled, op)
    first_s = inf if told.expires_s is None else told.expires_s
    swept_s = first_s + history.sweep_bound_s if history.sweep_bound_s else inf
    new = Held("live", op.quantity, first_s, swept_s, told.invoked_s)

    def step(desk: Desk) -> Desk | None:
        held = desk.held(op.hold_id)
        if held.state == "sold" or (held.state == "live" and op.outcome is Outcome.UNKNOWN):
            return desk
        if held.state == "live" and _end(op) < _may_end_s(held, op.hold_id, history):
            first_s, last_s = min(held.first_s, new.first_s), max(held.swept_s, new.swept_s)
            return desk.moved(op.hold_id, replace(held, first_s=first_s, swept_s=last_s))
        if held.state in {"live", "over"}:
            return desk.moved(op.hold_id, new)
        return desk.moved(op.hold_id, new, -op.quantity) if desk.free >= op.quantity else None

    return step


def _give_back(hold_id: str) -> Step:
    def step(desk: Desk) -> Desk | None:
        held = desk.held(hold_id)
        if held.state == "none":
            return None  # nothing ends before it began
        if held.state in {"live", "over"}:
            return desk.moved(hold_id, replace(held, state="ended"), held.quantity)
        return desk

    return step


def _sell(hold_id: str) -> Step:
    def step(desk: Desk) -> Desk | None:
        held = desk.held(hold_id)
        if held.state == "live":
            return desk.moved(hold_id, replace(held, state="sold"))
        return desk if held.state == "sold" else None

    return step


def _not_live(hold_id: str) -> Step:
    return lambda desk: None if desk.held(hold_id).state == "live" else desk


def _refuse(op: Operation, history: History) -> Step:
    in_transit = _in_transit(op, history)

    def step(desk: Desk) -> Desk | None:
        own = desk.held(op.hold_id)
        free = desk.free + (own.quantity if own.state == "live" else 0) - in_transit
        return desk if free < op.quantity else None

    return step


def _in_transit(refusal: Operation, history: History) -> int:
    """Count what somebody else's doubtful request or half-dropped sale may keep away."""
    total = 0
    for op in history.operations:
        others = op.kind == "hold" and op.hold_id != refusal.hold_id
        if others and op.outcome is Outcome.UNKNOWN and _settled_s(op, history) == inf:
            begins_s = max(op.invoked_s, _repeat_from_s(op, history))
            total += op.quantity if begins_s <= _end(refusal) else 0
    for hold_id in {op.hold_id for op in history.operations if op.kind == "checkout"}:
        if hold_id == refusal.hold_id or not _is_sold(hold_id, history):
            continue
        pays = [o for o in history.operations if o.kind == "checkout" and o.hold_id == hold_id]
        began_s = min(o.invoked_s for o in pays if o.outcome in IN_DOUBT)
        told_s = min((_end(o) for o in pays if o.outcome is Outcome.OK), default=inf)
        if any(o.outcome is Outcome.UNKNOWN for o in pays):
            swept_s = _dropped_s(hold_id, told_s, history)
            told_s = max(began_s if told_s == inf else told_s, swept_s)
        if began_s <= _end(refusal) and told_s >= refusal.invoked_s:
            total += pays[0].quantity
    return total


def _dropped_s(hold_id: str, told_s: float, history: History) -> float:
    """Say when a sold hold whose drop was lost has ended: its deadline may never have been told."""
    asks = [o for o in history.operations if o.kind == "hold" and o.hold_id == hold_id]
    before = [o for o in _granted(asks[0], history) if o.invoked_s <= told_s]
    last = before[-1]
    assert last.expires_s is not None
    held = Held("live", last.quantity, last.expires_s, asked_s=last.invoked_s)
    doubtful = any(
        o.outcome is Outcome.UNKNOWN and _end(last) < o.invoked_s <= told_s for o in asks
    )
    if doubtful and _may_end_s(held, hold_id, history) <= told_s:
        return inf
    return last.expires_s + history.sweep_bound_s if history.sweep_bound_s else inf


def _may_end_s(held: Held, hold_id: str, history: History) -> float:
    """Say from when on a hold may end: by its deadline, or by a release."""
    given_back = (
        o.invoked_s
        for o in history.operations
        if o.kind == "release" and o.hold_id == hold_id
        if o.outcome is Outcome.UNKNOWN or _end(o) >= held.asked_s
    )
    return min([held.first_s, *given_back])


def _repeat_from_s(op: Operation, history: History) -> float:
    """Say from when on a doubtful repeat may take tickets: not while its hold lives, or is sold."""
    told = _granted(op, history)
    if not told:
        return -inf
    if _is_sold(op.hold_id, history):
        return inf
    last = told[-1]
    assert last.expires_s is not None
    held = Held("live", last.quantity, last.expires_s, asked_s=last.invoked_s)
    return _may_end_s(held, op.hold_id, history)


def _is_sold(hold_id: str, history: History) -> bool:
    assert history.audit is not None
    told = any(
        op.kind == "checkout" and op.hold_id == hold_id and op.outcome is Outcome.OK
        for op in history.operations
    )
    return told or any(row.hold_id == hold_id for row in history.audit.orders)


def _granted(op: Operation, history: History) -> list[Operation]:
    """List the hold's requests that were answered ok, by their answers."""
    asks = (o for o in history.operations if o.kind == "hold" and o.hold_id == op.hold_id)
    return sorted((o for o in asks if o.outcome is Outcome.OK), key=_end)


def _settled_s(op: Operation, history: History) -> float:
    """Say when a repeat of a request was answered ok, which settles it; infinity: never."""
    return min((_end(o) for o in _granted(op, history) if _end(o) >= op.invoked_s), default=inf)


def _end(op: Operation) -> float:
    return inf if op.completed_s is None else op.completed_s
