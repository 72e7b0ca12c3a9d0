"""Who surely holds or owns tickets at an instant: the past that invariants over time depend on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import inf
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
    answered later, unless it is asked for again when that deadline has passed or when it has
    surely been given back; an acknowledged order counts for ever. What is under way may yet come
    to nothing, so its hold is claimed, and its number tells which of its owner's answers decides.
    """
    granted: dict[str, Operation] = {}
    deadlines: dict[str, float] = {}
    begun: dict[str, Counter[str]] = defaultdict(Counter)
    back_s: dict[str, float] = {}  # when a hold had been given back
    anew: Counter[str] = Counter()
    sold: dict[str, Claimed] = {}
    for op in operations:
        begun[op.hold_id][op.kind] += 1
        if op.kind == "hold" and op.outcome is Outcome.OK:
            given_back_s = back_s.get(op.hold_id)
            over_s = deadlines.get(op.hold_id, inf) if given_back_s is None else given_back_s
            if op.invoked_s > over_s:
                for known in (granted, deadlines, back_s):
                    known.pop(op.hold_id, None)
                anew[op.hold_id] += 1
            granted.setdefault(op.hold_id, op)
            told_s = op.expires_s or 0.0
            deadlines[op.hold_id] = min(told_s, deadlines.get(op.hold_id, told_s))
        elif op.kind == "release" and op.completed_s is not None:
            if op.outcome is not Outcome.NOT_APPLIED:
                doubtful = op.outcome is Outcome.UNKNOWN  # it may end whatever comes later
                over_s = inf if doubtful else op.completed_s
                back_s[op.hold_id] = max(over_s, back_s.get(op.hold_id, over_s))
        elif op.kind == "checkout" and op.outcome is Outcome.OK:
            sold[op.hold_id] = Claimed(op.quantity, "sold", op.seats)
    live = {
        hold_id: Claimed(op.quantity, _state(begun[hold_id], anew[hold_id]), op.seats)
        for hold_id, op in granted.items()
        if deadlines[hold_id] > now_s and hold_id not in back_s
    }
    return {**live, **sold}


def _state(begun: Counter[str], anew: int) -> str:
    again = f", {anew} times anew" if anew else ""
    return f"held{again}, {begun['release']} releases and {begun['checkout']} payments begun"


def too_many(live: Mapping[str, Claimed], capacity: int) -> bool:
    """Whether this may prove to be more than there was."""
    wanted = [seat for claim in live.values() for seat in claim.seats]
    tickets = sum(claim.quantity for claim in live.values())
    return tickets > capacity or len(wanted) > len(set(wanted))
