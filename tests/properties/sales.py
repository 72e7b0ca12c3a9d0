"""A small builder: tell a sale in a few lines, get the history a run would have left."""

from dataclasses import dataclass, field
from typing import Any

from model.history import (
    Audit,
    FaultSpan,
    History,
    Operation,
    OrderRow,
    Outcome,
    PaymentRow,
    StockRow,
)

PRICE_CENTS = 5000
AUTO = -1.0  # "work it out": captured just before the answer


@dataclass
class Sale:
    """One event's sale; each method adds an operation and returns it.

    Books are kept as a correct shop would: a paid checkout leaves an order row and a payment, an
    `OrderRefused` one a refunded payment. `ended` closes the sale with an audit; change what it
    returns to make a shop that lies.
    """

    capacity: int = 2
    ttl_s: float = 900.0
    sweep_bound_s: float = 90.0
    plan: str = "none"
    meta: dict[str, Any] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    faults: list[FaultSpan] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    payments: list[PaymentRow] = field(default_factory=list)

    def hold(self, who: str, at_s: float, quantity: int = 1, **changes: Any) -> Operation:
        """`who` asks for tickets and gets them; a refusal's `outcome` and `reason` are changes."""
        changes.setdefault("outcome", Outcome.OK)
        if changes["outcome"] is Outcome.OK:
            changes.setdefault("expires_s", at_s + self.ttl_s)
        return self._add("hold", who, at_s, 0.01, quantity=quantity, **changes)

    def sold_out(self, who: str, at_s: float, quantity: int = 1, **changes: Any) -> Operation:
        """`who` asks for tickets and is told that there are none."""
        refusal = {"outcome": Outcome.REFUSED, "reason": "SoldOut", **changes}
        return self.hold(who, at_s, quantity, **refusal)

    def release(self, who: str, at_s: float, **changes: Any) -> Operation:
        """`who` gives the hold back."""
        changes.setdefault("outcome", Outcome.OK)
        return self._add("release", who, at_s, 0.01, **changes)

    def pay(
        self,
        who: str,
        at_s: float,
        took_s: float = 60.0,
        *,
        captured_s: float | None = AUTO,
        **changes: Any,
    ) -> Operation:
        """`who` pays for the hold and gets an order."""
        key = changes.setdefault("key", f"key-{changes.get('hold_id', who)}")
        hold = self._hold_of(changes.get("hold_id", f"hold-{who}"))
        changes.setdefault("quantity", hold.quantity)
        changes.setdefault("seats", hold.seats)
        changes.setdefault("outcome", Outcome.OK)
        if captured_s == AUTO:
            captured_s = at_s + took_s - 0.02
        if changes["outcome"] is Outcome.OK:
            changes.setdefault("order_id", len(self.orders) + 1)
        op = self._add("checkout", who, at_s, took_s, captured_s=captured_s, **changes)
        if captured_s is not None:
            self.payment(key, captured_s)
        if op.order_id is not None and all(row.order_id != op.order_id for row in self.orders):
            self.order(op, op.order_id)
        return op

    def refused(
        self, who: str, at_s: float, reason: str, took_s: float = 60.0, **changes: Any
    ) -> Operation:
        """`who` pays and gets a no; an `OrderRefused` payment was captured and is refunded."""
        captured_s = changes.pop("captured_s", AUTO if reason == "OrderRefused" else None)
        op = self.pay(
            who,
            at_s,
            took_s,
            captured_s=captured_s,
            **{"outcome": Outcome.REFUSED, "reason": reason, **changes},
        )
        if reason == "OrderRefused":
            self.payments[-1] = self._refunded(self.payments[-1], op.completed_s)
        return op

    def order(self, op: Operation, order_id: int) -> OrderRow:
        """Write an order row for a checkout."""
        row = OrderRow(
            order_id=order_id,
            key=op.key,
            hold_id=op.hold_id,
            customer_id=op.actor,
            event_id=op.event_id,
            quantity=op.quantity,
            seats=op.seats,
        )
        self.orders.append(row)
        return row

    def payment(self, key: str, captured_s: float, refunded_s: float | None = None) -> None:
        """Write a captured payment into the provider's ledger, once per key."""
        if all(row.key != key for row in self.payments):
            self.payments.append(
                PaymentRow(
                    key=key,
                    amount_cents=PRICE_CENTS,
                    captured_s=captured_s,
                    refunded_s=refunded_s,
                )
            )

    def sweep(self, at_s: float, returned: int = 0, **changes: Any) -> Operation:
        """The sweeper runs."""
        changes.setdefault("outcome", Outcome.OK)
        return self._add(
            "sweep", "sweeper-app-0", at_s, 0.01, hold_id="", returned=returned, **changes
        )

    def strike(self, fault: str, at_s: float, healed_s: float | None) -> FaultSpan:
        """A fault strikes; `healed_s` None: it lasts to the end."""
        span = FaultSpan(fault=fault, started_s=at_s, ended_s=healed_s)
        self.faults.append(span)
        return span

    def ended(self, at_s: float | None = None, **stock: int) -> History:
        """Audit the sale at rest, by default late enough for every hold to have ended.

        `stock` overrides columns of the stock row, which otherwise adds up.
        """
        last_s = max((op.completed_s or op.invoked_s for op in self.operations), default=0.0)
        quiet_s = self.ttl_s + self.sweep_bound_s + 1.0
        sold = sum(row.quantity for row in self.orders)
        left = self.capacity - sold
        columns = {
            "remaining_ticket": left,
            "sellable": max(0, left - stock.get("held", 0)),
            "held": 0,
            "sold": sold,
            **stock,
        }
        history = self.cut()
        history.audit = Audit(
            at_s=last_s + quiet_s if at_s is None else at_s,
            quiet_s=quiet_s,
            stock=(StockRow(event_id=1, capacity=self.capacity, **columns),),
            orders=tuple(self.orders),
            payments=tuple(self.payments),
        )
        return history

    def cut(self) -> History:
        """Return the sale without an audit, as a run that was cut short leaves it."""
        return History(
            meta={"fault": self.plan, **self.meta},
            capacity={1: self.capacity},
            ttl_s=self.ttl_s,
            sweep_bound_s=self.sweep_bound_s,
            operations=list(self.operations),
            faults=list(self.faults),
        )

    def _add(self, kind: str, who: str, at_s: float, took_s: float, **changes: Any) -> Operation:
        fields: dict[str, Any] = {
            "op_id": len(self.operations) + 1,
            "actor": who,
            "kind": kind,
            "invoked_s": at_s,
            "completed_s": at_s + took_s,
            "hold_id": f"hold-{who}",
            **changes,
        }
        op = Operation(**fields)
        self.operations.append(op)
        return op

    def _hold_of(self, hold_id: str) -> Operation:
        return next(op for op in self.operations if op.kind == "hold" and op.hold_id == hold_id)

    @staticmethod
    def _refunded(row: PaymentRow, refunded_s: float | None) -> PaymentRow:
        return PaymentRow(
            key=row.key,
            amount_cents=row.amount_cents,
            captured_s=row.captured_s,
            refunded_s=refunded_s,
        )
