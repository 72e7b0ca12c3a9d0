"""The search for an order of moves, just in time and with every configuration met once.

A configuration is a place in the record, the tickets taken, and the open moves that have not
happened yet. Moves happen as late as they can: a move that is due happens, and another one happens
before it only if that can help somebody. What can help follows from what moves do:

- a refusal changes nothing, so it happens at the first moment at which it is legal;
- taking before taking, or giving back before a take that fits, can as well happen afterwards;
- so only a take that does not fit asks for others to give back first, and only an open refusal
  that is not legal yet, or a take that may be given back at once, goes before one that is due;
- of two equal quantities that could be given back, the one that is due earlier may go first,
  unless the other one has to be taken anew later, or does not count for somebody's refusal;
- a hold that is taken anew waits until it has been given back, and fits at once then.

A refutation of one place that needs no search (`_surely_wrong`) is tried before, because a record
that is wrong everywhere would otherwise be searched in vain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf


class Kind(Enum):
    """What a move does at the box office."""

    TAKE = "take"
    GIVE_BACK = "give back"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move, which happened at one instant of `from_s` to `until_s` (infinity: or never).

    `quantity` is what it takes or gives back; a refusal is legal while at least that many tickets
    are taken besides its `own` takes (a hold that is there is no reason to refuse it). `after` is
    the index of the take a give-back belongs to, or of the give-back after which a hold is taken
    anew; of such a pair, the first neither begins nor is due later.
    """

    kind: Kind
    quantity: int
    from_s: float
    until_s: float
    after: int | None = None
    own: frozenset[int] = frozenset()


