"""A real PostgreSQL as the database of explored worlds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from model.exploring.database import PLENTY, TIMEOUT_S
from model.exploring.kernel import Actor, ChoosingKernel
from model.exploring.postgres.server import ChoosingServer
from model.kernel import Places
from model.postgres.client import make_engine
from model.scenario import Isolation


class OnPostgres:
    """See `model.exploring.database.ExploredDatabase`."""

    write_locked = False  # rows are locked

    def __init__(self, database: str, isolation: Isolation) -> None:
        self.server = ChoosingServer(database, isolation)

    def make_engine(self, kernel: ChoosingKernel) -> Engine:
        """An engine of one actor's server."""
        return make_engine(self.server, Places(kernel.env, PLENTY), TIMEOUT_S)

    def remember(self) -> None:
        """What is in the tables now is what worlds begin with."""
        self.server.put_back()
        self.server.contents.remember()

    def reset(self, kernel: ChoosingKernel) -> None:
        """Serve this kernel's world, from the remembered rows."""
        self.server.serve(kernel)

    def movers(self, actors: Sequence[Actor]) -> list[str]:
        """Those who stand at a crossing and wait for nobody."""
        self.server.stock.must_go_on()
        return self.server.queue.movers(actors)

    def state(self, kernel: ChoosingKernel) -> Any:
        """What is committed, the sequences, every open transaction, and who waits for whom.

        Under SERIALIZABLE also the order of all effects since a moment at which no transaction was
        open: PostgreSQL remembers reads of committed transactions until then.
        """
        del kernel
        server = self.server
        server.stock.must_go_on()
        serializable = server.settings.isolation == "serializable"
        return (
            server.contents.all(),
            server.contents.numbers(),
            sorted(
                (each.owner, int(each.pgconn.transaction_status), each.work.state())
                for each in server.sessions
                if each.work is not None
            ),
            server.queue.state(),
            tuple(server.order) if serializable else (),
        )

    def restart(self) -> None:
        """Stop and start: what is open is rolled back, sessions are gone."""
        self.server.stop()
        self.server.start()

    def leave(self) -> None:
        """The world is over: its code has been put away."""
        self.server.put_back()
        self.server.stock.must_go_on()

    def close(self) -> None:
        """No more executions."""
        self.server.leave()
