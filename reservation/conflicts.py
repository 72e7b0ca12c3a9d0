"""Calls that the database rolled back for another one's sake, made again.

A serialization failure (40001) or a deadlock (40P01) says: nothing of this transaction is there,
begin it again. Every call of a `Strategy` may be repeated (a hold by its `hold_id`, a checkout by
its idempotency key), so the whole call is made again, after a short pause that grows. What is left
undone when nobody does this is anomaly A20.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError

from reservation.api import (
    Availability,
    CheckoutRequest,
    Clock,
    Hold,
    HoldRequest,
    Order,
    Strategy,
    SweepReport,
)
from reservation.errors import NotApplied, UnknownOutcome

CONFLICTS: Final = frozenset({"40001", "40P01"})
FIRST_PAUSE_S: Final = 0.010
LONGEST_PAUSE_S: Final = 1.0

T = TypeVar("T")


def retrying(strategy: Strategy, clock: Clock, retries: int) -> Strategy:
    """Return a strategy that makes a call again, up to `retries` times, when it lost a conflict."""
    return RetriesConflicts(strategy, clock, retries) if retries else strategy


def is_conflict(error: BaseException) -> bool:
    """Whether the database rolled back for the sake of another transaction, at the root of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            return getattr(cause.orig, "sqlstate", None) in CONFLICTS
        cause = cause.__cause__
    return False


class RetriesConflicts:
    """A `Strategy` around another one."""

    def __init__(self, strategy: Strategy, clock: Clock, retries: int) -> None:
        self._strategy = strategy
        self._clock = clock
        self._retries = retries

    def open_sale(self, event_id: int) -> None:
        """As the strategy."""
        self._strategy.open_sale(event_id)

    def hold(self, request: HoldRequest) -> Hold:
        """As the strategy, again after a conflict."""
        return self._again(lambda: self._strategy.hold(request))

    def release(self, hold: Hold) -> None:
        """As the strategy, again after a conflict."""
        self._again(lambda: self._strategy.release(hold))

    def checkout(self, request: CheckoutRequest) -> Order:
        """As the strategy, again after a conflict; the key keeps it one order."""
        return self._again(lambda: self._strategy.checkout(request))

    def sweep(self) -> SweepReport:
        """As the strategy, again after a conflict."""
        return self._again(self._strategy.sweep)

    def run_task(self, name: str, argument: str) -> None:
        """As the strategy, again after a conflict."""
        self._again(lambda: self._strategy.run_task(name, argument))

    def availability(self, event_id: int) -> Availability:
        """As the strategy."""
        return self._strategy.availability(event_id)

    def _again(self, call: Callable[[], T]) -> T:
        for turn in range(self._retries):
            try:
                return call()
            except (NotApplied, UnknownOutcome) as failure:
                if not is_conflict(failure):
                    raise
            self._clock.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**turn))
        return call()
