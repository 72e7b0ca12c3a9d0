"""A real PostgreSQL in a private room: emptied for each run, killed, paused, brought back.

PostgreSQL refuses to run as root. Started by root (in a container, say), it runs as the user
`postgres` if there is one, else as `nobody`; no user is made.
"""

import os
import pwd
import secrets
import signal
import subprocess
from functools import cached_property

import psycopg

from chaos.servers.binaries import GET_POSTGRES, Program
from chaos.servers.child import Child
from chaos.servers.empty_database import empty
from chaos.servers.health import ASK_DATABASE_S, PostgresConnection, end, postgres_amiss, prove
from chaos.servers.room import Room
from chaos.stacks.contract import StackBroken, StackMissing

INITDB_S = 60.0
DATABASE = "holdfast"
OWNER = "postgres"
_CONFIGURATION = "holdfast.conf"
UNPRIVILEGED = ("postgres", "nobody")

# Shared memory is kept in files of the data directory, where it cannot outlive it, and nothing
# listens but one loopback port.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "timezone": "UTC",
}


class PostgresServer:
    """One PostgreSQL with a password, on one port, for the life of a stack."""

    def __init__(self, room: Room, program: Program, port: int) -> None:
        self.port = port
        self.program = program
        self.password = secrets.token_urlsafe(12)
        user = unprivileged_user()
        folder = room.subfolder("postgres")
        self.folder_of_programs = program.path.parent
        if user is not None:
            room.give_to(user)
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
            installed = program.path.parents[1]
            self.folder_of_programs = room.readable_by(user, installed) / "bin"
        self.child = Child("postgres", folder, user)
        self.data = folder / "data"
        room.admit(self.folder_of_programs / "postgres")

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database, without a proxy."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """SQLAlchemy's URL of the database through another port."""
        return f"postgresql+psycopg://{OWNER}:{self.password}@127.0.0.1:{port}/{DATABASE}"

    def create(self) -> None:
        """Make the cluster and start it.

        Raises:
            StackMissing: PostgreSQL cannot make a cluster here.
            StackBroken: it did not become healthy.
        """
        secret = self.child.folder / "password"
        secret.write_text(self.password, encoding="utf-8")
        if self.child.user is not None:
            owner = pwd.getpwnam(self.child.user)
            os.chown(secret, owner.pw_uid, owner.pw_gid)
        secret.chmod(0o600)
        self._initdb(str(secret))
        secret.unlink()
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(f"include = '{_CONFIGURATION}'\n")
        self._start()
        try:
            with self._connect() as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise StackBroken(self.child.says(f"makes no database ({error})")) from error
        self._durable(on=True)

    def start(self) -> None:
        """Start it on its data as they are, and wait until it has recovered them.

        Raises:
            StackBroken: it did not become healthy.
        """
        self._start()
        self._durable(on=True)

    def _start(self) -> None:
        self._durable(on=False)
        program = self.folder_of_programs / "postgres"
        self.child.start([program, "-D", self.data], self._environment)
        self.child.await_healthy(self.amiss)

    def renew(self) -> None:
        """Cut off whoever is in the database, and make it empty.

        Raises:
            StackBroken: it does not answer.
        """
        try:
            with self._connect(DATABASE) as connection:
                empty(connection)
        except psycopg.Error as error:
            raise StackBroken(self.child.says(f"gives no empty database ({error})")) from error

    def stop(self) -> bool:
        """Shut it down as `pg_ctl stop` does (SIGINT: clients are cut off); False if killed."""
        return end(self.child, signal.SIGINT)

    def quit(self) -> None:
        """End it at once and for good; it gives its shared memory back. Repeatable."""
        if not self.child.running:
            return
        self.child.send(signal.SIGCONT)
        end(self.child, signal.SIGQUIT)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers a query."""
        return postgres_amiss(self._connect)

    def check(self) -> None:
        """Prove that it answers.

        Raises:
            StackBroken: it does not.
        """
        prove(self.child, self.amiss)

    def _durable(self, *, on: bool) -> None:
        """Have commits synced to the disk, as in production, or not.

        They are not while it starts: syncing a thousand files of no interest takes seconds on a
        busy disk, and a process's death loses none of them.
        """
        settings = {**_SETTINGS, "port": self.port, "fsync": "on" if on else "off"}
        lines = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
        file = self.data / _CONFIGURATION
        file.write_text(lines, encoding="utf-8")
        file.chmod(0o644)  # in a directory of mode 700
        if self.child.running:
            self.child.tell(signal.SIGHUP)
            self.child.await_healthy(lambda: self._still(on=not on))

    def _still(self, *, on: bool) -> str | None:
        with self._connect() as connection:
            row = connection.execute("SHOW fsync").fetchone()
        now = row is not None and row[0] == "on"
        return f"fsync is still {'on' if now else 'off'}" if now is on else None

    def _connect(self, database: str = "postgres") -> PostgresConnection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=OWNER,
            password=self.password,
            dbname=database,
            connect_timeout=ASK_DATABASE_S,
            autocommit=True,
        )

    @cached_property
    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder_of_programs}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def _initdb(self, password_file: str) -> None:
        words = ("-U", OWNER, "--pwfile", password_file, "-A", "scram-sha-256", "-E", "UTF8")
        speed = ("--no-locale", "--no-sync")
        user = self.child.user
        program = str(self.folder_of_programs / "initdb")
        command = [program, "-D", str(self.data), *words, *speed]
        try:
            told = subprocess.run(  # noqa: S603 - PostgreSQL's own command
                command,
                cwd=self.child.folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=INITDB_S,
                check=False,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackMissing(
                f"postgres: initdb cannot be run: {error}. {GET_POSTGRES}"
            ) from error
        if told.returncode:
            raise StackMissing(f"postgres: initdb failed: {told.stderr.strip()}. {GET_POSTGRES}")


def unprivileged_user() -> str | None:
    """Return whom PostgreSQL runs as when we are root; None: as ourselves.

    Raises:
        StackMissing: root has nobody to give it to.
    """
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise StackMissing(
        "postgres: it refuses to run as root, and there is neither a user `postgres` nor a user"
        " `nobody`; run holdfast as an ordinary user"
    )
