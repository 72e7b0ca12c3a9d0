"""The simulated SQLite as the database of explored worlds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from chaos.faults import Target
from model.exploring.clients import ExploredDBConnection
from model.exploring.database import PLENTY, TIMEOUT_S, TRAVEL
from model.exploring.digest import database_rows
from model.exploring.kernel import Actor, ChoosingKernel, ChoosingLink
from model.kernel import Places
from model.sqlite.client import make_engine
from model.sqlite.server import SimulatedSQLite
from reservation.tables import metadata

Rows = dict[str, list[Any]]


class OnSQLite:
    """See `model.exploring.database.ExploredDatabase`."""

    def __init__(self) -> None:
        kernel = ChoosingKernel()
        link = ChoosingLink(kernel, Target.DATABASE, TIMEOUT_S)
        self.server = SimulatedSQLite(
            kernel, link, statement=TRAVEL, commit=TRAVEL, lock_timeout_s=TIMEOUT_S
        )
        self._state: tuple[ChoosingKernel, int, bytes] = (kernel, -1, b"")
        self._rows: Rows = {}

    def make_engine(self, kernel: ChoosingKernel) -> Engine:
        """An engine of one actor's server."""
        return make_engine(
            kernel,
            self.server,
            places=Places(kernel.env, PLENTY),
            timeout_s=TIMEOUT_S,
            connection=ExploredDBConnection,
        )

    def remember(self) -> None:
        """What is in the tables now is what worlds begin with."""
        main = self.server.main
        self._rows = {
            table.name: main.execute(f"SELECT * FROM {table.name}").fetchall()  # noqa: S608
            for table in metadata.sorted_tables
        }

    def reset(self, kernel: ChoosingKernel) -> None:
        """Serve this kernel's world, from the remembered rows."""
        server = self.server
        server.kernel = kernel
        server.link = ChoosingLink(kernel, Target.DATABASE, TIMEOUT_S)
        server.write_lock = Places(kernel.env, 1)
        main = server.main
        if main.in_transaction:  # somebody never ended theirs
            main.execute("ROLLBACK")
        for name in reversed(self._rows):
            main.execute(f"DELETE FROM {name}")  # noqa: S608
        for name, rows in self._rows.items():
            if rows:
                marks = ",".join("?" * len(rows[0]))
                main.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608

    def movers(self, actors: Sequence[Actor]) -> list[str]:
        """Those whose next crossing does not wait for the write lock."""
        taken = self.server.write_lock.taken
        return [
            actor.actor
            for actor in actors
            if actor.stop is not None and not (actor.stop.locks and taken)
        ]

    @property
    def write_locked(self) -> bool:
        """Whether somebody is inside a write transaction, which nobody else can be then."""
        return bool(self.server.write_lock.taken)

    def state(self, kernel: ChoosingKernel) -> bytes:
        """All committed rows; what is not committed follows from what its writer was told."""
        known, version, rows = self._state
        if known is not kernel or version != kernel.database_version:
            rows = database_rows(self.server.reader)
            self._state = (kernel, kernel.database_version, rows)
        return rows

    def restart(self) -> None:
        """Stop and start: what is open is rolled back, sessions are gone."""
        self.server.stop()
        self.server.start()

    def leave(self) -> None:
        """The world is over: its code has been put away."""

    def close(self) -> None:
        """Close the files."""
        self.server.close()
