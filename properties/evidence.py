"""A history, indexed once so that every invariant can be judged in near-linear time.

Nothing is judged here. What is decided here is only what belongs together: the attempts at one
hold, the payment attempts on it, the order rows and payments they led to.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from model.history import Audit, FaultSpan, History, Operation, OrderRow, Outcome

BUYER_KINDS = frozenset({"hold", "release", "checkout"})
SKEW_SLACK_SDS = 5.0


class IncompleteHistory(Exception):
    """A history that does not say what is needed to judge it."""


class Term(NamedTuple):
    """One time that a hold was held: its first acknowledgement, and what bounds it.

    `deadline_s` is the earliest that was told; `released_s` is when a give-back began that may have
    ended it (infinity: none did).
    """

    granted: Operation
    deadline_s: float
    released_s: float


@dataclass(slots=True, kw_only=True)
class HoldLife:
    """Everything that was asked about one hold, oldest request first.

    `granted` is its first acknowledgement. A repeat may tell another deadline: `deadline_s` is the
    earliest told (what a buyer can surely rely on), `last_deadline_s` the latest. `released_s` is
    when its owner began to give it back (infinity: never, or surely without effect).
    """

    hold_id: str
    asks: list[Operation] = field(default_factory=list)
    releases: list[Operation] = field(default_factory=list)
    checkouts: list[Operation] = field(default_factory=list)
    rows: list[OrderRow] = field(default_factory=list)
    granted: Operation | None = None
    deadline_s: float = inf
    last_deadline_s: float = -inf
    released_s: float = inf
    ordered: bool = False  # an order row exists, or a checkout was acknowledged

    @property
    def actor(self) -> str:
        """Who asked for it."""
        return (self.asks or self.checkouts or self.releases)[0].actor

    def told_deadline_s(self, at_s: float) -> float:
        """Return the deadline its owner believes in at `at_s`: the one in the latest answer.

        A hold that was asked for again may have been extended, and the extension is a promise too.
        """
        told = [
            (ended_s(op), op.op_id, op.expires_s)
            for op in self.asks
            if op.outcome is Outcome.OK and op.expires_s is not None and ended_s(op) <= at_s
        ]
        return max(told)[2] if told else self.deadline_s

    def terms(self) -> list[Term]:
        """List the times it was held, oldest first: anew after each give-back that was over.

        And anew by a request that began when all it had been told of the term before was over. A
        request that overlaps a give-back belongs to the term before. A give-back in doubt may end
        any term.
        """
        acknowledged = [op for op in self.asks if op.outcome is Outcome.OK]
        over_s = sorted(ended_s(op) for op in self.releases if op.outcome is Outcome.OK)
        groups: dict[int, list[Operation]] = defaultdict(list)
        for op in acknowledged:
            groups[bisect_left(over_s, op.invoked_s)].append(op)
        return [self._term(each) for number in sorted(groups) for each in _lapsed(groups[number])]

    def _term(self, told: list[Operation]) -> Term:
        granted = min(told, key=ended_s)
        begun_s = (
            op.invoked_s
            for op in self.releases
            if op.outcome is Outcome.UNKNOWN
            or (op.outcome is not Outcome.NOT_APPLIED and ended_s(op) >= granted.invoked_s)
        )
        deadline_s = min(op.expires_s for op in told if op.expires_s is not None)
        return Term(granted=granted, deadline_s=deadline_s, released_s=min(begun_s, default=inf))

    def story(self) -> list[Operation]:
        """List the operations that made, gave back or paid it."""
        asks = [self.granted] if self.granted else self.asks
        return [*asks, *self.releases, *self.checkouts]


def _lapsed(told: list[Operation]) -> list[list[Operation]]:
    """Divide acknowledged requests, oldest first, where one began when the others had run out."""
    terms: list[list[Operation]] = []
    until_s = -inf
    for op in told:
        expires_s = inf if op.expires_s is None else op.expires_s
        if not terms or op.invoked_s > until_s:
            terms.append([])
            until_s = expires_s
        terms[-1].append(op)
        until_s = min(until_s, expires_s)
    return terms


class Sold(NamedTuple):
    """Tickets that somebody owns: an order row, or an acknowledged checkout without one.

    `at_s` is the first acknowledgement; for an order nobody was told about, when it was paid.
    """

    event_id: int
    quantity: int
    seats: tuple[str, ...]
    key: str
    owner: str
    at_s: float
    life: HoldLife | None
    label: str


@dataclass(slots=True, kw_only=True)
class Evidence:
    """A history with its indexes; build it with `gather`.

    `end_s` is when the record ends. `slack_s` is how far two clocks of the deployment may differ
    (see `clock_slack_s`); every comparison with a deadline leaves it to the code under test.
    """

    history: History
    audit: Audit | None
    operations: list[Operation]
    lives: dict[str, HoldLife]
    granted: list[HoldLife]
    capacity: dict[int, int]
    faults: list[FaultSpan]
    rows: list[OrderRow]
    rows_by_key: dict[str, list[OrderRow]]
    captured_at: dict[str, float]
    sold: list[Sold]
    end_s: float
    slack_s: float

    def sold_tickets(self, event_id: int) -> int:
        """Count the tickets of `event_id` that somebody owns."""
        return sum(sale.quantity for sale in self.sold if sale.event_id == event_id)

    def audited_tickets(self, event_id: int) -> int:
        """Count the tickets of `event_id` in the audit's order rows."""
        return sum(row.quantity for row in self.rows if row.event_id == event_id)


