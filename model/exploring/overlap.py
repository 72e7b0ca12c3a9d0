"""Who surely holds or owns tickets at an instant: the past that invariants over time depend on."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from model.history import Operation, Outcome


class Claimed(NamedTuple):
    """Tickets of one hold: held, being paid, or sold."""

    quantity: int
    state: str
    seats: tuple[str, ...]


def live_claims(
    operations: Iterable[Operation], sold: set[str], now_s: float
) -> dict[str, Claimed]:
    """The claims that live now, by hold; `sold` are the holds with an acknowledged order."""
    live: dict[str, Claimed] = {}
    for op in operations:
        if op.kind == "hold" and op.outcome is Outcome.OK and (op.expires_s or 0.0) > now_s:
            live[op.hold_id] = Claimed(op.quantity, "held", op.seats)
        elif op.kind == "release":
            live.pop(op.hold_id, None)
        elif op.kind == "checkout" and (op.hold_id in live or op.hold_id in sold):
            state = "sold" if op.outcome is Outcome.OK else "paying"
            live[op.hold_id] = Claimed(op.quantity, state, op.seats)
    return live


def too_many(live: Mapping[str, Claimed], capacity: int) -> bool:
    """Whether this may prove to be more than there was."""
    wanted = [seat for claim in live.values() for seat in claim.seats]
    tickets = sum(claim.quantity for claim in live.values())
    return tickets > capacity or len(wanted) > len(set(wanted))
