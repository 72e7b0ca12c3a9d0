"""charged-once: every captured payment has one order or one refund; one order per key."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.history import Audit, Operation, OrderRow, PaymentRow
from properties.evidence import Evidence
from properties.telling import in_order, life_op_ids
from properties.verdicts import NO_AUDIT, Invariant, Verdict, Violation, conclude, inconclusive

NAME = "charged-once"


@dataclass(slots=True, kw_only=True)
class Account:
    """One idempotency key: what the provider took and gave back, and the orders made for it."""

    key: str
    payments: list[PaymentRow]
    orders: list[OrderRow]
    tries: list[Operation]

    @property
    def captured(self) -> list[PaymentRow]:
        """The payments that took money."""
        return [row for row in self.payments if row.captured_s is not None]

    @property
    def refunds(self) -> int:
        """How many of them were given back."""
        return sum(row.refunded_s is not None for row in self.captured)


def examine(evidence: Evidence) -> Verdict:
    """Balance the provider's ledger against the orders; `examined` counts captured payments.

    A payment captured less than `sweep_bound_s` before the audit may still be waiting for the job
    that settles doubtful payments, and is not judged as forgotten. Orders are matched by key, or by
    hold where a strategy stores keys of its own.
    """
    if evidence.audit is None:
        return inconclusive(NAME, NO_AUDIT)
    settled_by_s = evidence.audit.at_s - evidence.history.sweep_bound_s
    examined = 0
    violations: list[Violation] = []
    for account in accounts(evidence, evidence.audit):
        problems = list(_problems(account, settled_by_s))
        violations.extend(_unbalanced(account, problem, evidence) for problem in problems)
        fresh = any((row.captured_s or 0.0) > settled_by_s for row in account.captured)
        if problems or account.orders or account.refunds or not fresh:
            examined += len(account.captured)
    ledger = {payment.key for payment in evidence.audit.payments}
    violations.extend(_sold_twice(evidence, ledger))
    return conclude(
        NAME,
        examined=examined,
        violations=violations,
        nothing="no payment was captured long enough before the audit",
    )


def accounts(evidence: Evidence, audit: Audit) -> list[Account]:
    """Group the audit by idempotency key."""
    found: dict[str, Account] = {}

    def account(key: str) -> Account:
        if key not in found:
            found[key] = Account(key=key, payments=[], orders=[], tries=[])
        return found[key]

    for payment in sorted(audit.payments, key=lambda row: (row.captured_s or 0.0, row.key)):
        account(payment.key).payments.append(payment)
    ledger = set(found)
    for row in evidence.rows:
        account(_ledger_key(row, ledger, evidence)).orders.append(row)
    for op in evidence.operations:
        if op.kind == "checkout" and op.key in found:
            found[op.key].tries.append(op)
    return list(found.values())


def _ledger_key(row: OrderRow, ledger: set[str], evidence: Evidence) -> str:
    if row.key in ledger:
        return row.key
    life = evidence.lives.get(row.hold_id)
    for op in life.checkouts if life else ():
        if op.key in ledger:
            return op.key
    return row.key


def _problems(account: Account, settled_by_s: float) -> Iterator[str]:
    captured, orders, refunds = account.captured, account.orders, account.refunds
    if len(captured) > 1:
        yield f"was captured {len(captured)} times"
    if len(orders) > 1:
        yield f"has {len(orders)} orders: {', '.join(str(row.order_id) for row in orders)}"
    if orders and not captured:
        yield f"has order {orders[0].order_id} and was never captured"
    if orders and refunds:
        yield f"has order {orders[0].order_id} and was refunded as well"
    if captured and not orders and not refunds:
        captured_s = captured[0].captured_s or 0.0
        if captured_s <= settled_by_s:
            yield f"was captured at {captured_s:.1f} s and has neither an order nor a refund"


def _unbalanced(account: Account, problem: str, evidence: Evidence) -> Violation:
    times_s = [row.captured_s for row in account.captured if row.captured_s is not None]
    holds = [_hold(op.hold_id, evidence) for op in account.tries[:1]]
    holds.extend(_hold(row.hold_id, evidence) for row in account.orders[:1])
    operations = [op for asks in holds for op in asks] + account.tries
    actors = dict.fromkeys(op.actor for op in operations)
    who = f" of {next(iter(actors))}" if actors else ""
    return Violation(
        invariant=NAME,
        message=f"payment {account.key!r}{who} {problem}",
        at_s=max(times_s, default=evidence.end_s),
        op_ids=in_order(operations),
        actors=tuple(actors),
    )


def _hold(hold_id: str, evidence: Evidence) -> list[Operation]:
    life = evidence.lives.get(hold_id)
    if life is None:
        return []
    return [life.granted] if life.granted else life.asks


def _sold_twice(evidence: Evidence, ledger: set[str]) -> Iterator[Violation]:
    """Find holds sold under several payments: one hold is one order, whatever the keys."""
    for life in evidence.lives.values():
        if len(life.rows) < 2:  # noqa: PLR2004 - twice is what "once" forbids
            continue
        if len({_ledger_key(row, ledger, evidence) for row in life.rows}) == 1:
            continue  # several orders of one key are reported with that key
        orders = ", ".join(str(row.order_id) for row in life.rows)
        yield Violation(
            invariant=NAME,
            message=f"{life.actor}'s hold {life.hold_id!r} was sold as orders {orders}",
            at_s=evidence.end_s,
            op_ids=life_op_ids([life]),
            actors=(life.actor,),
            amount=len(life.rows) - 1,
        )


INVARIANT = Invariant(
    name=NAME,
    summary="every captured payment has exactly one order or one refund; one order per key",
    examine=examine,
)
