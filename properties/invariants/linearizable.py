"""linearizable: some order of the calls is what a box office could have answered.

The specification, and what it permits, is in `docs/linearizable.md`.
"""

from model.history import Operation
from properties.evidence import BUYER_KINDS, Evidence, answered, ended_s
from properties.linearizability.box_office import (
    Office,
    Offices,
    Play,
    play_of,
    possibly_taken,
)
from properties.linearizability.search import Answer, Found, Kind, Move, find_order
from properties.linearizability.stays import NAME, Stay, stays_of
from properties.telling import in_order
from properties.verdicts import Invariant, Verdict, Violation, conclude, inconclusive

BUDGET_STEPS = 1_000_000
STORY_HOLDS = 4  # holds told per violation: the latest of those that stood in the way


def examine(evidence: Evidence) -> Verdict:
    """Look for an order of each event's (or seat's) calls; `examined` counts definite answers.

    A record that needs more than `BUDGET_STEPS` steps is INCONCLUSIVE, and so is one in which
    everybody could have had all they asked for: it has an order whatever the shop does.
    """
    return examine_within(evidence, BUDGET_STEPS)


def examine_within(evidence: Evidence, budget: int) -> Verdict:
    """Do what `examine` does, in at most `budget` steps."""
    stays, violations = stays_of(evidence)
    counters = Offices(evidence, stays)
    offices = counters.all()
    left = budget
    cut = 0
    for office in offices:
        if not office.contended:
            continue
        play = play_of(office)
        answer = find_order(play.moves, office.capacity, budget=left)
        left = max(0, left - answer.steps)
        cut += answer.found is Found.CUT
        if answer.found is Found.NONE:
            violations.append(_no_order(office, play, answer, evidence))
    violations.extend(_refused_free_seats(counters))
    examined = _examined(evidence, offices, counters.several)
    if cut and not violations:
        return inconclusive(
            NAME,
            f"the search for an order was cut after {budget} steps, with {cut} of {len(offices)} "
            "counters undecided",
            examined=examined,
            undecided=True,
        )
    return conclude(
        NAME,
        examined=examined,
        violations=violations,
        nothing="nobody had to be refused: every order explains the answers",
    )


def _examined(evidence: Evidence, offices: list[Office], several: list[Operation]) -> int:
    if not several and not any(office.contended for office in offices):
        return 0
    return sum(op.kind in BUYER_KINDS and answered(op) for op in evidence.operations)


def _no_order(office: Office, play: Play, answer: Answer, evidence: Evidence) -> Violation:
    """Tell the move that fits nowhere, and who stands in its way."""
    assert answer.stuck is not None  # an answer without an order names where it ends
    life, op = play.told[answer.stuck]
    move = play.moves[answer.stuck]
    in_the_way = [(play.stays[index], play.moves[index]) for index in answer.taken]
    in_the_way = [(stay, take) for stay, take in in_the_way if stay.life is not life]
    taken = sum(take.quantity for _, take in in_the_way)
    due_s = min(move.until_s, evidence.end_s)
    if move.kind is Kind.REFUSE:
        said = (
            f"was refused {_asked(op)} at {ended_s(op):.1f} s (SoldOut), and no order of the calls "
            f"explains it: {_taken(office, taken)} then"
        )
    elif move.kind is Kind.TAKE:
        said = (
            f"was given {_asked(op)} at {due_s:.1f} s, and no order of the calls allows it: "
            f"{_taken(office, taken)}"
        )
    else:
        said = (
            f"had given {_asked(op)} back by {due_s:.1f} s, and no order of the calls explains who "
            f"was refused then: {_taken(office, taken)} besides"
        )
    told = [stay.life for stay, _ in in_the_way[-STORY_HOLDS:]]
    operations = [
        other
        for one in [life, *told]
        for other in (one.story() if one else [op])
        if other.invoked_s <= due_s
    ]
    over = taken + move.quantity - office.capacity
    return Violation(
        invariant=NAME,
        message=f"{op.actor} {said}{_by(in_the_way, due_s)}",
        at_s=due_s,
        op_ids=in_order(operations),
        actors=tuple(dict.fromkeys([op.actor, *(one.actor for one in told)])),
        amount=max(1, over) if move.kind is Kind.TAKE else 1,
    )


def _taken(office: Office, tickets: int) -> str:
    event_id, seat = office.unit
    if seat:
        return f"seat {seat} of event {event_id} is {'taken' if tickets else 'free'}"
    return f"{tickets} of the {office.capacity} tickets of event {event_id} are taken"


def _by(in_the_way: list[tuple[Stay, Move]], due_s: float) -> str:
    if not in_the_way:
        return ""
    last = in_the_way[-STORY_HOLDS:]
    more = [f"{len(in_the_way) - len(last)} others"] if len(in_the_way) > len(last) else []
    return ", by " + ", ".join([*more, *(_how(stay, take, due_s) for stay, take in last)])


def _how(stay: Stay, take: Move, due_s: float) -> str:
    if take.until_s > due_s:
        why = "asking; an earlier refusal needs that"
    elif stay.ended is None:
        why = "sold in the end"
    else:
        why = f"held until {stay.to_end_s:.1f} s"
    return f"{stay.life.actor} ({why})"


def _asked(op: Operation) -> str:
    if op.seats:
        return f"seat{'s' * (len(op.seats) > 1)} {', '.join(op.seats)}"
    return f"{op.quantity} ticket{'s' * (op.quantity != 1)}"


def _refused_free_seats(counters: Offices) -> list[Violation]:
    """Find requests for several seats refused although none of them could be taken."""
    violations = []
    for op in counters.several:
        there = [counters.find(op.event_id, seat) for seat in op.seats]
        if any(office is not None and possibly_taken(office, op) for office in there):
            continue
        violations.append(
            Violation(
                invariant=NAME,
                message=(
                    f"{op.actor} asked for {_asked(op)} at {op.invoked_s:.1f} s and was refused "
                    "(SoldOut), but no order of the calls has any of them taken then"
                ),
                at_s=ended_s(op),
                op_ids=(op.op_id,),
                actors=(op.actor,),
            )
        )
    return violations


INVARIANT = Invariant(
    name=NAME,
    summary="some order of the calls is what a box office could have answered",
    examine=examine,
)
