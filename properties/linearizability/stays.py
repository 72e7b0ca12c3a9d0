"""When the tickets of each hold were taken and given back, as far as the record tells.

The calls about one hold bound two instants: when its tickets were taken, and when they were free
again. A record whose bounds contradict each other is wrong whatever the other buyers did.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from model.history import FaultSpan, Operation, Outcome
from properties.evidence import Evidence, HoldLife, ended_s
from properties.invariants.hold_honoured import BROKEN_BY
from properties.telling import life_op_ids
from properties.verdicts import Violation

NAME = "linearizable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From when until when something happened, or may have happened (infinity: or never)."""

    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """A hold's tickets: taken once, and given back once unless they were sold (`ended` None).

    `transit` is when a sold hold may count twice: its order is committed, its hold not dropped yet.
    """

    life: HoldLife
    event_id: int
    quantity: int
    seats: tuple[str, ...]
    taken: Span
    ended: Span | None
    transit: Span | None


class Faults:
    """The faults of a record, for two questions about spans of time."""

    def __init__(self, spans: list[FaultSpan]) -> None:
        """Index spans that are sorted by their start."""
        self._starts_s = [span.started_s for span in spans]
        self._ends_s = [inf if span.ended_s is None else span.ended_s for span in spans]
        self._latest_s = list(accumulate(self._ends_s, max))

    def touch(self, from_s: float, until_s: float) -> bool:
        """Say whether a fault was there at any instant of a span."""
        begun = bisect_right(self._starts_s, until_s)
        return begun > 0 and self._latest_s[begun - 1] >= from_s

    def put_off(self, from_s: float, bound_s: float) -> float:
        """Return `bound_s` after `from_s` or after the last fault met until then."""
        until_s = from_s + bound_s
        for started_s, ended_s_ in zip(self._starts_s, self._ends_s, strict=True):
            if started_s > until_s:
                break
            if ended_s_ >= from_s:
                until_s = max(until_s, ended_s_ + bound_s)
        return until_s


def stays_of(evidence: Evidence) -> tuple[list[Stay], list[Violation]]:
    """Return the stay of each hold that was acknowledged or sold, and what contradicts itself."""
    faults = Faults(evidence.faults)
    stays: list[Stay] = []
    violations: list[Violation] = []
    for life in evidence.lives.values():
        if life.granted is None and not life.ordered:
            continue
        reading = _Reading(life, evidence, faults)
        stays.append(reading.stay())
        violations.extend(reading.contradictions())
    return stays, violations


