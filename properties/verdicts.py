"""Three-valued verdicts that cannot hold over nothing.

A verdict is HOLDS, VIOLATED or INCONCLUSIVE. `examined` counts the chances a violation had; a
verdict that HOLDS over no chance cannot be constructed, so that an empty history never passes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from model.history import History
from properties.evidence import Evidence, gather


class Status(StrEnum):
    """What a verdict says; the values are those of the JSON report."""

    HOLDS = "holds"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One breach, told so that a person can find it in the history.

    `message` is one plain sentence with numbers. `op_ids` are the operations that matter, in the
    order in which they were invoked; `actors` who did them. `amount` is tickets (or a count of
    orders or payments where no tickets are at stake); `at_s` is when the breach was complete.
    """

    invariant: str
    message: str
    at_s: float
    op_ids: tuple[int, ...] = ()
    actors: tuple[str, ...] = ()
    amount: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one invariant says about one history.

    `reason` says why a verdict is INCONCLUSIVE (always there) or adds a caveat to another one.
    `undecided` tells a checker that could not decide (cut, or crashed) from a history without the
    chance to fail: the same claim may well fail there.

    Raises:
        ValueError: HOLDS with nothing examined or with violations, VIOLATED without a violation,
            INCONCLUSIVE without a reason or with violations.
    """

    invariant: str
    status: Status
    examined: int
    violations: tuple[Violation, ...] = ()
    reason: str = ""
    undecided: bool = False

    def __post_init__(self) -> None:
        if self.examined < 0:
            raise ValueError(f"{self.invariant}: examined is {self.examined}; it counts chances")
        if self.status is Status.HOLDS and self.examined == 0:
            raise ValueError(f"{self.invariant}: nothing was examined; say INCONCLUSIVE and why")
        if (self.status is Status.VIOLATED) != bool(self.violations):
            raise ValueError(
                f"{self.invariant}: {self.status} with {len(self.violations)} violations; "
                "violations and the status VIOLATED go together"
            )
        if self.status is Status.INCONCLUSIVE and not self.reason:
            raise ValueError(f"{self.invariant}: INCONCLUSIVE needs a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A named claim about every history.

    `examine` works on indexed evidence, which `properties.judge.judge` gathers once for all
    invariants; use `check` to judge a single one.
    """

    name: str
    summary: str
    examine: Callable[[Evidence], Verdict]

    def check(self, history: History) -> Verdict:
        """Judge `history` on this claim alone, without asking for witnesses."""
        return self.examine(gather(history))


def conclude(
    invariant: str, *, examined: int, violations: Iterable[Violation], nothing: str
) -> Verdict:
    """Make the verdict that follows from what was found.

    `nothing` is the reason to give when there was no chance at all. Violations are sorted by time,
    so that the verdict does not depend on the order in which a history lists its operations.
    """
    found = tuple(sorted(violations, key=lambda v: (v.at_s, v.op_ids, v.message)))
    if found:
        return Verdict(
            invariant=invariant,
            status=Status.VIOLATED,
            examined=max(examined, len(found)),
            violations=found,
        )
    if examined == 0:
        return inconclusive(invariant, nothing)
    return Verdict(invariant=invariant, status=Status.HOLDS, examined=examined)


def inconclusive(
    invariant: str, reason: str, *, examined: int = 0, undecided: bool = False
) -> Verdict:
    """Make a verdict that says why nothing can be said."""
    return Verdict(
        invariant=invariant,
        status=Status.INCONCLUSIVE,
        examined=examined,
        reason=reason,
        undecided=undecided,
    )


NO_AUDIT = "the history has no final audit: the run was cut short"
