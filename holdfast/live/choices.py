"""The options of `holdfast live`, and the door to what they need installed."""

from dataclasses import dataclass

from holdfast.commands import CompareChoices
from holdfast.errors import ExitStatus, WrongCommand
from holdfast.live.stacks import REMEDY, StackChoice

__all__ = ["LiveChoices", "StackChoice", "run_live"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChoices:
    """The options of `holdfast live`, as written."""

    compare: CompareChoices
    stack: StackChoice
    factor: float
    agree: bool
    agree_database: str


def run_live(choices: LiveChoices) -> ExitStatus:
    """Do the command, if the libraries of the live arm are installed.

    Raises:
        WrongCommand: one is not; the message says how to get it.
    """
    try:
        from holdfast.live.command import run_live_command
    except ModuleNotFoundError as error:
        raise WrongCommand(f"live: {error.name} is not installed; {REMEDY}") from error
    return run_live_command(choices)
