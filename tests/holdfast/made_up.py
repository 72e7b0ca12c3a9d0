"""Verdicts made by hand, and an environment in which programs print plainly."""

import os
import subprocess
from collections.abc import Callable, Mapping

from holdfast.cells import CellResult
from holdfast.judged import JudgedRun
from properties.verdicts import Status, Verdict, Violation, inconclusive

Command = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., JudgedRun]
MakeResults = Callable[[Mapping[str, list[JudgedRun]]], list[CellResult]]


def verdict(name: str, status: Status) -> Verdict:
    """Return a verdict with nothing in it but what its status needs."""
    if status is Status.INCONCLUSIVE:
        return inconclusive(name, "too little happened")
    violation = Violation(invariant=name, message=f"{name} broke", at_s=1.0)
    violations = (violation,) if status is Status.VIOLATED else ()
    return Verdict(invariant=name, status=status, examined=3, violations=violations)


def clean_environment() -> dict[str, str]:
    """Return the environment without what changes how programs print."""
    loud = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"}
    return {key: value for key, value in os.environ.items() if key not in loud}
