"""When the tickets of each hold were taken and given back, as far as the record tells.

The calls about one hold bound two instants: when its tickets were taken, and when they were free
again. A record whose bounds contradict each other is wrong whatever the other buyers did.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from model.history import FaultSpan, Operation, Outcome
from properties.evidence import Evidence, HoldLife, ended_s
from properties.invariants.hold_honoured import BROKEN_BY
from properties.telling import life_op_ids, tickets
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

    A hold that may have ended when it was acknowledged again has one stay for each time; `asked`
    is the request that was acknowledged. `transit` is when a sold hold may count twice: its order
    is committed, its hold not dropped yet.
    """

    life: HoldLife
    asked: Operation
    taken: Span
    ended: Span | None
    transit: Span | None
    over_s: float  # from when it may be over, or sold, with its tickets taken still
    to_end_s: float  # by what its buyer was told and did, on an exact clock


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
    """Return the stays of each hold that was acknowledged or sold, and what contradicts itself."""
    faults = Faults(evidence.faults)
    stays: list[Stay] = []
    violations: list[Violation] = []
    for life in evidence.lives.values():
        if life.granted is None and not life.ordered:
            continue
        reading = _Reading(life, evidence, faults)
        stays.extend(reading.stays())
        violations.extend(reading.contradictions())
    return stays, violations


@dataclass(slots=True, kw_only=True)
class _Grant:
    """An acknowledgement that may have taken the tickets, and what later ones said of that hold.

    `deadline_s` is the earliest deadline told, `last_deadline_s` the latest; `released_s` is when
    it may have been given back. It ends at `ends_from_s` at the earliest, and at `ends_until_s` at
    the latest.
    """

    asked: Operation
    deadline_s: float
    last_deadline_s: float
    released_s: float = inf
    ends_from_s: float = inf
    ends_until_s: float = inf


