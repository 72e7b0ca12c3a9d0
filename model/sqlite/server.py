"""A simulated database server: SQLite on disk, under rules of our own in virtual time.

- Reads see the latest commit (READ COMMITTED, like PostgreSQL's default): outside a write they run
  in SQLite's autocommit on a WAL file.
- The first write or FOR UPDATE of a transaction takes one database-wide write lock, waited for in
  virtual time and held until commit or rollback. PostgreSQL locks rows; with one lock for all,
  waits here are an upper bound and row-level deadlocks cannot happen (A13 needs PostgreSQL).
- An error inside a transaction aborts it, as in PostgreSQL: only ROLLBACK is accepted then.
- `fsync` is taken for granted: commits survive a restart of the server.

Beside a real PostgreSQL (`--db postgres`; docs/postgres.md, and
`tests/model/postgres/test_against_sqlite.py`, where both reach the same verdicts) this differs:

- FOR UPDATE and FOR NO KEY UPDATE are the same here; there the first waits for the share lock that
  each new row of a foreign key holds on its parent, and two such rows deadlock.
- One lock, one `lock_timeout`; there each lock that is waited for has its own.
- Isolation levels above READ COMMITTED, SKIP LOCKED, NOWAIT and FOR SHARE are refused.
- The ids of rolled-back inserts are used again; PostgreSQL's sequences lose them.
- The error of a failed statement is known at once; there it travels back like any answer.

A crash of the server or of its client rolls back what is open, at that instant.
"""

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from model.kernel import EPOCH_S, Kernel, Places
from model.link import Link, TravelTime
from model.sqlite.leftovers import folder_prefix, sweep_once

UNIX_EPOCH_JULIAN = 2440587.5


class SimulatedSQLite:
    """One database server; `connect` opens a session of a client.

    `statements`, `lock_waits_s` and so on are totals for the run's metrics.
    """

    def __init__(
        self,
        kernel: Kernel,
        link: Link,
        *,
        statement: TravelTime,
        commit: TravelTime,
        lock_timeout_s: float,
    ) -> None:
        self.kernel = kernel
        self.link = link
        self.statement_travel = statement
        self.commit_travel = commit
        self.lock_timeout_s = lock_timeout_s
        self.alive = True
        self.clock_offset_s = 0.0
        self.statements = 0
        self.reclaim_statements = 0
        self.lock_waits_s: list[float] = []
        self.deadlocks = 0  # one lock for all cannot deadlock
        self.serialization_failures = 0  # READ COMMITTED has none
        self.write_lock = Places(kernel.env, 1)
        self._sessions: dict[int, Session] = {}
        self._next_session = 0
        self.writer: Session | None = None
        sweep_once()
        with tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder:
            self.main = self._connect(folder)
            self.words = self.main.cursor()  # for BEGIN, COMMIT, ROLLBACK: writers have this one
            self.reader = self._connect(folder)
        # Open files live on without their names, so that a SIGKILL later leaves nothing behind.

    def _connect(self, folder: str) -> sqlite3.Connection:
        path = Path(folder) / "shop.db"
        raw = sqlite3.connect(path, isolation_level=None, timeout=0, cached_statements=256)
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=OFF")
        raw.execute("CREATE TABLE IF NOT EXISTS opened (file INTEGER)")  # opens the log files too
        raw.execute("SELECT * FROM opened").fetchall()
        raw.create_function("julianday", 1, self._julianday)
        return raw

    def count_statement(self) -> None:
        """Count one; those of sweepers and delayed tasks as well by themselves."""
        self.statements += 1
        request = self.kernel.current
        self.reclaim_statements += request is not None and request.kind == "sweeper"

    def raw_for(self, session: "Session") -> sqlite3.Connection:
        """The SQLite connection a session's next statement runs on.

        There is one write transaction at most, so two connections serve any number of sessions:
        the writer has the main one for itself, and meanwhile the others read on the second, which
        sees commits only. (One each would read every page again after another one's commit.)
        """
        return self.main if self.writer in {None, session} else self.reader

    def open_session(self) -> "Session":
        """A new session, without crossing anything (see `model.sqlite.client` for that)."""
        self._next_session += 1
        session = Session(self, self._next_session)
        self._sessions[session.number] = session
        return session

    def forget(self, session: "Session") -> None:
        """The session is closed."""
        self._sessions.pop(session.number, None)

    def stop(self) -> None:
        """The server ends: what is open is rolled back, every session is gone."""
        self.alive = False
        for session in list(self._sessions.values()):
            session.end()
        self._sessions.clear()

    def start(self) -> None:
        """The server is back, with everything that was committed."""
        self.alive = True

    @property
    def lock_wait_s(self) -> float:
        """How long everybody together has waited for the write lock."""
        return sum(self.lock_waits_s)

    def close(self) -> None:
        """Close the files, which is the end of them."""
        self.stop()
        self.main.close()
        self.reader.close()

    def _julianday(self, when: str) -> float:
        if when != "now":
            raise ValueError(f"the simulated SQLite knows julianday('now') only, not {when!r}")
        now_s = EPOCH_S + self.kernel.env.now + self.clock_offset_s
        return UNIX_EPOCH_JULIAN + now_s / 86400.0


