"""Who surely holds or owns tickets at an instant: the past that invariants over time depend on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from model.history import Operation, Outcome


class Claimed(NamedTuple):
    """Tickets of one hold: held, being paid, or sold."""

    quantity: int
    state: str
    seats: tuple[str, ...]


def live_claims(operations: Iterable[Operation], now_s: float) -> dict[str, Claimed]:
    """The claims that live now, by hold: what `no-overhold` may count at this instant.

    A hold counts until the earliest deadline it was told, or the start of its release, whatever is
    answered later; an acknowledged order counts for ever. What is under way may yet come to
    nothing, so its hold is claimed, and its number tells which of its owner's answers decides.
    """
    granted: dict[str, Operation] = {}
    deadlines: dict[str, float] = {}
    begun: dict[str, Counter[str]] = defaultdict(Counter)
    released: set[str] = set()
    sold: dict[str, Claimed] = {}
    for op in operations:
        begun[op.hold_id][op.kind] += 1
        if op.kind == "hold" and op.outcome is Outcome.OK:
            granted.setdefault(op.hold_id, op)
            told_s = op.expires_s or 0.0
            deadlines[op.hold_id] = min(told_s, deadlines.get(op.hold_id, told_s))
        elif op.kind == "release" and _has_ended(op) and op.outcome is not Outcome.NOT_APPLIED:
            released.add(op.hold_id)
        elif op.kind == "checkout" and op.outcome is Outcome.OK:
            sold[op.hold_id] = Claimed(op.quantity, "sold", op.seats)
    live = {
        hold_id: Claimed(op.quantity, _state(begun[hold_id]), op.seats)
        for hold_id, op in granted.items()
        if deadlines[hold_id] > now_s and hold_id not in released
    }
    return {**live, **sold}


def _has_ended(op: Operation) -> bool:
    return op.completed_s is not None


def _state(begun: Counter[str]) -> str:
    return f"held, {begun['release']} releases and {begun['checkout']} payments begun"


def too_many(live: Mapping[str, Claimed], capacity: int) -> bool:
    """Whether this may prove to be more than there was."""
    wanted = [seat for claim in live.values() for seat in claim.seats]
    tickets = sum(claim.quantity for claim in live.values())
    return tickets > capacity or len(wanted) > len(set(wanted))