class Found(Enum):
    """How a search ended."""

    ORDER = "order"
    NONE = "none"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found, after how many steps.

    Without an order, `stuck` is the move that is due where no order goes on: everything that was
    due before it can be ordered, so the record up to its end is the shortest with none. `taken` are
    the takes that stand in its way in the most promising of the orders that lead there.
    """

    found: Found
    steps: int
    stuck: int | None = None
    taken: tuple[int, ...] = ()


@dataclass(slots=True)
class _Place:
    """A configuration: next event, tickets taken, open moves that have not happened."""

    at: int
    taken: int
    open: set[int]


def find_order(moves: Sequence[Move], capacity: int, *, budget: int) -> Answer:
    """Look for an order of `moves` at a box office of `capacity` tickets, in `budget` steps.

    A step is one event of the record passed once, or one move tried out of turn, so that equal
    records take equal steps on any machine.
    """
    return _Search(moves, capacity, budget).run()


class _Search:
    def __init__(self, moves: Sequence[Move], capacity: int, budget: int) -> None:
        self._moves = moves
        self._capacity = capacity
        self._budget = budget
        self._steps = 0
        begins = [(move.from_s, 0, index) for index, move in enumerate(moves)]
        ends = [(m.until_s, 1, index) for index, m in enumerate(moves) if m.until_s < inf]
        self._events = sorted(begins + ends)
        self._begins = {index: at for at, (_, end, index) in enumerate(self._events) if not end}
        self._backs = {m.after: i for i, m in enumerate(moves) if m.kind is Kind.GIVE_BACK}
        self._anew = {m.after for m in moves if m.kind is Kind.TAKE and m.after is not None}
        own = frozenset().union(*(m.own for m in moves))
        self._marked = self._anew | {i for take, i in self._backs.items() if take in own}
        self._met: set[tuple[int, int, frozenset[int]]] = set()
        self._furthest = _Place(-1, 0, set())

    def run(self) -> Answer:
        """Search depth first; the stack holds the alternatives not tried yet."""
        wrong = self._surely_wrong()
        last = len(self._events) if wrong is None else wrong
        stack = [_Place(0, 0, set())]
        while stack:
            place = stack.pop()
            if not self._go_on(place, last):
                if wrong is None:
                    return Answer(found=Found.ORDER, steps=self._steps)
                return self._none(place)
            if place.at > self._furthest.at:
                self._furthest = _Place(place.at, place.taken, set(place.open))
            if self._steps > self._budget:
                return self._cut(wrong)
            key = (place.at, place.taken, frozenset(place.open))
            if key not in self._met:
                self._met.add(key)
                stack.extend(reversed(self._alternatives(place)))
        return self._none(self._furthest)

    def _cut(self, wrong: int | None) -> Answer:
        """Say what is known when the budget is used up."""
        if wrong is None:
            return Answer(found=Found.CUT, steps=self._steps)
        return self._none(_Place(wrong, 0, set(self._furthest.open)))

    def _none(self, place: _Place) -> Answer:
        """Say that no order goes on from `place`, and who stands in the way there."""
        due_s, _, stuck = self._events[place.at]
        happened = {index for _, ends, index in self._events[: place.at] if not ends} - place.open
        given_back = {self._moves[i].after for i in happened}
        taken = tuple(
            index
            for index in sorted(happened)
            if self._moves[index].kind is Kind.TAKE
            and index != stuck
            and index not in given_back
            and self._moves[index].from_s <= due_s
        )
        return Answer(found=Found.NONE, steps=self._steps, stuck=stuck, taken=taken)

    def _go_on(self, place: _Place, last: int) -> bool:
        """Pass events until a move is due that needs a decision (True) or the end (False)."""
        moves, events, open_moves = self._moves, self._events, place.open
        while place.at < last:
            self._steps += 1
            _, ends, index = events[place.at]
            move = moves[index]
            if not ends:
                if move.kind is not Kind.REFUSE or not self._is_legal(place, move):
                    open_moves.add(index)
            elif index in open_moves:
                if move.kind is not Kind.TAKE or self._is_in_question(place, move):
                    return True
                self._happen(place, index)
            place.at += 1
        return False

    def _is_in_question(self, place: _Place, take: Move) -> bool:
        """Say whether a take that is due does not fit, or had better let another one go first.

        That may be so only if not all that are open would fit afterwards.
        """
        free = self._capacity - place.taken
        if take.quantity > free:
            return True
        moves = self._moves
        open_takes = (moves[i].quantity for i in place.open if moves[i].kind is Kind.TAKE)
        return sum(open_takes) > free

    def _is_legal(self, place: _Place, refusal: Move) -> bool:
        own = sum(
            self._moves[take].quantity
            for take in refusal.own
            if self._has_happened(place, take)
            and not self._has_happened(place, self._backs.get(take))
        )
        return place.taken - own >= refusal.quantity

    def _has_happened(self, place: _Place, index: int | None) -> bool:
        return index is not None and self._begins[index] < place.at and index not in place.open

    def _happen(self, place: _Place, index: int) -> None:
        move = self._moves[index]
        place.open.discard(index)
        if move.kind is Kind.TAKE:
            place.taken += move.quantity
            legal = [
                other
                for other in place.open
                if self._moves[other].kind is Kind.REFUSE
                and self._is_legal(place, self._moves[other])
            ]
            place.open.difference_update(legal)
        elif move.kind is Kind.GIVE_BACK:
            place.taken -= move.quantity

    def _alternatives(self, place: _Place) -> list[_Place]:
        """Try each move that may happen now, the due one first; most promising first."""
        due = self._events[place.at][2]
        move = self._moves[due]
        useful: list[int] = []
        if move.kind is Kind.GIVE_BACK and move.after not in place.open:
            useful.append(due)
        takes = [i for i in self._open(place, Kind.TAKE) if self._moves[i].after not in place.open]
        most = place.taken + sum(self._moves[index].quantity for index in takes)
        gives = [
            i for i in self._open(place, Kind.GIVE_BACK) if self._moves[i].after not in place.open
        ]
        if move.kind is Kind.TAKE and place.taken + move.quantity <= self._capacity:
            useful.append(due)
        elif move.kind is Kind.TAKE:
            least = place.taken - sum(self._moves[index].quantity for index in gives)
            if least + move.quantity > self._capacity:
                return []
            useful += self._first_of_each_quantity(gives)
        if move.kind is Kind.TAKE:
            useful += self._come_and_go(place, takes, gives)
        elif move.kind is Kind.REFUSE and most < move.quantity:
            return []
        waiting = any(self._moves[i].quantity <= most for i in self._open(place, Kind.REFUSE))
        blocked = move.kind is Kind.GIVE_BACK and move.after in place.open
        if waiting or blocked:
            useful += self._raise_taken(place, takes, gives)
        return [self._after(place, index) for index in dict.fromkeys(useful)]

    def _come_and_go(self, place: _Place, takes: list[int], gives: list[int]) -> list[int]:
        """List what helps takes that may be given back at once, before the one that is due."""
        open_gives = {self._moves[index].after for index in self._open(place, Kind.GIVE_BACK)}
        return self._raise_taken(place, [i for i in takes if i in open_gives], gives)

    def _raise_taken(self, place: _Place, takes: list[int], gives: list[int]) -> list[int]:
        """List takes that fit and, if some do not, what could make room for them."""
        free = self._capacity - place.taken
        fitting = [index for index in takes if self._moves[index].quantity <= free]
        if len(fitting) < len(takes):
            fitting += self._first_of_each_quantity(gives)
        return fitting

    def _after(self, place: _Place, index: int) -> _Place:
        self._steps += 1
        after = _Place(place.at, place.taken, set(place.open))
        self._happen(after, index)
        return after

    def _open(self, place: _Place, kind: Kind) -> list[int]:
        """List open moves of a kind, those due first first."""
        found = [index for index in place.open if self._moves[index].kind is kind]
        return sorted(found, key=lambda index: (self._moves[index].until_s, index))

    def _first_of_each_quantity(self, gives: list[int]) -> list[int]:
        first: dict[int, int] = {}
        for index in gives:
            if index not in self._marked:
                first.setdefault(self._moves[index].quantity, index)
        return [index for index in gives if index in self._marked or index in first.values()]

    def _surely_wrong(self) -> int | None:
        """Find the first event that no order of anything could explain, without a search."""
        found = [at for at in (self._too_many_taken(), self._too_few_taken()) if at is not None]
        return min(found, default=None)

    def _too_many_taken(self) -> int | None:
        """Find a take that ended while what was surely taken did not leave room for it."""
        surely = 0  # by takes that have ended, and may not have been given back
        ended: set[int] = set()
        early: set[int] = set()  # takes that may have been given back before they ended
        for at, (_, ends, index) in enumerate(self._events):
            move = self._moves[index]
            if move.kind is Kind.TAKE and ends and index not in early:
                ended.add(index)
                surely += move.quantity
                if surely > self._capacity:
                    return at
            elif move.kind is Kind.GIVE_BACK and not ends:
                assert move.after is not None  # every give-back belongs to a take
                surely -= move.quantity if move.after in ended else 0
                early.add(move.after)
        return None

    def _too_few_taken(self) -> int | None:
        """Find a refusal that ended while what was possibly taken was never enough for it."""
        begun = given_back = 0  # takes that may have happened, give-backs that surely have
        given_back_before: dict[int, int] = {}
        for at, (_, ends, index) in enumerate(self._events):
            move = self._moves[index]
            if move.kind is Kind.TAKE:
                begun += 0 if ends else move.quantity
            elif move.kind is Kind.GIVE_BACK:
                given_back += move.quantity if ends else 0
            elif not ends:
                given_back_before[index] = given_back
            elif begun - given_back_before[index] < move.quantity:
                return at
        return None