class LockTimeout(Exception):
    """The write lock was not free in time (PostgreSQL: `lock_timeout`)."""


class Session:
    """The server's end of one connection: a transaction at most, and perhaps the write lock."""

    def __init__(self, server: SimulatedSQLite, number: int) -> None:
        self.server = server
        self.number = number
        self.in_transaction = False
        self.aborted = False
        self.ended = False
        self.writing = False
        self._locked = False

    def begin_write(self) -> None:
        """Take the write lock, in virtual time, and start SQLite's write transaction.

        Raises:
            LockTimeout: the lock was not free within the server's lock timeout.
        """
        if self.writing:
            return
        kernel, server = self.server.kernel, self.server
        if kernel.current is not None:
            asked_s = kernel.env.now
            granted = kernel.acquire(server.write_lock, server.lock_timeout_s)
            if kernel.env.now > asked_s:
                server.lock_waits_s.append(kernel.env.now - asked_s)
            if not granted:
                raise LockTimeout
            if self.ended:
                server.write_lock.free()
                return
            self._locked = True
        server.words.execute("BEGIN IMMEDIATE")
        self.writing = True
        server.writer = self

    def finish(self, verb: str) -> None:
        """COMMIT or ROLLBACK now, and free the lock. An aborted transaction only rolls back."""
        if self.writing:
            self.server.words.execute("ROLLBACK" if self.aborted else verb)
            self._free()
        self.in_transaction = False
        self.aborted = False

    def end(self) -> None:
        """The connection is gone: roll back what is open, at once."""
        if self.ended:
            return
        self.ended = True
        if self.writing:
            with contextlib.suppress(sqlite3.Error):
                self.server.words.execute("ROLLBACK")
            self._free()
        self.in_transaction = False
        self.server.forget(self)

    def _free(self) -> None:
        self.writing = False
        self.server.writer = None
        if self._locked:
            self._locked = False
            self.server.write_lock.free()


_TABLE = r"[`\"\[]?(\w+)"
_SHAPES: tuple[tuple[str, re.Pattern[str], bool], ...] = (
    ("INSERT", re.compile(rf"INSERT\s+(?:OR\s+\w+\s+)?INTO\s+{_TABLE}", re.IGNORECASE), True),
    ("UPDATE", re.compile(rf"UPDATE\s+(?:OR\s+\w+\s+)?{_TABLE}", re.IGNORECASE), True),
    ("DELETE", re.compile(rf"DELETE\s+FROM\s+{_TABLE}", re.IGNORECASE), True),
    (
        "SELECT",
        re.compile(rf"SELECT\b.*?\bFROM\s+\(?\s*{_TABLE}", re.IGNORECASE | re.DOTALL),
        False,
    ),
)
classified: dict[str, tuple[str, bool]] = {}


def classify(sql: str, is_locking: Callable[[str], bool]) -> tuple[str, bool]:
    """A statement's label for traces ("UPDATE carts") and whether it takes the write lock."""
    known = classified.get(sql)
    if known is None:
        text = sql.lstrip()
        known = (
            (text.split(None, 1) or [""])[0].upper(),
            not text[:6].upper().startswith(("SELECT", "PRAGMA")),
        )
        for verb, pattern, writes in _SHAPES:
            match = pattern.match(text)
            if match:
                known = (f"{verb} {match.group(1)}", writes or is_locking(sql))
                break
        classified[sql] = known
    return known
