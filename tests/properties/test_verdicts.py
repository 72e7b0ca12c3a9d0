"""A verdict cannot say more than was examined."""

import pytest

from model.history import History
from properties.judge import INVARIANTS
from properties.verdicts import Status, Verdict, Violation, conclude

BREACH = Violation(invariant="x", message="1 too many", at_s=1.0)


def test_holds_over_nothing_cannot_be_constructed() -> None:
    """HOLDS with nothing examined raises, and says what to do instead."""
    with pytest.raises(ValueError, match="nothing was examined; say INCONCLUSIVE"):
        Verdict(invariant="x", status=Status.HOLDS, examined=0)


@pytest.mark.parametrize(
    ("status", "violations"), [(Status.HOLDS, (BREACH,)), (Status.VIOLATED, ())]
)
def test_violations_and_status_go_together(
    status: Status, violations: tuple[Violation, ...]
) -> None:
    """HOLDS with a violation raises, and so does VIOLATED without one."""
    with pytest.raises(ValueError, match="go together"):
        Verdict(invariant="x", status=status, examined=1, violations=violations)


def test_inconclusive_needs_a_reason() -> None:
    """INCONCLUSIVE without a reason raises."""
    with pytest.raises(ValueError, match="needs a reason"):
        Verdict(invariant="x", status=Status.INCONCLUSIVE, examined=3)


def test_examined_is_a_count() -> None:
    """A negative number of chances raises."""
    with pytest.raises(ValueError, match="counts chances"):
        Verdict(invariant="x", status=Status.HOLDS, examined=-1)


def test_conclude_sorts_violations_by_time() -> None:
    """The order in which a checker finds breaches does not reach the verdict."""
    late = Violation(invariant="x", message="2", at_s=2.0)
    verdict = conclude("x", examined=5, violations=[late, BREACH], nothing="")
    assert verdict.violations == (BREACH, late)
    assert verdict.status is Status.VIOLATED


@pytest.mark.parametrize("name", list(INVARIANTS))
def test_no_invariant_holds_over_an_empty_history(name: str) -> None:
    """An empty history leaves each invariant open, even without asking for witnesses."""
    verdict = INVARIANTS[name].check(History(capacity={1: 10}))
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason
