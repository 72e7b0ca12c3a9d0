"""How a call ended, as a history tells it: the error a strategy raised, in one of four words."""

from model.history import Operation, Outcome
from model.kernel import ServerDied
from reservation.errors import NotApplied, Refused, UnknownOutcome

ENDINGS = (Refused, NotApplied, UnknownOutcome, ServerDied)
"""What a call may end with other than its answer; any other error is a defect."""


def write_down(operation: Operation, error: BaseException) -> None:
    """Write down that a call ended with one of `ENDINGS`."""
    if isinstance(error, Refused):
        operation.outcome = Outcome.REFUSED
        operation.reason = type(error).__name__
    elif isinstance(error, ServerDied):
        operation.outcome = Outcome.UNKNOWN
        operation.reason = "the application server died"
    else:
        applied = Outcome.NOT_APPLIED if isinstance(error, NotApplied) else Outcome.UNKNOWN
        operation.outcome = applied
        operation.reason = str(error)
