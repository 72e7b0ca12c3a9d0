"""A guardian as its maker sees it: appointed before there is anything to guard, and dismissed.

What a guardian does when its maker ends, however that comes about, is its script's own affair:
`chaos.servers.guardian` and `chaos.containers.guardian`.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from chaos.stacks.contract import StackBroken

CLEARED_S = 20.0
"""How long clearing may take; `docker rm` of a few containers takes about a second."""


class Keeper:
    """A guardian's process, with the pipe whose end tells it that its maker is gone."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start `python WORDS...` in a session of its own and wait until it watches.

        Raises:
            StackBroken: it ended at its start.
        """
        self._process = subprocess.Popen(  # noqa: S603 - this Python, our own script
            [sys.executable, *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        with ExitStack() as exits:
            exits.callback(self.dismiss)
            assert self._process.stdout is not None
            if self._process.stdout.readline() != b"ready\n":
                raise StackBroken(
                    "guardian: it ended at its start; its words are on standard error"
                )
            exits.pop_all()  # it stays

    @property
    def pid(self) -> int:
        """Its process's id."""
        return self._process.pid

    def tell_cleared(self) -> None:
        """Tell it that nothing is left to clear."""
        assert self._process.stdin is not None
        self._process.stdin.write(b".")
        self._process.stdin.flush()

    def dismiss(self) -> None:
        """Have it clear what is left, and wait until it has; one that takes too long is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(CLEARED_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
