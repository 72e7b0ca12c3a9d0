"""A box office that serves one buyer at a time: what a strategy must answer when nobody races."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from reservation.api import Hold

JUST_PAST_S = 0.01


class State(Enum):
    """What has become of a hold."""

    LIVE = "live"
    OVER = "over"  # ended, its tickets not swept yet
    GONE = "gone"  # ended, given back or forgotten: its tickets are free
    SOLD = "sold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """In what the strategies rightly differ.

    `frees`: tickets of an ended hold are sellable at its deadline, or at the next sweep. `late`: a
    payment during which the hold ended is refused, sold while unsold tickets remain, or always
    sold. `again`: a hold that ended and is asked for again is refused, made anew, or lives again
    while it was not swept. `forgets`: a crash of Redis loses the holds. `counts_holds`: a hold
    leaves fewer tickets to hold.
    """

    frees: Literal["deadline", "sweep"] = "deadline"
    late: Literal["refused", "if-left", "always"] = "refused"
    again: Literal["refused", "anew", "revived"] = "anew"
    forgets: bool = False
    counts_holds: bool = True


@dataclass(slots=True)
class Ticket:
    """One hold as the box office remembers it."""

    hold: Hold
    deadline_s: float
    state: State = State.LIVE
    order_id: int | None = None
    refunded: bool = False

    @property
    def key(self) -> str:
        """The idempotency key of its payment."""
        return f"pay-{self.hold.hold_id}"


@dataclass(slots=True)
class BoxOffice:
    """Tickets are held, sold, given back and swept; the clock is told from outside."""

    capacity: int
    habits: Habits
    tickets: list[Ticket] = field(default_factory=list)

    def count(self, *states: State) -> int:
        """Count the tickets of holds in these states."""
        return sum(t.hold.quantity for t in self.tickets if t.state in states)

    @property
    def held(self) -> int:
        """Tickets that nobody else can have until they are sold or come back.

        A seat that was lost and sold to somebody else is sold, whoever still holds it.
        """
        sold = self._sold_seats()
        twice = sum(
            seat in sold
            for t in self.tickets
            if t.state in (State.LIVE, State.OVER)
            for seat in t.hold.seats
        )
        return self.count(State.LIVE, State.OVER) - twice

    @property
    def sold(self) -> int:
        """Tickets in orders."""
        return self.count(State.SOLD)

    @property
    def sellable(self) -> int:
        """What a new hold could get."""
        return self.capacity - self.sold - (self.held if self.habits.counts_holds else 0)

    def fits(self, quantity: int, seats: tuple[str, ...]) -> bool:
        """Say whether a new hold must be granted."""
        taken = {seat for t in self.tickets if t.state is not State.GONE for seat in t.hold.seats}
        return self.sellable >= quantity and not taken & set(seats)

    def pass_time(self, now_s: float) -> None:
        """End what has come to its deadline."""
        for ticket in self.tickets:
            if ticket.state is State.LIVE and ticket.deadline_s < now_s:
                ticket.state = State.OVER if self.habits.frees == "sweep" else State.GONE

    def sweep(self) -> None:
        """Free what has ended."""
        self._turn(State.OVER, State.GONE)

    def crash(self) -> None:
        """Forget what only Redis knew, if it forgets."""
        if self.habits.forgets:
            self._turn(State.OVER, State.GONE)
            self._turn(State.LIVE, State.GONE)

    def release(self, ticket: Ticket) -> None:
        """Free a hold; one that is sold or gone stays what it is."""
        if ticket.state in (State.LIVE, State.OVER):
            ticket.state = State.GONE

    def sells(self, ticket: Ticket) -> bool:
        """Say whether a payment that was begun in time must become an order now."""
        if self.habits.late == "if-left":
            free = not self._sold_seats() & set(ticket.hold.seats)
            return free and self.capacity - self.sold >= ticket.hold.quantity
        return ticket.state is State.LIVE or self.habits.late == "always"

    def _sold_seats(self) -> set[str]:
        return {s for t in self.tickets if t.state is State.SOLD for s in t.hold.seats}

    def _turn(self, old: State, new: State) -> None:
        for ticket in self.tickets:
            if ticket.state is old:
                ticket.state = new
