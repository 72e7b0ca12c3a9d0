"""stock-conserved: at rest, remaining + held + sold = capacity."""

from dataclasses import dataclass

from model.history import Outcome, StockRow
from properties.evidence import Evidence
from properties.telling import in_order
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "stock-conserved"
STORY_OPERATIONS = 6
MOVES_STOCK = frozenset({"hold", "release", "checkout", "sweep", "task"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far one event's books are off, in tickets: above zero too many, below zero lost.

    `view` is the strategy's own count; `counter` is `events.remaining_ticket`, comparable only
    while nothing is held, because flow 1 deducts when holding and flow 2 when selling.
    """

    row: StockRow
    sold: int
    view: int
    counter: int

    @property
    def over_returned(self) -> int:
        """Tickets the books have too many: what would be sold twice."""
        return max(self.view, self.counter, 0)

    @property
    def lost(self) -> int:
        """Tickets the books have too few."""
        return max(-self.view, -self.counter, 0)


def gaps(evidence: Evidence) -> list[Gap]:
    """Compare each audited event's books with its orders; empty without an audit.

    An overbooked event has nothing to sell: showing zero is right for it, and so is a counter that
    went below zero by exactly what was sold too much. A counter that still stands at the capacity,
    in a shop whose own view adds up without it, is not kept by that shop (`db-derived`).
    """
    found = []
    for row in evidence.audit.stock if evidence.audit else ():
        sold = evidence.audited_tickets(row.event_id)
        unsold = row.capacity - sold
        unsellable = unsold < 0 <= row.sellable  # overbooked, and the shop shows none left
        view = row.sellable + row.held - (0 if unsellable else unsold)
        unkept = view == 0 and row.remaining_ticket == row.capacity
        counter = 0 if row.held or unkept else row.remaining_ticket + sold - row.capacity
        found.append(Gap(row=row, sold=sold, view=view, counter=counter))
    return found


def examine(evidence: Evidence) -> Verdict:
    """Compare the audited stock with capacity; `examined` counts the holds and orders."""
    if evidence.audit is None:
        return inconclusive(NAME, NO_AUDIT)
    violations = [
        _not_conserved(gap, evidence)
        for gap in gaps(evidence)
        if gap.view or gap.counter or gap.row.sold != gap.sold
    ]
    return conclude(
        NAME,
        examined=len(evidence.granted) + len(evidence.audit.orders),
        violations=violations,
        nothing="no hold was acknowledged and nothing was sold",
    )


def _not_conserved(gap: Gap, evidence: Evidence) -> Violation:
    row = gap.row
    if gap.over_returned:
        verdict = f"{gap.over_returned} too many"
    elif gap.lost:
        verdict = f"{gap.lost} lost"
    else:
        verdict = f"the strategy counts {row.sold} sold"
    doubtful = [
        op
        for op in evidence.operations
        if op.outcome is Outcome.UNKNOWN and op.kind in MOVES_STOCK and op.event_id == row.event_id
    ][-STORY_OPERATIONS:]
    return Violation(
        invariant=NAME,
        message=(
            f"at rest event {row.event_id} has {row.sellable} sellable + {row.held} held + "
            f"{gap.sold} sold of {row.capacity}, and remaining_ticket = {row.remaining_ticket}: "
            f"{verdict}"
        ),
        at_s=evidence.end_s,
        op_ids=in_order(doubtful),
        actors=tuple(dict.fromkeys(op.actor for op in doubtful)),
        amount=max(gap.over_returned, gap.lost, abs(row.sold - gap.sold)),
    )


INVARIANT = Invariant(
    name=NAME, summary="at rest, remaining + held + sold = capacity", examine=examine
)
