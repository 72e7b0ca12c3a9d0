"""Where output goes: the answer to standard output, everything else to standard error.

Colour appears only in a terminal and not under NO_COLOR; a pipe gets plain text, COLUMNS wide
(80 without it). Nothing is ever reflowed by the console: whoever prints has measured.
"""

import errno
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from holdfast.errors import WrongCommand

OnRun = Callable[[int, int], None]
NARROWEST = 60


class _Output(Console):
    """A console that lets `reader_may_leave` decide what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Console:
    """Return a console on standard output."""
    plain = bool(os.environ.get("NO_COLOR"))
    return _Output(
        color_system=None if plain else "auto",
        highlight=False,
        soft_wrap=False,
        emoji=False,
        markup=False,
    )


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print within this: a reader that has seen enough (`head`) changes no exit status.

    Raises:
        WrongCommand: standard output cannot be written (a full disk).
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        print_nowhere(sys.stdout)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EIO, errno.EDQUOT}:
            raise
        print_nowhere(sys.stdout)
        raise WrongCommand(
            f"standard output cannot be written: {error.strerror}; free some space, or print to"
            " another place (what was finished is in the --out folder)"
        ) from error


def print_nowhere(stream: TextIO) -> None:
    """Print nothing to it any more; the interpreter flushes once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def width(console: Console) -> int:
    """Return how many columns there are to fill."""
    return max(NARROWEST, console.width)


def put(console: Console, line: Text | str = "") -> None:
    """Print one line as it is: never wrapped, never cut."""
    console.print(line, soft_wrap=True)


def fold(text: str, width: int, first: str = "", hang: int | None = None) -> list[str]:
    """Break a text between words; later lines hang below `first`, or `hang` columns in.

    A percentage stays with its sign. A word longer than the line, such as a path, is left whole.
    """
    tied = re.sub(r"(\d) %", "\\1\N{NO-BREAK SPACE}%", text)
    rows = textwrap.wrap(
        tied,
        width,
        initial_indent=first,
        subsequent_indent=" " * (len(first) if hang is None else hang),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows]


@contextmanager
def progress_bar(what: str) -> Iterator[OnRun | None]:
    """Show progress on standard error while the body runs, when that is a terminal; else None."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
