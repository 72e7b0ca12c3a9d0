"""The clients of explored worlds: they say what they are about to ask, and what they heard."""

import sqlite3
from typing import Any

from redis.exceptions import RedisError

from model.exploring.kernel import Actor, ChoosingKernel, Stop, redis_stop, sql_stop
from model.exploring.touching import DATABASE_SESSION, Touched
from model.redis.client import SimulatedConnection
from model.sqlite.client import SimulatedCursor, SimulatedDBConnection, _is_locking
from model.sqlite.server import SimulatedSQLite, classified, classify
from reservation.tables import metadata

READ_ONLY: Touched = (frozenset((DATABASE_SESSION,)), frozenset())

# Where the code reads the number of the row it made. (Other tables have one too, unseen: it would
# tell apart what nobody can.)
_NUMBERED = frozenset(
    f"INSERT {table.name}"
    for table in metadata.sorted_tables
    if table.autoincrement_column is not None
)


class ExploredRedisConnection(SimulatedConnection):
    """A redis-py connection that announces its commands and notes their replies."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """Announce, then cross."""
        self._require_owner()
        if self._sock is None:
            self.connect()
        kernel: Any = self._simulated.kernel
        kernel.intent = redis_stop(command, self._incarnation)
        actor: Actor | None = kernel.current
        try:
            super().send_packed_command(command, check_health)
        except RedisError as error:
            if actor is not None:
                actor.learn(error)
            raise

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Note the reply, or the error that came instead."""
        actor: Any = self._simulated.kernel.current
        try:
            value = super().read_response(*args, **kwargs)
        except RedisError as error:
            if actor is not None:
                actor.learn(error)
            raise
        if actor is not None:
            actor.learn(value)
        return value


class ExploredDBConnection(SimulatedDBConnection):
    """A database connection that announces its commits."""

    def __init__(self, server: SimulatedSQLite) -> None:
        super().__init__(server)
        kernel: Any = server.kernel
        if kernel.current is not None:
            kernel.current.database_life = kernel.database_life

    def cursor(self, *_args: Any) -> "ExploredCursor":
        """A cursor."""
        return ExploredCursor(self)

    def commit(self) -> None:
        """Announce what the commit publishes: all that this transaction wrote."""
        kernel: Any = self.server.kernel
        if not self.session.writing:
            kernel.intent = Stop("database", "COMMIT", touched=READ_ONLY)
        else:
            published = frozenset((*self._written(), "db:lock"))
            kernel.intent = Stop("database", "COMMIT", touched=(READ_ONLY[0], published))
        try:
            super().commit()
        finally:
            kernel.intent = None
            kernel.database_version += 1  # also when its reply was lost
        if kernel.current is not None:
            kernel.current.learn("committed")

    def _written(self) -> set[str]:
        written: set[str] = self.__dict__.setdefault("written", set())
        return written


class ExploredCursor(SimulatedCursor):
    """A cursor that announces its statement and notes what came back."""

    connection: Any

    def _cross(self, sql: str, parameters: Any, *, many: bool) -> SimulatedCursor:
        connection = self.connection
        kernel: ChoosingKernel = connection.server.kernel
        actor: Any = kernel.current
        if actor is None:
            return super()._cross(sql, parameters, many=many)
        known = classified.get(sql)
        label, locks = classify(sql, _is_locking) if known is None else known
        session = connection.session
        stop = sql_stop(sql, parameters, label, locks=locks, writing=session.writing)
        if label in _NUMBERED:  # who comes first gets the lower number
            number = f"db:(number){label.partition(' ')[2]}"
            stop.touched = (stop.touched[0], stop.touched[1] | {number})
        if locks and not session.writing:
            connection.written = set()
        if locks:
            connection.written.update(stop.touched[1])
        kernel.intent = stop
        try:
            super()._cross(sql, parameters, many=many)
        except sqlite3.Error as error:
            actor.learn(f"{type(error).__name__}: {error}")
            raise
        if connection.autocommit:
            kernel.database_version += 1
        if self.description is not None:
            actor.learn(self._rows)
        else:
            actor.learn(f"{self.rowcount} row{'' if self.rowcount == 1 else 's'}")
        if label in _NUMBERED:
            actor.learn(f"id {self.lastrowid}")
        return self
