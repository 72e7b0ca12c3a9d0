"""`--require`: turns verdicts into the exit status a pipeline gates on."""

from collections.abc import Iterable, Mapping, Sequence

from holdfast.errors import ExitStatus, check_names
from properties.judge import INVARIANTS
from properties.verdicts import Status


def check_required(required: Sequence[str]) -> None:
    """Refuse a required invariant that does not exist.

    Raises:
        WrongCommand: naming it and those there are.
    """
    check_names("--require", required, INVARIANTS)


def exit_status(required: Sequence[str], found: Iterable[Mapping[str, Status]]) -> ExitStatus:
    """Return what required verdicts over some cells or histories come to.

    VIOLATED if one is violated anywhere, else INCONCLUSIVE if one could not be judged somewhere,
    else DONE. With nothing required: DONE.
    """
    statuses = [verdicts.get(name, Status.INCONCLUSIVE) for verdicts in found for name in required]
    if Status.VIOLATED in statuses:
        return ExitStatus.VIOLATED
    if Status.INCONCLUSIVE in statuses or (required and not statuses):
        return ExitStatus.INCONCLUSIVE
    return ExitStatus.DONE


def explain(required: Sequence[str], found: Sequence[Mapping[str, Status]]) -> list[str]:
    """Say of each required invariant that does not hold everywhere where it stands."""
    lines = []
    for name in required:
        statuses = [verdicts.get(name, Status.INCONCLUSIVE) for verdicts in found]
        violated, unclear = statuses.count(Status.VIOLATED), statuses.count(Status.INCONCLUSIVE)
        if violated:
            lines.append(f"required: {name} is violated in {violated} of {len(found)}")
        elif unclear or not found:
            lines.append(f"required: {name} could not be judged in {unclear} of {len(found)}")
    return lines
