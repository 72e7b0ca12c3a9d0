"""Recorded sales whose fault, if any, is in the order of their calls (`linearizable`)."""

from model.history import History, Outcome
from tests.properties.expected import (
    NO_LATE_PAYMENT,
    NOBODY_LEFT,
    PLAIN,
    recording,
)
from tests.properties.sales import Sale


@recording(violated=("linearizable",), inconclusive=PLAIN)
def bad_free_tickets_refused() -> History:
    """Bob is told that the last ticket is gone while nobody has it."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.sold_out("bob", 2.0)
    sale.hold("cid", 3.0)
    sale.pay("ann", 800.0)
    sale.release("cid", 20.0)
    return sale.ended()


@recording(
    violated=("linearizable",),
    inconclusive=("hold-honoured", "charged-once", "orders-durable", "no-overbooking", *PLAIN),
)
def bad_refused_long_after_the_end() -> History:
    """Ann's hold ended and the sweeper's bound has passed; bob is refused all the same."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.sold_out("bob", 1000.0)
    return sale.ended()


@recording(
    inconclusive=("hold-honoured", "charged-once", "orders-durable", "no-overbooking", *PLAIN)
)
def good_refused_before_the_sweep() -> History:
    """Ann's hold has ended and is not swept yet; bob is refused, and comes back."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.sold_out("bob", 920.0)
    sale.hold("bob", 935.0, hold_id="hold-bob-2")
    return sale.ended()


@recording(
    violated=("linearizable",),
    inconclusive=(
        "no-overbooking",
        "no-overhold",
        "orders-durable",
        *NOBODY_LEFT,
        *NO_LATE_PAYMENT,
    ),
)
def bad_own_seat_refused() -> History:
    """B29: bob's own hold, whose answer was lost, makes the repeat say that the seat is taken."""
    sale = Sale(capacity=2, plan="lost-replies")
    sale.strike("lost-replies", 0.5, 3.0)
    sale.hold("ann", 0.1, seats=("A2",))
    sale.hold("bob", 1.0, seats=("A1",), outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.sold_out("bob", 2.0, seats=("A1",))
    sale.sold_out("ann", 4.0, seats=("A1",), hold_id="hold-ann-2")
    sale.pay("ann", 30.0)
    return sale.ended()


@recording(inconclusive=("orders-durable", *NOBODY_LEFT, *NO_LATE_PAYMENT))
def good_doubtful_hold_in_the_way() -> History:
    """Nobody knows whether ann's hold was made: bob may be refused, and cid may get the seat."""
    sale = Sale(capacity=2, plan="lost-replies")
    sale.strike("lost-replies", 0.5, 3.0)
    sale.hold("dora", 0.1, seats=("A2",))
    sale.hold("ann", 1.0, seats=("A1",), outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.sold_out("bob", 2.0, seats=("A1",))
    sale.hold("cid", 4.0, seats=("A1",))
    sale.pay("dora", 5.0, 1.0)
    sale.pay("cid", 6.0, 1.0)
    return sale.ended()


@recording(violated=("linearizable",), inconclusive=PLAIN)
def bad_no_order_of_three() -> History:
    """One ticket is left: bob's refusal needs cid to have it by then, and dora's hold needs not."""
    sale = Sale(capacity=2)
    sale.hold("ann", 1.0)
    sale.pay("ann", 2.0, 1.0)
    sale.hold("cid", 10.0, completed_s=20.0)
    sale.sold_out("bob", 11.0)
    sale.hold("dora", 12.0)
    sale.release("dora", 13.0)
    sale.pay("cid", 30.0, 1.0)
    return sale.ended()


@recording(inconclusive=(*PLAIN,))
def good_order_of_three() -> History:
    """The same, with dora's hold given back before bob asks: dora, then cid, then bob."""
    sale = Sale(capacity=2)
    sale.hold("ann", 1.0)
    sale.pay("ann", 2.0, 1.0)
    sale.hold("cid", 10.0, completed_s=20.0)
    sale.hold("dora", 11.0)
    sale.release("dora", 12.0)
    sale.sold_out("bob", 13.0)
    sale.pay("cid", 30.0, 1.0)
    return sale.ended()


@recording(inconclusive=(*PLAIN, *NOBODY_LEFT))
def good_held_again_after_release() -> History:
    """Ann gives her hold back and asks for it again: she has it, bob is refused, and she pays."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 10.0)
    sale.hold("ann", 20.0)
    sale.sold_out("bob", 21.0)
    sale.pay("ann", 30.0, 1.0)
    sale.sold_out("ann", 40.0)
    return sale.ended()


@recording(violated=("no-overhold", "linearizable"), inconclusive=PLAIN)
def bad_held_by_two_after_release() -> History:
    """Ann is told that she has her released hold again, and bob that he has the same ticket."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 10.0)
    sale.hold("ann", 20.0)
    sale.hold("bob", 21.0)
    sale.pay("bob", 30.0, 1.0)
    return sale.ended()


@recording(violated=("linearizable",), inconclusive=(*PLAIN, *NOBODY_LEFT))
def bad_refused_after_release_alone() -> History:
    """Ann gave her hold back and asks for it again much later; bob is refused in between."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.release("ann", 10.0)
    sale.sold_out("bob", 20.0)
    sale.hold("ann", 30.0)
    sale.pay("ann", 40.0, 1.0)
    return sale.ended()


@recording(
    violated=("linearizable",), inconclusive=("no-overbooking", "no-overhold", *PLAIN, *NOBODY_LEFT)
)
def bad_sold_hold_takes_another() -> History:
    """Ann has bought; a late copy of her request takes the other ticket, and bob is refused."""
    sale = Sale(capacity=2)
    sale.hold("ann", 1.0)
    sale.pay("ann", 2.0, 1.0)
    sale.hold("ann", 10.0)
    sale.sold_out("bob", 11.0)
    return sale.ended()
