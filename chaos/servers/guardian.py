"""The guardian: a process that clears a private room away when the process that made it is gone.

Started as a script of its own (`python -P guardian.py ROOM`), with a pipe on its standard input
whose other end only the maker holds. The end of that pipe, however it came about (a normal exit,
an exception, SIGKILL), means: kill every server whose working directory is in the room, and remove
the room. It is in a session of its own, so that a Ctrl-C does not reach it.
"""

import ctypes
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil

LOOK_S = 0.5
"""How often it looks whether its parent lives: a forked child may hold the pipe open."""

GRACE_S = 3.0
"""How long a PostgreSQL told to quit may take to give its shared memory back."""

POLL_S = 0.01
ROUNDS = 5
"""How often it looks for servers that another one has just started."""

PROGRAMS_FILE = "programs"
"""A file in the room: the executables that may be killed, one a line."""


def servers_in(room: Path) -> list[psutil.Process]:
    """Return the live servers of a room: they work inside it and run one of its programs.

    PostgreSQL's own children are found too, also when their parent is gone.
    """
    listed = room / PROGRAMS_FILE
    programs = set(listed.read_text(encoding="utf-8").splitlines()) if listed.exists() else set()
    found = []
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(room) and process.exe() in programs
            if inside and lives(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or somebody else's: not one of ours
    return found


def clear(room: Path) -> None:
    """Kill the servers of a room and remove it; does nothing when it is clean."""
    segments = [each for path in room.glob("**/postmaster.pid") for each in _shared_memory(path)]
    for _ in range(ROUNDS):
        servers = servers_in(room)
        if not servers:
            break
        _end(servers)
    for segment in segments:
        ctypes.CDLL(None).shmctl(segment, 0, None)  # 0: IPC_RMID; fails when it is gone already
    shutil.rmtree(room, ignore_errors=True)


def _end(servers: list[psutil.Process]) -> None:
    """Have PostgreSQL quit, which gives its shared memory back, and kill the others and the rest.

    Stopped processes are let go on first: they could not quit.
    """
    for server in servers:
        _send(server, signal.SIGCONT)
        _send(server, signal.SIGQUIT if _is_postgres(server) else signal.SIGKILL)
    await_end(servers, GRACE_S)
    for server in servers:
        _send(server, signal.SIGKILL)
    await_end(servers, GRACE_S)


def await_end(processes: list[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait until all have ended; returns those that have not in time."""
    deadline_s = time.monotonic() + within_s
    while (left := [each for each in processes if lives(each)]) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return left


def lives(server: psutil.Process) -> bool:
    """Whether a process still runs: one that ended may stay as a zombie, reaped by nobody."""
    try:
        return bool(server.is_running() and server.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_postgres(server: psutil.Process) -> bool:
    try:
        return bool(server.name() == "postgres")
    except psutil.Error:
        return False


def _send(server: psutil.Process, number: signal.Signals) -> None:
    try:
        server.send_signal(number)
    except psutil.Error:
        return  # gone meanwhile


def _shared_memory(postmaster: Path) -> list[int]:
    """Read the id of PostgreSQL's System V segment, the second number of its seventh line."""
    try:
        return [int(postmaster.read_text(encoding="utf-8").splitlines()[6].split()[1])]
    except (OSError, IndexError, ValueError):
        return []


def main() -> None:
    """Wait for the maker of the room to go, then clear it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    room, maker = Path(sys.argv[1]), os.getppid()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.getppid() == maker:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_S)
        if readable:
            break  # nobody ever writes: it can only be the end
    clear(room)


if __name__ == "__main__":
    main()