class _Reading:
    """What the calls about one hold say together."""

    def __init__(self, life: HoldLife, evidence: Evidence, faults: Faults) -> None:
        self.life = life
        self._evidence = evidence
        self._faults = faults
        self._refusals = [
            op for op in life.checkouts if op.outcome is Outcome.REFUSED and op.reason in BROKEN_BY
        ]
        slack_s = evidence.slack_s
        self._gives_up_s = [ended_s(op) for op in life.releases if op.outcome is Outcome.OK]
        self._ends_from_s = min(life.deadline_s - slack_s, life.released_s)
        self._ends_until_s = min([self._expired_until_s(slack_s), *self._gives_up_s])

    def _expired_until_s(self, slack_s: float) -> float:
        """Return when the tickets of an expired hold are free again, at the latest."""
        bound_s = self._evidence.history.sweep_bound_s
        if self.life.granted is None or not bound_s:
            return inf
        return self._faults.put_off(self.life.last_deadline_s + slack_s, bound_s)

    def stay(self) -> Stay:
        """Bound both instants."""
        life = self.life
        first = (life.asks or life.checkouts)[0]
        asked = life.granted or first
        return Stay(
            life=life,
            event_id=asked.event_id,
            quantity=asked.quantity,
            seats=asked.seats,
            taken=self._taken(first),
            ended=None if life.ordered else self._ended(),
            transit=self._transit() if life.ordered else None,
        )

    def _taken(self, first: Operation) -> Span:
        life = self.life
        tries = [op.invoked_s for op in life.asks if _may_have_applied(op)]
        until_s = ended_s(life.granted) if life.granted else self._bought_s()
        return Span(
            from_s=min([*tries, first.invoked_s]) if tries else first.invoked_s, until_s=until_s
        )

    def _ended(self) -> Span:
        """Bound when the tickets of a hold that was not sold were free again.

        A refused payment says that the hold is over, not that its tickets have been swept; one that
        came too early is told as a contradiction, and here the hold ended with it.
        """
        early = (op.invoked_s for op in self._refusals if ended_s(op) < self._ends_from_s)
        from_s = min([self._ends_from_s, *early])
        until_s = self._ends_until_s
        if self._evidence.audit is None and any(
            op.outcome is Outcome.UNKNOWN for op in self.life.checkouts
        ):
            until_s = inf  # it may have been sold for all that is known
        return Span(from_s=from_s, until_s=max(from_s, until_s))

    def _bought_s(self) -> float:
        return min(
            (ended_s(op) for op in self.life.checkouts if op.outcome is Outcome.OK), default=inf
        )

    def _buys_from_s(self) -> float:
        """Return when the first call began that may have sold it."""
        return min(
            (op.invoked_s for op in self.life.checkouts if _may_have_applied(op)), default=-inf
        )

    def _transit(self) -> Span:
        """Until the hold is dropped: at the answer, or when it ends if that may have failed."""
        from_s = self._buys_from_s()
        until_s = self._bought_s()
        doubted = any(op.outcome is Outcome.UNKNOWN for op in self.life.checkouts)
        if doubted or until_s == inf or self._faults.touch(from_s, until_s):
            until_s = max(until_s if until_s < inf else from_s, self._expired_until_s(0.0))
        return Span(from_s=from_s, until_s=until_s)

    def contradictions(self) -> Iterator[Violation]:
        """Tell what no order of this hold's own calls explains; one at most."""
        broken = self._broken() or self._sold_after_end() or self._sold_twice()
        if broken is not None:
            yield broken

    def _broken(self) -> Violation | None:
        """Find a refused payment of a hold that was surely live, or sold under the same key."""
        life = self.life
        if life.granted is None:
            return None
        told = {
            op.key: op for op in reversed(life.checkouts) if op.outcome is Outcome.OK and op.key
        }
        for op in self._refusals:
            first = told.get(op.key)
            if first is not None and op.invoked_s > ended_s(first):
                return self._tell(
                    f"{op.actor} was sold {_tickets(life.granted)} at {ended_s(first):.1f} s and "
                    f"refused them under the same key at {ended_s(op):.1f} s ({op.reason}): the "
                    "first answer stands",
                    op,
                )
            if not life.ordered and ended_s(op) < self._ends_from_s:
                return self._tell(
                    f"{op.actor} held {_tickets(life.granted)} until {life.deadline_s:.1f} s, and "
                    f"the payment was refused at {ended_s(op):.1f} s ({op.reason}): no order of "
                    "the calls ends that hold before",
                    op,
                )
        return None

    def _sold_after_end(self) -> Violation | None:
        """Find an order on a hold that had surely ended when the call that made it began."""
        life = self.life
        bought = [op for op in life.checkouts if op.outcome is Outcome.OK]
        if not bought and life.rows:
            bought = [op for op in life.checkouts if op.outcome is Outcome.UNKNOWN]
        if not bought or life.granted is None:
            return None
        from_s = self._buys_from_s()
        refused_s = min((ended_s(op) for op in self._refusals), default=inf)
        ended_until_s = min(self._ends_until_s, refused_s)
        if from_s <= ended_until_s:
            return None
        first = min(bought, key=ended_s)
        how = "been refused" if ended_until_s == refused_s else "ended"
        return self._tell(
            f"{life.actor} was sold {_tickets(life.granted)} by a call that began at {from_s:.1f} "
            f"s, when the hold had {how} by {ended_until_s:.1f} s",
            first,
        )

    def _sold_twice(self) -> Violation | None:
        life = self.life
        numbers = {op.order_id for op in life.checkouts if op.outcome is Outcome.OK}
        numbers |= {row.order_id for row in life.rows}
        numbers.discard(None)
        if len(numbers) <= 1:
            return None
        orders = " and ".join(str(number) for number in sorted(n for n in numbers if n))
        last = max(life.checkouts, key=ended_s, default=None) or life.asks[-1]
        return self._tell(
            f"{life.actor}'s one hold of {_tickets(life.granted or last)} was sold "
            f"{len(numbers)} times: orders {orders}",
            last,
            amount=len(numbers) - 1,
        )

    def _tell(self, message: str, op: Operation, *, amount: int = 1) -> Violation:
        at_s = min(ended_s(op), self._evidence.end_s)
        return Violation(
            invariant=NAME,
            message=message,
            at_s=at_s,
            op_ids=life_op_ids([self.life]),
            actors=(self.life.actor,),
            amount=amount,
        )


def _may_have_applied(op: Operation) -> bool:
    return op.outcome in (Outcome.OK, Outcome.UNKNOWN)


def _tickets(op: Operation) -> str:
    if op.seats:
        return f"seat{'s' * (len(op.seats) > 1)} {', '.join(op.seats)}"
    return f"{op.quantity} ticket{'s' * (op.quantity != 1)}"
