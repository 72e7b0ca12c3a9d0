"""Calls and answers survive the way between two processes."""

from typing import Any

import pytest

from model.live import wire
from model.live.redis_client import command_name
from reservation.api import (
    Availability,
    CheckoutRequest,
    Hold,
    HoldRequest,
    Order,
    Strategy,
    SweepReport,
)

HOLD = Hold(
    hold_id="h1", event_id=1, customer_id="b", quantity=2, seats=("A1", "A2"), expires_at=9.5
)
REQUEST = HoldRequest(hold_id="h1", event_id=1, customer_id="b", quantity=2, seats=("A1", "A2"))
CHECKOUT = CheckoutRequest(hold=HOLD, idempotency_key="k", amount_cents=10)
ORDER = Order(
    order_id=7,
    idempotency_key="k",
    event_id=1,
    customer_id="b",
    quantity=2,
    seats=("A1", "A2"),
)


class Heard:
    """A strategy that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def open_sale(self, event_id: int) -> None:
        """Nothing to open."""

    def hold(self, request: HoldRequest) -> Hold:
        """Grant."""
        self.asked.append(request)
        return HOLD

    def release(self, hold: Hold) -> None:
        """Take back."""
        self.asked.append(hold)

    def checkout(self, request: CheckoutRequest) -> Order:
        """Sell."""
        self.asked.append(request)
        return ORDER

    def sweep(self) -> SweepReport:
        """Sweep."""
        self.asked.append("sweep")
        return SweepReport(expired_holds=1, returned_tickets=2, refunded_payments=3)

    def run_task(self, name: str, argument: str) -> None:
        """Run."""
        self.asked.append((name, argument))

    def availability(self, event_id: int) -> Availability:
        """Nobody asks this from afar."""
        raise NotImplementedError


def far(strategy: Strategy, command: Any) -> Any:
    """Send a command there and its answer back, as bytes."""
    method, arguments = wire.unpack(wire.pack((command.method, command.arguments)))
    answer = wire.unpack(wire.pack(wire.obey(strategy, method, arguments)))
    return wire.answer_from(method, answer)


def test_every_call_arrives_and_is_answered() -> None:
    """What a buyer asks is what the strategy hears, and its answer is what the buyer gets."""
    strategy = Heard()
    dictation: Strategy = wire.Dictation(lambda hold: hold)
    assert far(strategy, dictation.hold(REQUEST)) == HOLD
    assert far(strategy, dictation.checkout(CHECKOUT)) == ORDER
    assert far(strategy, dictation.sweep()) == SweepReport(
        expired_holds=1, returned_tickets=2, refunded_payments=3
    )
    release: Any = dictation.release
    run_task: Any = dictation.run_task
    assert far(strategy, release(HOLD)) is None
    assert far(strategy, run_task("expire", "h1")) is None
    assert strategy.asked == [REQUEST, CHECKOUT, "sweep", HOLD, ("expire", "h1")]


@pytest.mark.parametrize(
    ("packed", "name"),
    [
        ([b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"], "GET"),
        (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n", "MULTI"),
        ([], ""),
    ],
)
def test_the_first_command_names_a_crossing(packed: Any, name: str) -> None:
    """A pipeline crosses under the name of its first command."""
    assert command_name(packed) == name
