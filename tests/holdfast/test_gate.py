"""`--require`: violated is 1, unknown is 3, and unknown is never a pass."""

import pytest

from holdfast.errors import ExitStatus, WrongCommand
from holdfast.gate import check_required, exit_status, explain
from properties.verdicts import Status

HOLDS = {"a": Status.HOLDS, "b": Status.HOLDS}
UNCLEAR = {"a": Status.INCONCLUSIVE, "b": Status.HOLDS}
BROKEN = {"a": Status.VIOLATED, "b": Status.HOLDS}


@pytest.mark.parametrize(
    ("required", "found", "status"),
    [
        ([], [BROKEN, UNCLEAR], ExitStatus.DONE),
        (["a"], [HOLDS, HOLDS], ExitStatus.DONE),
        (["b"], [HOLDS, BROKEN], ExitStatus.DONE),
        (["a"], [HOLDS, BROKEN], ExitStatus.VIOLATED),
        (["a"], [UNCLEAR, BROKEN], ExitStatus.VIOLATED),
        (["a", "b"], [HOLDS, UNCLEAR], ExitStatus.INCONCLUSIVE),
        (["c"], [HOLDS], ExitStatus.INCONCLUSIVE),
        (["a"], [], ExitStatus.INCONCLUSIVE),
    ],
)
def test_the_worst_required_verdict_decides(
    required: list[str], found: list[dict[str, Status]], status: ExitStatus
) -> None:
    """A violation outweighs what is unclear; what is not required does not count."""
    assert exit_status(required, found) is status


def test_an_unknown_invariant_is_refused() -> None:
    """A typing mistake in a pipeline must not gate on nothing."""
    with pytest.raises(WrongCommand, match=r"--require: 'no-overbook'.*'no-overbooking'"):
        check_required(["no-overbook"])


def test_what_a_gate_failed_on_is_said() -> None:
    """A pipeline's log ends with the invariant and how many cells it is about."""
    assert explain(["a", "b"], [BROKEN, HOLDS]) == ["required: a is violated in 1 of 2"]
    assert explain(["a"], [UNCLEAR, HOLDS]) == ["required: a could not be judged in 1 of 2"]
    assert explain(["a"], [HOLDS]) == []
