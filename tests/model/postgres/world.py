"""A small world on a real PostgreSQL, and a table of tickets in it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert, select, update

from chaos.faults import Target
from model.database import DatabaseSettings
from model.kernel import Kernel, Places
from model.link import Link
from model.postgres.server import PostgresServer
from tests.model.driving import FAST, FakeServer, SmallWorld

metadata = MetaData()
stock = Table(
    "stock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("left", Integer),
)
tickets = Table("tickets", metadata, Column("id", Integer, primary_key=True))

TAKE_ONE = update(stock).where(stock.c.left > 0).values(left=stock.c.left - 1)


class PostgresWorld(SmallWorld):
    """A kernel and a PostgreSQL with `rows` rows of `left` tickets each; ids from 1."""

    def __init__(
        self,
        *,
        left: int = 1,
        rows: int = 1,
        pool: int = 20,
        database: str = "postgres",
        **settings: Any,
    ) -> None:
        self._open.append(self)
        self.kernel = Kernel(keep_crossings=True)
        self.env = self.kernel.env
        self.server = FakeServer()
        self.database_link = Link(self.kernel, Target.DATABASE, timeout_s=5.0)
        given: dict[str, Any] = {"statement": FAST, "commit": FAST, "lock_timeout_s": 10.0}
        self.postgres = PostgresServer(
            database,
            self.kernel,
            self.database_link,
            DatabaseSettings(**{**given, **settings}),
        )
        self.database = self.postgres  # type: ignore[assignment] # what `close_all` closes
        self.engine = self.postgres.make_engine(Places(self.env, pool), 30.0)
        self.results = {}
        self.requests = {}
        self.make_tables([{"id": number, "left": left} for number in range(1, rows + 1)])

    def make_tables(self, filled: list[dict[str, int]]) -> None:
        """Make the tables, and fill that of the stock."""
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(insert(stock), filled)

    def transaction(self, at_s: float, name: str, body: Callable[[Connection], Any]) -> None:
        """Run `body` in one transaction, as request `name` at `at_s`."""

        def run() -> Any:
            with self.engine.begin() as connection:
                return body(connection)

        self.at(at_s, name, run)

    def left(self) -> list[int]:
        """What the rows of `stock` say, read at rest."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(stock.c.left).order_by(stock.c.id)).scalars())


def state_of(error: object) -> str | None:
    """The SQLSTATE of an error that SQLAlchemy raised."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
