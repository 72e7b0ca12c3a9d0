"""Ctrl-C and SIGTERM: they end the command soon, and never by half.

A KeyboardInterrupt raised in the middle of a run may strike a callback from C or a library's
`except:`, which swallow it and leave a run that is not to be trusted. So within `patiently` the
request is only written down, and `check` raises it when the run is over. A second one does not
wait.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM)
_asked: list[int] = []
_patient: list[str] = []
_starting: list[bool] = []
FINISHING = "holdfast: finishing the run that is under way; once more to stop at once\n"


def listen() -> None:
    """Take both signals over, once, for the rest of this process; a library must not call this."""
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and `&` want it
            signal.signal(number, _interrupt)


def wait_for_the_command() -> None:
    """Write a first request down while options are read and modules imported, and no more.

    How a command ends when it is interrupted is the command's to say: see `command_begins`.
    """
    _starting.append(True)


def command_begins() -> None:
    """From now on a request is heard as `patiently` says; `check` hears the one that came."""
    _starting.clear()


def asked() -> bool:
    """Whether the end was asked for."""
    return bool(_asked)


def check() -> None:
    """Go on, unless the end was asked for.

    Raises:
        KeyboardInterrupt: it was, and perhaps swallowed on the way.
    """
    if _asked:
        raise KeyboardInterrupt


@contextmanager
def patiently(says: str = FINISHING) -> Iterator[None]:
    """Finish the body (one run) before the first request is heard; call `check` after it.

    `says` is what the user is told at once.
    """
    _patient.append(says)
    try:
        yield
    finally:
        _patient.pop()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _asked.append(number)
    if len(_asked) > 1 or not (_patient or _starting):
        raise KeyboardInterrupt
    if not _patient:
        return  # in a moment
    # os.write, because a signal may strike while sys.stderr is being written
    os.write(2, _patient[-1].encode())


@contextmanager
def held_back() -> Iterator[None]:
    """Let both signals wait until the body is done; processes it starts never get Ctrl-C.

    A pool cannot be left in the middle of starting a process. Blocking the signal is for the new
    process, which inherits that and would else print a traceback; it does not keep the signal from
    this one, where another thread (numpy has some) may take it. The resource tracker is started
    before, because starting it unblocks the signal (CPython 3.11).
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    from multiprocessing.resource_tracker import ensure_running  # `--help` need not wait for it

    ensure_running()
    came: list[int] = []
    before = [signal.signal(number, lambda got, _: came.append(got)) for number in NUMBERS]
    can_block = hasattr(signal, "pthread_sigmask")  # not on Windows
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if can_block else set()
    try:
        yield
    finally:
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in zip(NUMBERS, before, strict=True):
            signal.signal(number, handler)
    for got in came:
        signal.raise_signal(got)
