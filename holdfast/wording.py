"""Operations and faults in a few plain words: the same in stories and in replays."""

from model.history import FaultSpan, Operation, Outcome
from properties.telling import tickets

ASKED = {
    "hold": "hold {what}",
    "release": "give {what} back",
    "checkout": "pay for {what}",
    "sweep": "sweep",
    "task": "delayed task",
}


def at(time_s: float) -> str:
    """Write a time: seconds after the sale opened, to the millisecond."""
    return f"{time_s:.3f}"


def what(operation: Operation) -> str:
    """Say what the operation is about: seats by name, else a quantity."""
    if operation.seats:
        return f"seat{'s' if len(operation.seats) > 1 else ''} {' '.join(operation.seats)}"
    return tickets(operation.quantity)


def asked(operation: Operation) -> str:
    """Say what was asked for."""
    return ASKED.get(operation.kind, operation.kind).format(what=what(operation))


def answered(operation: Operation) -> str:
    """Say how it ended, for the one who asked."""
    if operation.completed_s is None:
        return "never answered before the run ended"
    if operation.outcome is Outcome.OK:
        return _success(operation)
    words = {
        Outcome.REFUSED: "refused",
        Outcome.NOT_APPLIED: "failed, nothing happened",
        Outcome.UNKNOWN: "no clear answer",
    }
    reason = f": {operation.reason}" if operation.reason else ""
    paid = f"; payment captured at {at(operation.captured_s)}" if operation.captured_s else ""
    return f"{words[operation.outcome]}{reason}{paid}"


def _success(operation: Operation) -> str:
    if operation.kind == "hold" and operation.expires_s is not None:
        return f"ok, held until {at(operation.expires_s)}"
    if operation.kind == "checkout" and operation.order_id is not None:
        return f"ok, order {operation.order_id}"
    if operation.kind in {"sweep", "task"} and operation.returned:
        return f"ok, {tickets(operation.returned)} given back"
    return "ok"


def fault_begins(span: FaultSpan) -> str:
    """Say what struck."""
    return f"{span.fault} strikes" + (f": {span.detail}" if span.detail else "")


def fault_ends(span: FaultSpan) -> str:
    """Say what was healed."""
    return f"{span.fault} is over"
