"""What an explored world asks of its database, whichever it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Engine

from model.database import SQLITE, check_database
from model.link import TravelTime

if TYPE_CHECKING:
    from model.exploring.kernel import Actor, ChoosingKernel
    from model.exploring.small_world import SmallWorld

TRAVEL = TravelTime(1.0, 1.0)  # asked for by the stores' constructors; no time passes
PLENTY = 100  # connections a pool may have: its limit is not explored
TIMEOUT_S = 1.0


class ExploredDatabase(Protocol):
    """One database that many executions use, one after the other."""

    def make_engine(self, kernel: "ChoosingKernel") -> Engine:
        """An engine of one actor's server."""

    def remember(self) -> None:
        """What is in the tables now is what worlds begin with."""

    def reset(self, kernel: "ChoosingKernel") -> None:
        """Serve this kernel's world, from the remembered rows."""

    def movers(self, actors: "Sequence[Actor]") -> list[str]:
        """The actors that can go on: they stand at a crossing and wait for nobody."""

    @property
    def write_locked(self) -> bool:
        """Whether somebody is inside a write transaction that no other can be beside."""

    def state(self, kernel: "ChoosingKernel") -> Any:
        """What the database's future depends on, as plain values."""

    def restart(self) -> None:
        """Stop and start: what is open is rolled back, sessions are gone."""

    def leave(self) -> None:
        """The world is over: its code has been put away."""

    def close(self) -> None:
        """No more executions."""


def open_explored(small: "SmallWorld") -> ExploredDatabase:
    """Open the database of a small world.

    Raises:
        UnknownDatabase, DatabaseUnavailable: as `model.database.open_database`.
    """
    check_database(small.database)
    if small.database == SQLITE:
        from model.exploring.on_sqlite import OnSQLite

        return OnSQLite()
    from model.postgres.address import address_of

    address_of(small.database)  # says what is missing before psycopg is imported
    from model.exploring.on_postgres import OnPostgres

    return OnPostgres(small.database, small.isolation)