class _Reading:
    """What the calls about one hold say together."""

    def __init__(self, life: HoldLife, evidence: Evidence, faults: Faults) -> None:
        self.life = life
        self._evidence = evidence
        self._faults = faults
        self._refusals = [
            op for op in life.checkouts if op.outcome is Outcome.REFUSED and op.reason in BROKEN_BY
        ]
        told = (op for op in life.asks if op.outcome is Outcome.OK)
        self._told = sorted(told, key=ended_s)
        self._grants = self._granted()
        self._unsettled = self._asked_in_doubt() if life.ordered and self._grants else None

    def _granted(self) -> list[_Grant]:
        """List the acknowledgements that may have taken tickets.

        The first one did. Another one did nothing if the hold was surely there, or sold; if it may
        have ended before, the tickets may have been taken anew.
        """
        grants: list[_Grant] = []
        bought_s = self._bought_s()
        for op in self._told:
            assert op.expires_s is not None  # `gather` refuses a history without it
            if not grants or (ended_s(op) >= grants[-1].ends_from_s and op.invoked_s <= bought_s):
                # Of answers that overlap nobody knows which came first.
                told = [o for o in self._told if op.invoked_s <= ended_s(o) <= ended_s(op)]
                deadlines = [o.expires_s for o in told if o.expires_s is not None]
                grants.append(
                    _Grant(asked=op, deadline_s=min(deadlines), last_deadline_s=max(deadlines))
                )
            elif op.invoked_s <= bought_s:
                grants[-1].deadline_s = min(grants[-1].deadline_s, op.expires_s)
                grants[-1].last_deadline_s = max(grants[-1].last_deadline_s, op.expires_s)
            self._bound(grants[-1])
        return grants

    def _asked_in_doubt(self) -> Operation | None:
        """Return the first repeat in doubt that may have taken the tickets that were sold."""
        bought_s = self._bought_s()
        if self._grants[-1].ends_from_s > bought_s:
            return None
        before = [op for op in self._told if op.invoked_s <= bought_s]
        doubtful = (
            op
            for op in self.life.asks
            if op.outcome is Outcome.UNKNOWN and op.invoked_s <= bought_s
        )
        return next((op for op in doubtful if not is_settled(op, before)), None)

    def _bound(self, grant: _Grant) -> None:
        """Work out from when until when a hold may have ended, by its deadline or a release."""
        slack_s = self._evidence.slack_s
        releases = [op for op in self.life.releases if op.outcome is not Outcome.NOT_APPLIED]
        may_end = (
            op.invoked_s
            for op in releases
            if op.outcome is Outcome.UNKNOWN or ended_s(op) >= grant.asked.invoked_s
        )
        grant.released_s = min(may_end, default=inf)
        lapses_s = grant.deadline_s - slack_s
        grant.ends_from_s = min(lapses_s, grant.released_s)
        # A payment refused before the deadline tells that a release in doubt had its effect.
        told = [op for op in self._refusals if grant.ends_from_s <= ended_s(op) < lapses_s]
        told += [op for op in releases if op.outcome is Outcome.OK]
        surely = [ended_s(op) for op in told if op.invoked_s > ended_s(grant.asked)]
        grant.ends_until_s = min([self._expired_until_s(grant, slack_s), *surely])

    def _expired_until_s(self, grant: _Grant, slack_s: float) -> float:
        """Return when the tickets of an expired hold are free again, at the latest."""
        bound_s = self._evidence.history.sweep_bound_s
        if not bound_s:
            return inf
        return self._faults.put_off(grant.last_deadline_s + slack_s, bound_s)

    def stays(self) -> list[Stay]:
        """Bound the instants at which the tickets were taken and free again, each time."""
        first = self._unsettled or (self.life.asks or self.life.checkouts)[0]
        stays: list[Stay] = []
        grants: list[_Grant | None] = [*self._grants]
        if not grants or self._unsettled is not None:
            grants.append(None)  # the hold that was sold was never acknowledged
        bought_s = self._buys_from_s() if self.life.ordered else inf
        for grant in grants:
            sold = self.life.ordered and grant is grants[-1]
            lapses_s = inf if grant is None else grant.deadline_s - self._evidence.slack_s
            stays.append(
                Stay(
                    life=self.life,
                    asked=first if grant is None else grant.asked,
                    taken=self._taken(grant, first, stays),
                    ended=None if grant is None or sold else self._ended(grant),
                    transit=self._transit(grant) if sold else None,
                    over_s=bought_s if sold else min(lapses_s, bought_s),
                    to_end_s=inf if grant is None else min(grant.deadline_s, grant.released_s),
                )
            )
        return stays

    def _taken(self, grant: _Grant | None, first: Operation, before: list[Stay]) -> Span:
        """Bound when the tickets were taken: by this request, or by one still in doubt."""
        tries = [op for op in self.life.asks if _may_have_applied(op)]
        until_s = self._bought_s() if grant is None else ended_s(grant.asked)
        if until_s == inf:  # nobody was told; the audit has its order
            until_s = max(first.invoked_s, self._evidence.end_s)
        if not before:
            from_s = min([op.invoked_s for op in tries], default=first.invoked_s)
            return Span(from_s=from_s, until_s=until_s)
        ended = before[-1].ended
        assert ended is not None  # only the last one is sold
        may_be = [first.invoked_s] if grant is None else self._askings(grant, tries)
        return Span(from_s=max(ended.from_s, min(may_be)), until_s=until_s)

    def _askings(self, grant: _Grant, tries: list[Operation]) -> list[float]:
        """List when requests began that may have taken the tickets anew: none settled before."""
        asked_s = ended_s(grant.asked)
        before = [told for told in self._told if ended_s(told) < asked_s]
        return [
            op.invoked_s
            for op in tries
            if (ended_s(op) >= asked_s and op.outcome is Outcome.OK)
            or (op.outcome is Outcome.UNKNOWN and not is_settled(op, before))
        ]

    def _ended(self, grant: _Grant) -> Span:
        """Bound when the tickets of a hold that was not sold were free again.

        A refused payment says that the hold is over, not that its tickets have been swept; one that
        came too early is told as a contradiction, and here the hold ended with it. A hold that may
        have been sold by then is not surely free.
        """
        early = (op.invoked_s for op in self._refusals if self._is_early(op, grant))
        from_s = min([grant.ends_from_s, *early])
        until_s = grant.ends_until_s
        unsure = self._evidence.audit is None and any(
            op.outcome is Outcome.UNKNOWN for op in self.life.checkouts
        )
        if unsure or (self.life.ordered and until_s >= self._buys_from_s()):
            until_s = inf
        return Span(from_s=from_s, until_s=max(from_s, until_s))

    def _is_early(self, refusal: Operation, grant: _Grant) -> bool:
        """Say whether a payment was refused while the hold was surely there."""
        return ended_s(grant.asked) < refusal.invoked_s and ended_s(refusal) < grant.ends_from_s

    def _bought_s(self) -> float:
        return min(
            (ended_s(op) for op in self.life.checkouts if op.outcome is Outcome.OK), default=inf
        )

    def _buys_from_s(self) -> float:
        """Return when the first call began that may have sold it."""
        return min(
            (op.invoked_s for op in self.life.checkouts if _may_have_applied(op)), default=-inf
        )

    def _transit(self, grant: _Grant | None) -> Span:
        """Until the hold is dropped: at the answer, or when it ends if that may have failed."""
        from_s = self._buys_from_s()
        until_s = self._bought_s()
        doubted = any(op.outcome is Outcome.UNKNOWN for op in self.life.checkouts)
        if doubted or until_s == inf or self._faults.touch(from_s, until_s):
            dropped_s = inf if grant is None else self._expired_until_s(grant, 0.0)
            until_s = max(until_s if until_s < inf else from_s, dropped_s)
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
            live = next((grant for grant in self._grants if self._is_early(op, grant)), None)
            if not life.ordered and live is not None:
                return self._tell(
                    f"{op.actor} held {_tickets(live.asked)} until {live.deadline_s:.1f} s, and "
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
        if not bought or not self._grants or self._unsettled is not None:
            return None
        grant = self._grants[-1]
        from_s = self._buys_from_s()
        over = (op for op in self._refusals if op.invoked_s > ended_s(grant.asked))
        refused_s = min((ended_s(op) for op in over), default=inf)
        ended_until_s = min(grant.ends_until_s, refused_s)
        if from_s <= ended_until_s:
            return None
        first = min(bought, key=ended_s)
        how = "been refused" if ended_until_s == refused_s else "ended"
        return self._tell(
            f"{life.actor} was sold {_tickets(grant.asked)} by a call that began at {from_s:.1f} "
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


def is_settled(doubtful: Operation, told: Iterable[Operation]) -> bool:
    """Say whether one of these acknowledged requests repeated one in doubt, and so settled it.

    A repeat begins when the first call is over; one of a call that never was, is answered later.
    """
    over_s = doubtful.completed_s
    if over_s is None:
        return any(ended_s(op) >= doubtful.invoked_s for op in told)
    return any(op.invoked_s >= over_s for op in told)


def _may_have_applied(op: Operation) -> bool:
    return op.outcome in (Outcome.OK, Outcome.UNKNOWN)


def _tickets(op: Operation) -> str:
    if op.seats:
        return f"seat{'s' * (len(op.seats) > 1)} {', '.join(op.seats)}"
    return tickets(op.quantity)