def gather(history: History) -> Evidence:
    """Index `history`; the order in which it lists its operations does not matter.

    Raises:
        IncompleteHistory: an operation names an event whose capacity is not given.
    """
    operations = sorted(history.operations, key=lambda op: (op.invoked_s, op.op_id))
    audit = history.audit
    capacity = {row.event_id: row.capacity for row in audit.stock} if audit else {}
    capacity.update(history.capacity)
    rows = sorted(audit.orders, key=lambda row: row.order_id) if audit else []
    lives = _lives(operations, rows)
    _check_events(operations, capacity)
    captured_at = _captures(operations, audit)
    rows_by_key: dict[str, list[OrderRow]] = defaultdict(list)
    for row in rows:
        rows_by_key[row.key].append(row)
    evidence = Evidence(
        history=history,
        audit=audit,
        operations=operations,
        lives=lives,
        granted=[life for life in lives.values() if life.granted],
        capacity=dict(sorted(capacity.items())),
        faults=sorted(
            (span for span in history.faults if span.struck),
            key=lambda span: (span.started_s, span.fault),
        ),
        rows=rows,
        rows_by_key=dict(rows_by_key),
        captured_at=captured_at,
        sold=[],
        end_s=_end_s(operations, audit),
        slack_s=clock_slack_s(history),
    )
    evidence.sold.extend(_sold(evidence))
    return evidence


def clock_slack_s(history: History) -> float:
    """Say how much two clocks of this deployment may disagree, in seconds.

    Deadlines are told by one clock and enforced by another. The scenario draws each clock's offset
    from a normal distribution; the difference of two has a standard deviation of sqrt(2) times
    that, so five standard deviations cover all but about 4 in 10,000 pairs of clocks. Read from
    `meta["clock_skew_sd_s"]` or the recorded scenario; 0.0 when neither says anything.
    """
    meta = history.meta
    skew = meta.get("clock_skew_sd_s")
    if skew is None:
        scenario = meta.get("scenario")
        servers = scenario.get("servers") if isinstance(scenario, dict) else None
        skew = servers.get("clock_skew_sd_s") if isinstance(servers, dict) else None
    return SKEW_SLACK_SDS * float(skew or 0.0)


def answered(operation: Operation) -> bool:
    """Say whether the caller got a definite answer: yes or no."""
    return operation.outcome in (Outcome.OK, Outcome.REFUSED)


def ended_s(operation: Operation) -> float:
    """Return when the call returned (infinity: never)."""
    return inf if operation.completed_s is None else operation.completed_s


def matching_row(operation: Operation, evidence: Evidence) -> OrderRow | None:
    """Find the audit's order row of an acknowledged checkout.

    By idempotency key, or by order number on the same hold: a strategy without idempotency may
    store a key of its own.
    """
    for row in evidence.rows_by_key.get(operation.key, ()):
        if operation.order_id is None or row.order_id == operation.order_id:
            return row
    life = evidence.lives.get(operation.hold_id)
    for row in life.rows if life else ():
        if row.order_id == operation.order_id:
            return row
    rows = evidence.rows_by_key.get(operation.key)
    return rows[0] if rows else None


