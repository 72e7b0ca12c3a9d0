"""A history as the moves of box offices: one for each event, or one for each seat.

General admission is one counter of as many tickets as the event has; a seat is a counter of one.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf

from model.history import Operation, Outcome
from properties.evidence import Evidence, HoldLife, ended_s
from properties.linearizability.search import Kind, Move
from properties.linearizability.stays import Span, Stay, is_settled

Unit = tuple[int, str]
"""An event and a seat; the seat is empty where tickets are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transit:
    """Tickets that may be out of reach for a while although nobody has them by right."""

    hold_id: str
    quantity: int
    span: Span


@dataclass(slots=True, kw_only=True)
class Office:
    """One counter: who stayed, what was in transit, who was refused."""

    unit: Unit
    capacity: int
    stays: list[Stay]
    transits: list[Transit]
    refusals: list[Operation]

    @property
    def contended(self) -> bool:
        """Say whether a wrong answer was possible: somebody had to be refused, or was."""
        most: dict[str, int] = defaultdict(int)  # a hold taken anew has its tickets once
        for stay in self.stays:
            hold_id = stay.life.hold_id
            most[hold_id] = max(most[hold_id], self.quantity_of(stay.asked.quantity))
        return bool(self.refusals) or sum(most.values()) > self.capacity

    def quantity_of(self, tickets: int) -> int:
        """Return how much of this counter a hold of so many tickets takes."""
        return 1 if self.unit[1] else tickets


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """An office's moves, each with the operation that is told for it.

    `stays` has each take's stay, `takes` each hold's takes.
    """

    moves: list[Move]
    told: list[tuple[HoldLife | None, Operation]]
    stays: dict[int, Stay]
    takes: dict[str, list[int]]


class Offices:
    """The counters of one record, opened when something happens at them.

    `several` are the refusals that name several seats. Which of them was taken is not told, so such
    a refusal belongs to no single counter: see `possibly_taken`.
    """

    def __init__(self, evidence: Evidence, stays: list[Stay]) -> None:
        """Sort everything by counter."""
        self._capacity = evidence.capacity
        self._by_unit: dict[Unit, Office] = {}
        self.several: list[Operation] = []
        for stay in stays:
            self._add_stay(stay)
        of: dict[str, list[Stay]] = defaultdict(list)
        for stay in stays:
            of[stay.life.hold_id].append(stay)
        for life in evidence.lives.values():
            for op in life.asks:
                if op.outcome is not Outcome.OK:
                    self._add_request(life, op, of[life.hold_id])

    def all(self) -> list[Office]:
        """List them by event and seat."""
        return [self._by_unit[unit] for unit in sorted(self._by_unit)]

    def find(self, event_id: int, seat: str) -> Office | None:
        """Return a counter if anything happened there."""
        return self._by_unit.get((event_id, seat))

    def _at(self, event_id: int, seat: str) -> Office:
        unit = (event_id, seat)
        found = self._by_unit.get(unit)
        if found is None:
            capacity = 1 if seat else self._capacity[event_id]
            found = self._by_unit[unit] = Office(
                unit=unit, capacity=capacity, stays=[], transits=[], refusals=[]
            )
        return found

    def _add_stay(self, stay: Stay) -> None:
        asked = stay.asked
        for seat in asked.seats or ("",):
            office = self._at(asked.event_id, seat)
            office.stays.append(stay)
            if stay.transit is not None:
                office.transits.append(_transit(stay.life, asked.quantity, seat, stay.transit))

    def _add_request(self, life: HoldLife, op: Operation, stays: list[Stay]) -> None:
        span = _in_doubt(op, stays[-1] if stays else None) or _given_back(life, op, stays)
        if span is not None:
            for seat in op.seats or ("",):
                office = self._at(op.event_id, seat)
                office.transits.append(_transit(life, op.quantity, seat, span))
        if op.outcome is not Outcome.REFUSED or op.reason != "SoldOut":
            return
        if len(op.seats) > 1:
            self.several.append(op)
        else:
            self._at(op.event_id, op.seats[0] if op.seats else "").refusals.append(op)


def _transit(life: HoldLife, tickets: int, seat: str, span: Span) -> Transit:
    return Transit(hold_id=life.hold_id, quantity=1 if seat else tickets, span=span)


def _in_doubt(op: Operation, last: Stay | None) -> Span | None:
    """Say when a request for a hold may keep tickets from others without ever getting them.

    One in doubt may take effect whenever it likes, unless a repeat that is acknowledged settles it
    (then the stay covers it), but not while the hold is there, nor once it is sold; `last` is the
    hold's last stay. One for seats may have some of them until it finds that another one is gone.
    """
    if op.outcome is Outcome.UNKNOWN:
        if last is None:
            return Span(from_s=op.invoked_s, until_s=inf)
        told = (ask for ask in last.life.asks if ask.outcome is Outcome.OK)
        if last.ended is None or is_settled(op, told):
            return None
        return Span(from_s=max(op.invoked_s, last.ended.from_s), until_s=inf)
    if op.outcome is Outcome.REFUSED and op.seats:
        return Span(from_s=op.invoked_s, until_s=ended_s(op))
    return None


