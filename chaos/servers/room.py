"""A private room for servers: a directory of mode 700, loopback ports, and a guardian."""

import os
import pwd
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Self

import psutil

from chaos.servers import guardian
from chaos.servers.keeper import Keeper
from chaos.stacks.contract import StackMissing

FIRST_PORT = 15_000
LAST_PORT = 31_999
"""Below the range from which kernels take the ports of outgoing connections (Linux: 32768), so that
no client can occupy a server's port while the server is down."""

TRIES = 200


class Room:
    """A directory that is removed, with every server working in it, however its maker ends.

    A context manager. `folder` exists while it is entered; it is made in `within` (None: where
    temporary directories are made).
    """

    def __init__(self, within: str | None = None) -> None:
        self.folder = Path()
        self._within = within
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        """Make the directory and start its guardian.

        Raises:
            StackMissing: there is no place for a temporary directory.
        """
        try:
            self.folder = Path(
                tempfile.mkdtemp(prefix="holdfast-live-", dir=self._within)
            ).resolve()
        except OSError as error:
            raise StackMissing(f"temporary directory: {error}; set TMPDIR to a place") from error
        try:
            self._keeper = Keeper(
                ["-P", guardian.__file__, str(self.folder)],
                {**os.environ, "PYTHONPATH": str(Path(psutil.__file__).parents[1])},
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        """Have the guardian clear the room, and wait until it has."""
        if self._keeper is not None:
            self._keeper.dismiss()
            self._keeper = None
        if self.folder.exists():
            guardian.clear(self.folder)

    def admit(self, program: Path) -> None:
        """Note a server's executable, so that the guardian may kill it. Before it is started."""
        with (self.folder / guardian.PROGRAMS_FILE).open("a", encoding="utf-8") as listed:
            listed.write(f"{program.resolve()}\n")

    def subfolder(self, name: str) -> Path:
        """Make a folder of mode 700 in the room."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder

    def give_to(self, user: str) -> None:
        """Let an unprivileged user enter; only root needs it."""
        entry = pwd.getpwnam(user)
        os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    def readable_by(self, user: str, folder: Path) -> Path:
        """Return a folder of programs, or its copy in the room when `user` cannot reach it.

        A wheel keeps libraries in a folder beside its package, named `PACKAGE.libs`, which its
        programs find by a relative path: they are copied beside the copy.
        """
        uid = pwd.getpwnam(user).pw_uid
        if all(_may_enter(each, uid) for each in (folder, *folder.parents)):
            return folder
        package = folder.parent
        copies = self.folder / "programs-of-others"
        _copy(folder, copies / package.name / folder.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            _copy(libraries, copies / libraries.name)
        for made in (copies, copies / package.name):
            made.chmod(0o755)  # whatever our umask says
        return copies / package.name / folder.name


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on, different from one another.

    Raises:
        StackMissing: no port is free.
    """
    taken: list[socket.socket] = []
    try:
        for _ in range(TRIES):
            if len(taken) == count:
                break
            probe = socket.socket()
            taken.append(probe)
            try:
                probe.bind(("127.0.0.1", FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)))
            except OSError:
                taken.remove(probe)
                probe.close()
        if len(taken) < count:
            raise StackMissing(f"ports: none free between {FIRST_PORT} and {LAST_PORT} on loopback")
        return [int(probe.getsockname()[1]) for probe in taken]
    finally:
        for probe in taken:
            probe.close()


def _may_enter(folder: Path, uid: int) -> bool:
    status = folder.stat()
    return bool(status.st_mode & 0o001) or (status.st_uid == uid and bool(status.st_mode & 0o100))


def _copy(folder: Path, to: Path) -> None:
    """Copy by hard links where that is possible: nothing writes to programs."""
    shutil.copytree(folder, to, symlinks=True, copy_function=_link)


def _link(source: str, to: str) -> None:
    try:
        os.link(source, to)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, to)
