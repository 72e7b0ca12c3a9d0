"""One field of a good history is made bad; the invariant that guards it must notice."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from model.history import Audit, History, Operation, OrderRow, Outcome, PaymentRow
from properties.judge import judge
from properties.verdicts import Status
from tests.properties.recordings import RECORDINGS

Mutation = Callable[[History], None]


def _op(history: History, kind: str, actor: str) -> Operation:
    return next(op for op in history.operations if op.kind == kind and op.actor == actor)


def _audit(history: History) -> Audit:
    assert history.audit is not None
    return history.audit


def _stock(**columns: int) -> Mutation:
    def mutate(history: History) -> None:
        audit = _audit(history)
        history.audit = replace(audit, stock=(replace(audit.stock[0], **columns),))

    return mutate


def _orders(change: Callable[[tuple[OrderRow, ...]], tuple[OrderRow, ...]]) -> Mutation:
    def mutate(history: History) -> None:
        audit = _audit(history)
        history.audit = replace(audit, orders=change(audit.orders))

    return mutate


def _payments(change: Callable[[tuple[PaymentRow, ...]], tuple[PaymentRow, ...]]) -> Mutation:
    def mutate(history: History) -> None:
        audit = _audit(history)
        history.audit = replace(audit, payments=change(audit.payments))

    return mutate


def _field(kind: str, actor: str, **fields: object) -> Mutation:
    def mutate(history: History) -> None:
        for name, value in fields.items():
            setattr(_op(history, kind, actor), name, value)

    return mutate


def _capacity(history: History) -> None:
    history.capacity = {1: 2}


def _silence(history: History) -> None:
    for op in history.operations:
        if op.invoked_s >= history.faults[0].ended_s:  # type: ignore[operator] # it was healed
            op.outcome = Outcome.NOT_APPLIED


MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "a smaller hall": ("no-overbooking", _capacity),
    "an order over two": ("no-overbooking", _orders(lambda o: (replace(o[0], quantity=2), *o[1:]))),
    "the same seat": (
        "seat-sold-once",
        _orders(lambda o: (replace(o[0], seats=o[1].seats), *o[1:])),
    ),
    "ann refused in time": (
        "hold-honoured",
        _field("checkout", "ann", outcome=Outcome.REFUSED, reason="HoldExpired"),
    ),
    "eve refused before the end": (
        "hold-honoured",
        _field("checkout", "eve", invoked_s=1000.0, completed_s=1000.1),
    ),
    "cid still holds A3 when eve does": (
        "no-overhold",
        _field("release", "cid", invoked_s=300.0, completed_s=300.01),
    ),
    "fay holds what eve still holds": (
        "no-overhold",
        _field("hold", "fay", invoked_s=1050.0, completed_s=1050.1),
    ),
    "one ticket sellable too many": ("stock-conserved", _stock(sellable=1)),
    "a lost update": ("stock-conserved", _stock(remaining_ticket=1)),
    "a miscount of sales": ("stock-conserved", _stock(sold=2)),
    "a ticket still held": ("stock-conserved", _stock(held=1)),
    "an unsold ticket nobody can buy": ("no-leak", _orders(lambda o: o[:-1])),
    "an order without payment": ("charged-once", _payments(lambda p: p[1:])),
    "a refund beside the order": (
        "charged-once",
        _payments(lambda p: (replace(p[0], refunded_s=500.0), *p[1:])),
    ),
    "money taken twice": ("charged-once", _payments(lambda p: (*p, p[0]))),
    "money for nothing": (
        "charged-once",
        _payments(lambda p: (*p, replace(p[0], key="key-of-nobody"))),
    ),
    "a second order of the key": (
        "charged-once",
        _orders(lambda o: (*o, replace(o[0], order_id=99))),
    ),
    "an order row gone": ("orders-durable", _orders(lambda o: o[1:])),
    "an order row that shrank": (
        "orders-durable",
        _orders(lambda o: (replace(o[0], quantity=0), *o[1:])),
    ),
    "an order row for another seat": (
        "orders-durable",
        _orders(lambda o: (replace(o[0], seats=("Z9",)), *o[1:])),
    ),
    "a deadline before the payment": ("expiry-honoured", _field("hold", "ann", expires_s=100.0)),
    "bob refused a seat that nobody has": ("linearizable", _field("hold", "bob", seats=("A9",))),
    "fay given a seat that eve holds": (
        "linearizable",
        _field("hold", "fay", invoked_s=1000.0, completed_s=1000.1),
    ),
    "nobody answered after the kill": ("sale-goes-on", _silence),
}


@pytest.mark.parametrize("what", list(MUTATIONS))
def test_one_bad_field_is_caught(what: str) -> None:
    """The good history holds; with one field changed, the named invariant is violated."""
    name, mutate = MUTATIONS[what]
    history = RECORDINGS["good-everything"]()
    if name == "no-leak":  # the ticket is lost from the acknowledgements as well
        _op(history, "checkout", "fay").outcome = Outcome.UNKNOWN
    assert judge(RECORDINGS["good-everything"]())[name].status is Status.HOLDS
    mutate(history)
    verdict = judge(history)[name]
    assert verdict.status is Status.VIOLATED, verdict