def _given_back(life: HoldLife, op: Operation, stays: list[Stay]) -> Span | None:
    """Say when a request in doubt may have had tickets that were given back before any answer."""
    over_s = op.completed_s
    if op.outcome is not Outcome.UNKNOWN or over_s is None:
        return None
    backs = (o for o in life.releases if o.outcome is Outcome.OK and o.invoked_s >= over_s)
    back_s = min((ended_s(back) for back in backs), default=inf)
    before = [stay for stay in stays if ended_s(stay.asked) < op.invoked_s]
    told = (ask for ask in life.asks if ask.outcome is Outcome.OK and ask.invoked_s < back_s)
    if back_s == inf or is_settled(op, told) or (before and before[-1].ended is None):
        return None
    ended = before[-1].ended if before else None
    from_s = op.invoked_s if ended is None else max(op.invoked_s, ended.from_s)
    return Span(from_s=from_s, until_s=back_s) if from_s < back_s else None


def play_of(office: Office) -> Play:
    """Write an office's record down as moves: all stays, then all refusals."""
    play = Play(moves=[], told=[], stays={}, takes=defaultdict(list))
    given_back: dict[str, int] = {}  # each hold's last give-back so far
    for stay in office.stays:
        _add_stay(play, office, stay, given_back)
    in_transit = _sum_between(office.transits)
    own_transit = _own_transit(office)
    for op in office.refusals:
        in_the_way = in_transit(op) - own_transit(op)
        needed = office.capacity - office.quantity_of(op.quantity) - in_the_way + 1
        if needed > 0:
            own = frozenset(
                take
                for take in play.takes.get(op.hold_id, ())
                if ended_s(op) < play.stays[take].over_s
            )
            play.moves.append(
                Move(
                    kind=Kind.REFUSE,
                    quantity=needed,
                    from_s=op.invoked_s,
                    until_s=ended_s(op),
                    own=own,
                )
            )
            play.told.append((None, op))
    return play


def _add_stay(play: Play, office: Office, stay: Stay, given_back: dict[str, int]) -> None:
    """Add a stay's take and give-back.

    A hold that is taken anew has been given back by then. If it never ended, the two happen at one
    instant, which is as if nothing did.
    """
    hold_id, quantity = stay.life.hold_id, office.quantity_of(stay.asked.quantity)
    before = given_back.get(hold_id)
    if before is not None:
        back = play.moves[before]
        until_s = min(back.until_s, stay.taken.until_s)
        play.moves[before] = replace(back, until_s=until_s)
    take = len(play.moves)
    from_s, until_s = stay.taken.from_s, stay.taken.until_s
    play.moves.append(
        Move(kind=Kind.TAKE, quantity=quantity, from_s=from_s, until_s=until_s, after=before)
    )
    play.told.append((stay.life, stay.asked))
    play.stays[take] = stay
    play.takes[hold_id].append(take)
    if stay.ended is None:
        return
    given_back[hold_id] = len(play.moves)
    play.moves.append(
        Move(
            kind=Kind.GIVE_BACK,
            quantity=quantity,
            from_s=max(stay.ended.from_s, from_s),
            until_s=max(stay.ended.until_s, until_s),
            after=take,
        )
    )
    play.told.append((stay.life, stay.life.story()[-1]))


def _sum_between(transits: Iterable[Transit]) -> Callable[[Operation], int]:
    """Return a function that adds up what was in transit at any moment of a call."""
    transits = list(transits)
    begun = sorted((transit.span.from_s, transit.quantity) for transit in transits)
    over = sorted((transit.span.until_s, transit.quantity) for transit in transits)
    begun_s, over_s = [at_s for at_s, _ in begun], [at_s for at_s, _ in over]
    begun_sum = [0, *accumulate(quantity for _, quantity in begun)]
    over_sum = [0, *accumulate(quantity for _, quantity in over)]

    def between(op: Operation) -> int:
        entered = begun_sum[bisect_right(begun_s, ended_s(op))]
        return entered - over_sum[bisect_left(over_s, op.invoked_s)]

    return between


def _own_transit(office: Office) -> Callable[[Operation], int]:
    """Return how much of what is in transit is the same hold's own, and no reason to refuse it."""
    transits: dict[str, list[Transit]] = defaultdict(list)
    for transit in office.transits:
        transits[transit.hold_id].append(transit)

    def own(op: Operation) -> int:
        return sum(
            transit.quantity
            for transit in transits.get(op.hold_id, ())
            if transit.span.from_s <= ended_s(op) and transit.span.until_s >= op.invoked_s
        )

    return own


def possibly_taken(office: Office, op: Operation) -> bool:
    """Say whether a seat may have been out of reach at some moment of a refused request."""
    for stay in office.stays:
        ends_s = inf if stay.ended is None else stay.ended.until_s
        mine = stay.life.hold_id == op.hold_id and ended_s(op) < stay.over_s
        if not mine and stay.taken.from_s <= ended_s(op) and ends_s >= op.invoked_s:
            return True
    return any(
        transit.hold_id != op.hold_id
        and transit.span.from_s <= ended_s(op)
        and transit.span.until_s >= op.invoked_s
        for transit in office.transits
    )
