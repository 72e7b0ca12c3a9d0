"""Whose fault an error is, and the exit status it ends the command with.

HoldfastError
|-- WrongCommand     the command, a name or a value is wrong (exit status 2)
|-- NotReproduced    a replay went another way than the stored history (exit status 3)
`-- WorkersLost      a worker process died; what was finished is kept (exit status 3)

Errors of the other folders that mean "the command or scenario is wrong" (an unknown strategy, a bad
scenario file, a fault the simulator refuses, ...) are listed in `WRONG_INPUT`.
"""

import difflib
from collections.abc import Iterable
from enum import IntEnum

from chaos.faults import UnsupportedFault
from chaos.plans import EmptyFault, UnknownFault
from model.database import DatabaseUnavailable, UnknownDatabase
from model.exploring.small_world import WorldError
from model.history_file import HistoryError
from model.run import WrongAdmission
from model.scenario_file import ScenarioError
from model.spec_codec import SpecError
from properties.exploration.trace import TraceError
from reservation.catalogue import BadOption, UnknownStrategy


class ExitStatus(IntEnum):
    """What a command tells the shell."""

    DONE = 0
    VIOLATED = 1
    WRONG = 2
    INCONCLUSIVE = 3
    INTERRUPTED = 130


class HoldfastError(Exception):
    """The root of the errors this folder raises on purpose."""


class WrongCommand(HoldfastError):
    """The command cannot be carried out as written: the message names place, value and repair."""


class NotReproduced(HoldfastError):
    """Running a stored history's description again did not give the same history."""


class WorkersLost(HoldfastError):
    """A worker process died (out of memory, killed); runs that were finished are kept."""


WRONG_INPUT = (
    WrongCommand,
    UnknownStrategy,
    BadOption,
    UnknownFault,
    EmptyFault,
    UnsupportedFault,
    WrongAdmission,
    ScenarioError,
    SpecError,
    HistoryError,
    UnknownDatabase,
    DatabaseUnavailable,
    WorldError,
    TraceError,
)


def lost_database(error: BaseException) -> str | None:
    """Say in one line that our own connection to a PostgreSQL failed; None: it is another error.

    A strategy's failures come as SQLAlchemy's errors and never get so far.
    """
    if isinstance(error, DatabaseUnavailable):
        return str(error)
    if type(error).__module__.partition(".")[0] != "psycopg":
        return None
    said = " ".join(str(error).split())
    return f"the database went away: {said}; see the server's log, and run again"


def check_names(place: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse the first name of `given` that is not in `allowed`, showing the nearest one.

    Raises:
        WrongCommand: naming the place (an option), the value and what is allowed.
    """
    known = [str(each) for each in allowed]
    for name in given:
        if name not in known:
            raise WrongCommand(f"{place}: {name!r} is unknown{_nearest(name, known)}")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (allowed: {', '.join(known)})" if known else hint
