"""no-overhold: acknowledged live holds + sold never exceed capacity.

With assigned seats each seat is a capacity of one, so two live holders of one seat are a breach
even while the hall has room.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from model.history import Outcome
from properties.evidence import Evidence, HoldLife, Term, ended_s
from properties.telling import in_order, tickets
from properties.verdicts import Invariant, Verdict, Violation, conclude

NAME = "no-overhold"
STORY_CLAIMS = 8  # claims told per violation: the latest of those that lived at the worst instant


class Claim(NamedTuple):
    """Tickets that surely belong to one hold (until it ends) or to its order (for ever)."""

    life: HoldLife
    event_id: int
    quantity: int
    seats: tuple[str, ...]
    from_s: float
    until_s: float | None  # None: sold


@dataclass(slots=True, kw_only=True)
class _Level:
    """The claims that live at one instant of a sweep, and how far they are over."""

    capacity: int
    tickets: int = 0
    doubled: int = 0  # surplus claims on seats
    per_seat: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, claim: Claim) -> None:
        self.tickets += claim.quantity
        for seat in claim.seats:
            self.doubled += 1 if self.per_seat[seat] > 0 else 0
            self.per_seat[seat] += 1

    def drop(self, claim: Claim) -> None:
        self.tickets -= claim.quantity
        for seat in claim.seats:
            self.per_seat[seat] -= 1
            self.doubled -= 1 if self.per_seat[seat] > 0 else 0

    def over(self) -> int:
        return max(self.tickets - self.capacity, self.doubled, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worst:
    """The first instant of the largest excess, and when there was any for the first time."""

    at_s: float
    first_s: float
    over: int


def examine(evidence: Evidence) -> Verdict:
    """Find each event's worst instant; `examined` counts the acknowledged holds.

    Conservative: a hold counts from its acknowledgement (and again from one asked for when it had
    been given back or had run out) until the first of its deadline (less the
    clocks' slack), the start of its release, the start of a checkout that was refused or stayed
    in doubt, and its order's acknowledgement, from when on it counts as sold instead. So a claim
    that counts was surely promised at that instant, and none counts twice.
    """
    claims: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims_of(evidence):
        claims[claim.event_id].append(claim)
    violations = []
    for event_id, capacity in evidence.capacity.items():
        worst = _sweep(claims[event_id], capacity)
        if worst is not None:
            violations.append(_overheld(event_id, capacity, worst, claims[event_id]))
    return conclude(
        NAME,
        examined=len(evidence.granted),
        violations=violations,
        nothing="no hold was acknowledged",
    )


def claims_of(evidence: Evidence) -> list[Claim]:
    """Return every span of time in which tickets were surely held or sold."""
    claims = []
    for life in evidence.lives.values():
        for term in life.terms():
            claims.extend(_held_claim(life, term, evidence.slack_s))
        if life.ordered:
            claims.extend(_sold_claims(life))
    return claims


def _held_claim(life: HoldLife, term: Term, slack_s: float) -> list[Claim]:
    granted = term.granted
    from_s, until_s = ended_s(granted), _surely_held_until_s(life, term, slack_s)
    if until_s <= from_s:
        return []
    claim = Claim(
        life=life,
        event_id=granted.event_id,
        quantity=granted.quantity,
        seats=granted.seats,
        from_s=from_s,
        until_s=until_s,
    )
    return [claim]


def _surely_held_until_s(life: HoldLife, term: Term, slack_s: float) -> float:
    until_s = min(term.deadline_s - slack_s, term.released_s)
    for op in life.checkouts:
        if op.outcome is Outcome.OK:
            until_s = min(until_s, ended_s(op))
        elif op.outcome is Outcome.REFUSED and ended_s(op) < term.granted.invoked_s:
            continue  # of an earlier term
        elif op.outcome is Outcome.REFUSED or (op.outcome is Outcome.UNKNOWN and not life.ordered):
            until_s = min(until_s, op.invoked_s)
    return until_s


def _sold_claims(life: HoldLife) -> list[Claim]:
    """Return one claim per acknowledged key, from its first acknowledgement on."""
    claims: dict[str, Claim] = {}
    for op in sorted(life.checkouts, key=ended_s):
        if op.outcome is not Outcome.OK or op.key in claims:
            continue
        asked = life.granted or op
        claims[op.key] = Claim(
            life=life,
            event_id=op.event_id,
            quantity=op.quantity or asked.quantity,
            seats=op.seats or asked.seats,
            from_s=ended_s(op),
            until_s=None,
        )
    return list(claims.values())


def _sweep(claims: list[Claim], capacity: int) -> _Worst | None:
    """Find the first instant at which most is claimed beyond what there is."""
    starts = sorted(claims, key=lambda claim: claim.from_s)
    ends = sorted(
        ((claim.until_s, index) for index, claim in enumerate(starts) if claim.until_s is not None)
    )
    ended = 0
    level = _Level(capacity=capacity)
    worst = 0
    worst_s = first_s = None
    for position, claim in enumerate(starts, start=1):
        now_s = claim.from_s
        while ended < len(ends) and ends[ended][0] <= now_s:  # what ends makes room first
            level.drop(starts[ends[ended][1]])
            ended += 1
        level.add(claim)
        if position < len(starts) and starts[position].from_s == now_s:
            continue  # an instant is judged when all of it has happened
        over = level.over()
        if over > worst:
            worst, worst_s = over, now_s
            first_s = now_s if first_s is None else first_s
    if worst_s is None or first_s is None:
        return None
    return _Worst(at_s=worst_s, first_s=first_s, over=worst)


def _overheld(event_id: int, capacity: int, worst: _Worst, claims: list[Claim]) -> Violation:
    alive = [
        claim
        for claim in claims
        if claim.from_s <= worst.at_s and (claim.until_s is None or worst.at_s < claim.until_s)
    ]
    owners = Counter(seat for claim in alive for seat in claim.seats)
    doubled = sorted(seat for seat, claimed in owners.items() if claimed > 1)
    if doubled:
        alive = [claim for claim in alive if any(owners[seat] > 1 for seat in claim.seats)]
        seats = ", ".join(doubled[:STORY_CLAIMS])
        more = f" and {len(doubled) - STORY_CLAIMS} more" if len(doubled) > STORY_CLAIMS else ""
        what = f"seats {seats}{more} of event {event_id} belonged to more than one buyer"
    else:
        taken = sum(claim.quantity for claim in alive)
        sold = sum(claim.quantity for claim in alive if claim.until_s is None)
        what = (
            f"{tickets(taken - sold)} of event {event_id} {'was' if taken - sold == 1 else 'were'} "
            f"held and {sold} sold, "
            f"{worst.over} more than its {capacity}"
        )
    told = sorted(alive, key=lambda claim: (claim.from_s, claim.life.hold_id))[-STORY_CLAIMS:]
    if len(alive) > STORY_CLAIMS:
        what += f" (the latest {STORY_CLAIMS} of {len(alive)} holds and orders are told)"
    operations = [op for claim in told for op in claim.life.story() if op.invoked_s <= worst.at_s]
    return Violation(
        invariant=NAME,
        message=f"at {worst.at_s:.1f} s {what} (first over at {worst.first_s:.1f} s)",
        at_s=worst.at_s,
        op_ids=in_order(operations),
        actors=tuple(dict.fromkeys(claim.life.actor for claim in told)),
        amount=worst.over,
    )


INVARIANT = Invariant(
    name=NAME,
    summary="acknowledged live holds + sold never exceed capacity",
    examine=examine,
)
