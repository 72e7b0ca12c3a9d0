"""SQLAlchemy and psycopg over real sockets, with each crossing in sight.

The seam is psycopg's connection and cursor, below SQLAlchemy: its `commit` event fires before the
commit and so cannot lose a commit's reply. psycopg's own BEGIN is no crossing.
"""

from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event

from chaos.faults import Target
from model.live.crossings import Crossings
from model.scenario import Isolation
from model.sqlite.server import classify


class WatchedCursor(psycopg.Cursor[Any]):
    """A cursor whose statements cross in sight."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """One statement."""
        connection: WatchedConnection = self.connection  # type: ignore[assignment]
        if not connection.crossings.armed:
            return super().execute(query, params, **options)
        label = _label(query)
        connection.crossings.request(Target.DATABASE, label)
        result = super().execute(query, params, **options)
        connection.land(label)
        return result

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        """One statement for many rows: one crossing."""
        connection: WatchedConnection = self.connection  # type: ignore[assignment]
        label = _label(query) if connection.crossings.armed else ""
        connection.crossings.request(Target.DATABASE, label)
        super().executemany(query, params_seq, **options)
        connection.land(label)


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that also gives up waiting: psycopg by itself waits for ever."""

    crossings: Crossings
    patience_s: float

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server, but not longer than `patience_s`."""
        try:
            return super().wait(gen, interval, timeout or self.patience_s)
        except errors._WaitTimeout as error:  # noqa: SLF001 - what `wait` says it raises
            self.pgconn.finish()
            raise psycopg.OperationalError(
                "could not receive data from server: Connection timed out"
            ) from error

    def commit(self) -> None:
        """End the transaction."""
        if not self._crosses():
            super().commit()
            return
        self.crossings.request(Target.DATABASE, "COMMIT")
        super().commit()
        self.land("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction."""
        if not self._crosses():
            super().rollback()
            return
        self.crossings.request(Target.DATABASE, "ROLLBACK")
        super().rollback()
        self.land("ROLLBACK")

    def _crosses(self) -> bool:
        return self.crossings.armed and self.pgconn.transaction_status != TransactionStatus.IDLE

    def land(self, label: str) -> None:
        """The reply leg of one crossing.

        Raises:
            psycopg.OperationalError: the reply is lost, and the connection with it.
        """
        if self.crossings.loses_reply(Target.DATABASE, label):
            self.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")


def _label(query: Any) -> str:
    text = query.decode() if isinstance(query, bytes) else str(query)
    return classify(text, lambda _sql: False)[0]


def make_engine(
    url: str,
    crossings: Crossings,
    *,
    connections: int,
    pool_timeout_s: float,
    timeout_s: float,
    lock_timeout_s: float,
    statement_timeout_s: float,
    isolation: Isolation,
) -> Engine:
    """The engine of one application server; a statement timeout of 0 is none."""
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=pool_timeout_s,
        isolation_level=isolation.replace("-", " ").upper(),
    )
    limits_ms = {"lock_timeout": max(1, round(lock_timeout_s * 1000))}
    if statement_timeout_s:
        limits_ms["statement_timeout"] = max(1, round(statement_timeout_s * 1000))

    def connect(_dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
        crossings.request(Target.DATABASE, "CONNECT")
        connection = WatchedConnection.connect(
            *arguments,
            **keywords,
            cursor_factory=WatchedCursor,
            connect_timeout=max(2, round(timeout_s)),  # whole seconds are all that libpq knows
            options=" ".join(f"-c {name}={limit}" for name, limit in limits_ms.items()),
        )
        connection.crossings = crossings
        connection.patience_s = timeout_s + lock_timeout_s
        connection.land("CONNECT")
        return connection

    event.listen(engine, "do_connect", connect)
    return engine
