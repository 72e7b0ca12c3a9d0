"""The recorded histories of `tests/histories`, told as sales, each with its expected verdicts.

Run `python -m tests.properties.recordings` to write the files again after a change of the format.
What a history does not name is expected to hold; the verdicts of all eleven invariants are
compared. Those that are about the order of calls are in `tests.properties.ordered_sales`.
"""

from model.history import History, OrderRow, Outcome
from model.history_file import write_history
from properties.judge import INVARIANTS
from tests.properties import ordered_sales
from tests.properties.expected import (
    FOLDER,
    NO_LATE_PAYMENT,
    NO_SEATS,
    NOBODY_LEFT,
    PLAIN,
    RECORDINGS,
    UNCONTENDED,
    recording,
)
from tests.properties.sales import Sale

__all__ = ["FOLDER", "RECORDINGS", "ordered_sales"]


@recording()
def good_everything() -> History:
    """A hall of three seats sells out over a Redis kill, and everything goes right."""
    sale = Sale(capacity=3, plan="redis-kill")
    sale.hold("ann", 1.0, seats=("A1",))
    sale.sold_out("bob", 2.0, seats=("A1",))
    sale.hold("bob", 3.0, seats=("A2",), hold_id="hold-bob-2")
    sale.hold("cid", 4.0, seats=("A3",))
    sale.hold("dora", 5.0, seats=("A3",), outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.release("cid", 6.0)
    sale.pay("bob", 20.0, hold_id="hold-bob-2", key="key-bob")
    sale.strike("redis-kill", 90.0, 91.0)
    sale.pay("ann", 60.0, 70.0)
    sale.hold("eve", 200.0, seats=("A3",))
    sale.refused("eve", 1101.0, "HoldExpired", 0.02)
    sale.hold("fay", 1200.0, seats=("A3",))
    sale.pay("fay", 1300.0)
    return sale.ended()


@recording(inconclusive=(*PLAIN, *NOBODY_LEFT))
def good_sold_out() -> History:
    """Two buyers get the two tickets, a third is refused."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.sold_out("cid", 3.0)
    sale.pay("ann", 30.0)
    sale.pay("bob", 40.0)
    return sale.ended()


@recording(
    violated=("no-overbooking", "no-overhold", "linearizable"),
    inconclusive=(*PLAIN, *NOBODY_LEFT, "orders-durable"),
)
def bad_lost_hold_sold_twice() -> History:
    """B08: Redis forgets ann's hold, bob gets the same tickets, and both pay unchecked."""
    sale = Sale(plan="redis-kill")
    sale.hold("ann", 1.0, 2)
    sale.strike("redis-kill", 10.0, 11.0)
    sale.hold("bob", 12.0, 2)
    sale.pay("ann", 60.0)
    sale.pay("bob", 61.0)
    return sale.ended()


@recording(
    violated=("hold-honoured", "no-overhold", "linearizable"),
    inconclusive=(*PLAIN, "orders-durable"),
)
def bad_broken_promise() -> History:
    """B08 with a good double-check: ann paid in time for a forgotten hold, and is refused."""
    sale = Sale(plan="redis-kill")
    sale.hold("ann", 1.0, 2)
    sale.strike("redis-kill", 10.0, 11.0)
    sale.hold("bob", 12.0, 2)
    sale.pay("bob", 20.0)
    sale.refused("ann", 60.0, "OrderRefused")
    return sale.ended()


@recording(inconclusive=(*PLAIN, *NOBODY_LEFT, "orders-durable"))
def good_hold_survives_kill() -> History:
    """An append-only file brings ann's hold back after the kill: she gets her order."""
    sale = Sale(plan="redis-kill")
    sale.hold("ann", 1.0, 2)
    sale.strike("redis-kill", 10.0, 11.0)
    sale.sold_out("bob", 12.0, 2)
    sale.pay("ann", 60.0)
    return sale.ended()


@recording(violated=("no-overhold", "linearizable"), inconclusive=PLAIN)
def bad_held_twice() -> History:
    """Flow 2 read literally: ann and bob hold the same two tickets; only ann pays."""
    sale = Sale()
    sale.hold("ann", 1.0, 2)
    sale.hold("bob", 2.0, 2)
    sale.pay("ann", 30.0)
    return sale.ended()


@recording(inconclusive=PLAIN)
def good_held_again_after_expiry() -> History:
    """Ann's hold ends, then bob holds and buys the same tickets."""
    sale = Sale()
    sale.hold("ann", 1.0, 2)
    sale.sold_out("bob", 2.0, 2)
    sale.hold("bob", 901.5, 2, hold_id="hold-bob-2")
    sale.pay("bob", 950.0, hold_id="hold-bob-2")
    return sale.ended()


@recording(
    violated=("no-overhold", "linearizable"), inconclusive=("no-overbooking", *NO_LATE_PAYMENT)
)
def bad_seat_held_twice() -> History:
    """B01: two buyers hold the same seat in a half-empty hall; one of them pays."""
    sale = Sale(capacity=10)
    sale.hold("ann", 1.0, seats=("A1",))
    sale.hold("bob", 2.0, seats=("A1",))
    sale.pay("ann", 30.0)
    return sale.ended()


@recording(
    violated=("seat-sold-once", "no-overhold", "linearizable"),
    inconclusive=("no-overbooking", *NO_LATE_PAYMENT, *NOBODY_LEFT),
)
def bad_seat_sold_twice() -> History:
    """B07: two buyers own seat A1 in a half-empty hall."""
    sale = Sale(capacity=10)
    sale.hold("ann", 1.0, seats=("A1",))
    sale.hold("bob", 2.0, seats=("A1",))
    sale.pay("ann", 30.0)
    sale.pay("bob", 31.0)
    return sale.ended()


@recording(
    violated=("stock-conserved",),
    inconclusive=(
        *UNCONTENDED,
        "no-overbooking",
        "no-overhold",
        "hold-honoured",
        "charged-once",
        "orders-durable",
        *PLAIN,
    ),
)
def bad_given_back_twice() -> History:
    """A06: two sweepers give one expired hold back; three tickets are sellable where two exist."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.sweep(930.0, 1)
    sale.sweep(930.0, 1, actor="sweeper-app-1")
    return sale.ended(sellable=3, remaining_ticket=3)


@recording(
    violated=("stock-conserved", "no-leak"),
    inconclusive=(
        *UNCONTENDED,
        "no-overbooking",
        "no-overhold",
        "hold-honoured",
        "charged-once",
        "orders-durable",
        *PLAIN,
    ),
)
def bad_give_back_split() -> History:
    """A12: the server dies between marking the hold expired and adding the ticket back."""
    sale = Sale(plan="app-kill")
    sale.hold("ann", 1.0)
    sale.strike("app-kill", 930.005, 935.0)
    sale.sweep(930.0, outcome=Outcome.UNKNOWN, completed_s=None)
    sale.hold("bob", 940.0)
    return sale.ended(sellable=1, remaining_ticket=1)


@recording(violated=("no-leak",), inconclusive=("sale-goes-on", *PLAIN))
def bad_sweeper_stopped() -> History:
    """The sweeper is dead: an abandoned hold stays held for ever, and the books still add up."""
    sale = Sale(capacity=3, plan="sweeper-stopped")
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0, 1)
    sale.strike("sweeper-stopped", 3.0, None)
    sale.sold_out("cid", 4.0, 3)
    sale.pay("bob", 30.0)
    return sale.ended(held=1, remaining_ticket=1)


@recording(
    violated=("charged-once",),
    inconclusive=(
        *UNCONTENDED,
        "no-overbooking",
        "no-overhold",
        "hold-honoured",
        "orders-durable",
        *PLAIN,
    ),
)
def bad_paid_for_nothing() -> History:
    """C05: the server dies after the capture; ann paid and has neither tickets nor her money."""
    sale = Sale(plan="app-kill")
    sale.hold("ann", 1.0)
    sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN, reason="UnknownOutcome", captured_s=80.0)
    sale.strike("app-kill", 80.1, 85.0)
    sale.hold("bob", 90.0)
    return sale.ended()


@recording(
    violated=("charged-once",),
    inconclusive=(*UNCONTENDED, "no-overbooking", "no-overhold", *PLAIN, *NOBODY_LEFT),
)
def bad_tickets_and_money() -> History:
    """Bob was refunded and keeps his tickets."""
    sale = Sale()
    sale.hold("bob", 1.0)
    sale.payment("key-bob", 89.0, refunded_s=200.0)
    sale.pay("bob", 30.0)
    return sale.ended()


@recording(violated=("charged-once", "linearizable"), inconclusive=(*PLAIN, *NOBODY_LEFT))
def bad_repeat_bought_twice() -> History:
    """C01: ann's checkout lost its answer, and its repeat bought the tickets a second time."""
    sale = Sale(plan="lost-replies")
    sale.hold("ann", 1.0)
    sale.strike("lost-replies", 20.0, 100.0)
    first = sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.order(first, 1)
    sale.pay("ann", 92.0, 1.0, order_id=2)
    sale.sold_out("bob", 120.0)
    return sale.ended()


@recording(inconclusive=(*PLAIN, *NOBODY_LEFT))
def good_repeat_gives_first_answer() -> History:
    """The same lost answer with idempotency: the repeat gives the first order."""
    sale = Sale(capacity=1, plan="lost-replies")
    sale.hold("ann", 1.0)
    sale.strike("lost-replies", 20.0, 100.0)
    first = sale.pay("ann", 30.0, outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.order(first, 1)
    sale.pay("ann", 92.0, 1.0, order_id=1, captured_s=None)
    sale.sold_out("bob", 120.0)
    return sale.ended()


@recording(
    violated=("orders-durable", "charged-once", "stock-conserved"),
    inconclusive=(*UNCONTENDED, *PLAIN, *NOBODY_LEFT),
)
def bad_order_lost() -> History:
    """The database came back without an order it had acknowledged."""
    sale = Sale(plan="db-restart")
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.pay("ann", 30.0)
    sale.strike("db-restart", 91.0, 95.0)
    sale.pay("bob", 100.0)
    sale.orders = [
        OrderRow(
            order_id=2, key="key-bob", hold_id="hold-bob", customer_id="bob", event_id=1, quantity=1
        )
    ]
    return sale.ended(sellable=0, remaining_ticket=0)


@recording(
    violated=("expiry-honoured",),
    inconclusive=(
        *UNCONTENDED,
        "no-overbooking",
        "no-overhold",
        "hold-honoured",
        *NO_SEATS,
        *NOBODY_LEFT,
    ),
)
def bad_sold_after_expiry() -> History:
    """B06: ann's hold ends while she pays; the shop sells to her all the same."""
    sale = Sale()
    sale.hold("ann", 1.0)
    sale.pay("ann", 880.0, 60.0)
    return sale.ended()


@recording(inconclusive=(*NO_SEATS,))
def good_late_payment_refunded() -> History:
    """Ann pays too late and is refused and refunded: no promise broken, nothing sold late."""
    sale = Sale(capacity=1)
    sale.hold("ann", 1.0)
    sale.refused("ann", 880.0, "OrderRefused")
    sale.hold("bob", 1000.0)
    sale.pay("bob", 1010.0)
    return sale.ended()


@recording(
    violated=("sale-goes-on",),
    inconclusive=(
        *UNCONTENDED,
        "hold-honoured",
        "no-overbooking",
        "charged-once",
        "orders-durable",
        *PLAIN,
    ),
)
def bad_silent_after_healing() -> History:
    """Redis is back for a minute and still nobody gets an answer."""
    sale = Sale(plan="redis-partition")
    sale.hold("ann", 1.0)
    sale.pay("ann", 5.0, outcome=Outcome.NOT_APPLIED, reason="NotApplied", captured_s=None)
    sale.strike("redis-partition", 10.0, 20.0)
    for second in range(25, 75, 10):
        sale.hold(
            f"buyer-{second}", float(second), outcome=Outcome.NOT_APPLIED, reason="NotApplied"
        )
    return sale.ended()


@recording(inconclusive=(*UNCONTENDED, "no-overbooking", "no-overhold", "hold-honoured", *PLAIN))
def good_served_after_healing() -> History:
    """During the partition calls fail; after it the same buyers are served."""
    sale = Sale(capacity=5, plan="redis-partition")
    sale.hold("ann", 1.0)
    sale.pay("ann", 2.0, 3.0)
    sale.strike("redis-partition", 10.0, 20.0)
    sale.hold("bob", 12.0, outcome=Outcome.UNKNOWN, reason="UnknownOutcome")
    sale.hold("bob", 25.0)
    return sale.ended()


@recording(
    inconclusive=(
        "no-overbooking",
        "stock-conserved",
        "no-leak",
        "charged-once",
        "orders-durable",
        *PLAIN,
    )
)
def cut_short() -> History:
    """A run that was stopped before its audit."""
    sale = Sale()
    sale.hold("ann", 1.0, 2)
    sale.sold_out("bob", 2.0)
    sale.pay("ann", 30.0)
    return sale.cut()


@recording(inconclusive=tuple(INVARIANTS))
def nobody_came() -> History:
    """A sale to which nobody came."""
    return Sale().ended(at_s=2000.0)


@recording(inconclusive=tuple(INVARIANTS))
def fault_never_struck() -> History:
    """A fault plan whose fault never struck proves nothing."""
    history = good_sold_out()
    history.meta = {"fault": "redis-kill"}
    return history


def write_all() -> None:
    """Write every recording to its file."""
    for name, tell in RECORDINGS.items():
        write_history(tell(), FOLDER / f"{name}.jsonl")


if __name__ == "__main__":
    write_all()
