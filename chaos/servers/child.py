"""A server as a child process: its log is kept, its end is noticed, its health is waited for."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from chaos.servers import health
from chaos.servers.guardian import await_end
from chaos.servers.health import ENDED_S
from chaos.stacks.contract import StackBroken

HEALTHY_S = 30.0
"""How long a server may take to answer: a hundred times what it takes on two busy cores."""

POLL_S = 0.002


class Child:
    """One server process, which may end and be started again on the same command line.

    `name` is the component's in every message. `ready` raises or returns False until it answers.
    """

    def __init__(self, name: str, folder: Path, user: str | None = None) -> None:
        self.name = name
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process lives (a stopped one lives)."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process's id.

        Raises:
            StackBroken: it has ended by itself, or was never started.
        """
        if self.process is None or self.process.poll() is not None:
            raise StackBroken(self.says("is not running"))
        return self.process.pid

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it, in its folder and in a session of its own.

        Raises:
            StackBroken: it cannot be executed.
        """
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603 - a server's binary, our own words
                    [str(word) for word in command],
                    cwd=self.folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=self.user,
                    group=_group_of(self.user),
                    extra_groups=None if self.user is None else [],
                )
        except OSError as error:
            raise StackBroken(f"{self.name}: cannot be started: {error}") from error

    def await_healthy(self, ready: Callable[[], str | None], within_s: float | None = None) -> None:
        """Wait until `ready` returns None; what it returns instead says what is amiss.

        Waits for `within_s`, or else for `HEALTHY_S`.

        Raises:
            StackBroken: the process ended, or was not ready in time.
        """
        within_s = HEALTHY_S if within_s is None else within_s
        health.await_healthy(self, ready, within_s=within_s, poll_s=POLL_S)

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants, the process first."""
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess as gone:
            raise StackBroken(self.says("is not running")) from gone

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, and then, one by one, to all its descendants.

        In this order: a process that is stopped makes no more children.
        """
        self.tell(number)
        for process in self.family()[1:]:
            _send(process, number)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and its descendants at once, and wait until they are gone; repeatable."""
        if not self.running:
            return
        self.tell(signal.SIGSTOP)  # so that it makes no child that nobody counts
        family = self.family()
        for process in family:
            _send(process, signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        left = await_end(family, ENDED_S)
        if left:
            raise StackBroken(self.says(f"left processes behind: {[each.pid for each in left]}"))

    def await_end(self, within_s: float = ENDED_S) -> bool:
        """Wait for it to end; False when it did not."""
        if self.process is None:
            return True
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def says(self, what: str) -> str:
        """Return a message about this server, with the last lines of its log."""
        code = None if self.process is None else self.process.poll()
        ended = "" if code is None else f" (exit status {code})"
        return f"{self.name}: {what}{ended}{self.last_words()}"

    def last_words(self) -> str:
        """The last lines of the log, as the end of a message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return health.last_words(lines)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # a backend that ended meanwhile


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd

    return pwd.getpwnam(user).pw_gid