def _lives(operations: list[Operation], rows: list[OrderRow]) -> dict[str, HoldLife]:
    lives: dict[str, HoldLife] = {}
    for op in operations:
        if op.kind not in BUYER_KINDS:
            continue
        life = lives.get(op.hold_id)
        if life is None:
            life = lives[op.hold_id] = HoldLife(hold_id=op.hold_id)
        if op.kind == "checkout":
            life.checkouts.append(op)
            life.ordered = life.ordered or op.outcome is Outcome.OK
        elif op.kind == "release":
            life.releases.append(op)
            if op.outcome is not Outcome.NOT_APPLIED:
                life.released_s = min(life.released_s, op.invoked_s)
        else:
            life.asks.append(op)
            if op.outcome is Outcome.OK:
                _grant(life, op)
    for row in rows:
        life = lives.get(row.hold_id)
        if life is not None:
            life.rows.append(row)
            life.ordered = True
    return lives


def _grant(life: HoldLife, op: Operation) -> None:
    if op.completed_s is None or op.expires_s is None:
        raise IncompleteHistory(
            f"operation {op.op_id} is an acknowledged hold without completed_s or expires_s"
        )
    if life.granted is None or op.completed_s < ended_s(life.granted):
        life.granted = op
    life.deadline_s = min(life.deadline_s, op.expires_s)
    life.last_deadline_s = max(life.last_deadline_s, op.expires_s)


def _check_events(operations: list[Operation], capacity: dict[int, int]) -> None:
    for op in operations:
        if op.event_id not in capacity and op.kind in BUYER_KINDS:
            raise IncompleteHistory(
                f"operation {op.op_id} is about event {op.event_id}, whose capacity the history "
                f"does not give; it gives events {sorted(capacity)}"
            )


def _captures(operations: list[Operation], audit: Audit | None) -> dict[str, float]:
    captured_at: dict[str, float] = {}
    for op in operations:
        if op.kind == "checkout" and op.captured_s is not None:
            captured_at[op.key] = min(op.captured_s, captured_at.get(op.key, inf))
    for payment in audit.payments if audit else ():
        if payment.captured_s is not None:
            captured_at[payment.key] = payment.captured_s  # the provider's ledger is the authority
    return captured_at


def _end_s(operations: list[Operation], audit: Audit | None) -> float:
    if audit is not None:
        return audit.at_s
    times = (op.invoked_s if op.completed_s is None else op.completed_s for op in operations)
    return max(times, default=0.0)


def _sold(evidence: Evidence) -> list[Sold]:
    """Join order rows with acknowledged checkouts, each order once, earliest first."""
    told_at: dict[int, float] = {}  # order number -> first acknowledgement
    orphans: dict[tuple[str, str], Operation] = {}  # acknowledged, but not in the audit
    for op in evidence.operations:
        if op.kind != "checkout" or op.outcome is not Outcome.OK:
            continue
        row = matching_row(op, evidence)
        if row is None:
            orphans.setdefault((op.hold_id, op.key), op)
        else:
            told_at[row.order_id] = min(ended_s(op), told_at.get(row.order_id, inf))
    sales = [_sold_row(row, told_at, evidence) for row in evidence.rows]
    sales.extend(_sold_orphan(op, evidence.lives[op.hold_id]) for op in orphans.values())
    return sorted(sales, key=lambda sale: (sale.at_s, sale.key, sale.label))


def _sold_row(row: OrderRow, told_at: dict[int, float], evidence: Evidence) -> Sold:
    life = evidence.lives.get(row.hold_id)
    at_s = told_at.get(row.order_id)
    if at_s is None:  # nobody was told of it
        keys = [row.key, *(op.key for op in (life.checkouts if life else ()))]
        at_s = min((evidence.captured_at.get(key, inf) for key in keys), default=inf)
        at_s = min(at_s, evidence.end_s)
    return Sold(
        event_id=row.event_id,
        quantity=row.quantity,
        seats=row.seats,
        key=row.key,
        owner=life.actor if life else row.customer_id,
        at_s=at_s,
        life=life,
        label=f"order {row.order_id}",
    )


def _sold_orphan(op: Operation, life: HoldLife) -> Sold:
    asked = life.granted or op
    return Sold(
        event_id=op.event_id,
        quantity=op.quantity or asked.quantity,
        seats=op.seats or asked.seats,
        key=op.key,
        owner=op.actor,
        at_s=ended_s(op),
        life=life,
        label=f"acknowledged checkout {op.op_id}",
    )
