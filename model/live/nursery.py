"""Forks application servers from one process that has everything imported already.

A server that was killed is back within tens of milliseconds, as a worker of a pre-forking server
would be, and a fork happens in a process without threads. The nursery has no state and ends when
its parent does; its servers are killed with it.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from chaos.stacks.contract import StackBroken

ROOT = Path(__file__).parents[2]
LARGEST = 1 << 16


class Nursery:
    """A context manager over the forking process."""

    def __enter__(self) -> Self:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this Python, this module
                [sys.executable, "-m", "model.live.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is the runner's to hear
            )
        return self

    def __exit__(self, *failure: object) -> None:
        self._line.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def fork(self, settings: Any, sockets: list[socket.socket]) -> int:
        """Start an application server that owns these sockets; returns its process id.

        Raises:
            StackBroken: the nursery is gone.
        """
        try:
            socket.send_fds(
                self._line, [pickle.dumps(settings)], [sock.fileno() for sock in sockets]
            )
            raw = self._line.recv(LARGEST)
        except OSError as error:
            raise StackBroken(f"the process that starts application servers: {error}") from error
        if not raw:
            raise StackBroken("the process that starts application servers ended by itself")
        return int(raw)


def main() -> None:
    """Fork on demand, until the parent hangs up."""
    line = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a server: no zombies
    from model.live import app_server

    while True:
        raw, descriptors, _, _ = socket.recv_fds(line, LARGEST, 2)
        if not raw:
            return
        settings = pickle.loads(raw)  # noqa: S301 - from our own parent
        pid = os.fork()
        if pid == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with suppress(BaseException):
                sockets = [socket.socket(fileno=number) for number in descriptors]
                app_server.serve(sockets[0], sockets[1], settings)
            os._exit(1)
        for number in descriptors:
            os.close(number)
        line.send(str(pid).encode())


if __name__ == "__main__":
    main()
