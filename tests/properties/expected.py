"""Recorded sales and the verdicts they must get; what a sale does not name is expected to hold."""

from collections.abc import Callable, Iterable
from pathlib import Path

from model.history import History
from properties.judge import INVARIANTS
from properties.verdicts import Status

FOLDER = Path(__file__).parent.parent / "histories"

RECORDINGS: dict[str, Callable[[], History]] = {}


def recording(
    *, violated: Iterable[str] = (), inconclusive: Iterable[str] = ()
) -> Callable[[Callable[[], History]], Callable[[], History]]:
    """Register a sale under its function's name, with the verdicts it must get.

    Its docstring goes into the file as `meta["about"]`.
    """

    def register(tell: Callable[[], History]) -> Callable[[], History]:
        def told() -> History:
            history = tell()
            expect = dict.fromkeys(INVARIANTS, Status.HOLDS.value)
            expect.update(dict.fromkeys(inconclusive, Status.INCONCLUSIVE.value))
            expect.update(dict.fromkeys(violated, Status.VIOLATED.value))
            assert list(expect) == list(INVARIANTS), f"{tell.__name__} names an unknown invariant"
            history.meta = {"about": tell.__doc__, "expect": expect, **history.meta}
            return history

        RECORDINGS[tell.__name__.replace("_", "-")] = told
        return told

    return register


NO_SEATS = ("seat-sold-once",)
NO_LATE_PAYMENT = ("expiry-honoured",)
NOBODY_LEFT = ("no-leak",)  # no hold ended without an order
UNCONTENDED = ("linearizable",)  # everybody could have had all they asked for
PLAIN = (*NO_SEATS, *NO_LATE_PAYMENT)
