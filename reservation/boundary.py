"""Where store errors become outcomes: surely not applied, or unknown.

Strategies reach a store only inside one of these context managers, so that every failure is told
in the words of `reservation.errors` and the difference between "nothing happened" and "it may have
happened" is decided in one place. Domain errors and `IntegrityError` (a rule of the schema said no)
pass through. Whatever is not an `Exception` (the process is going down) passes through untouched:
a dying server sends no ROLLBACK, so its connection is dropped, not returned to the pool.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from redis.exceptions import (
    ClusterDownError,
    ConnectionError,  # noqa: A004  redis-py's own name
    MaxConnectionsError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004  redis-py's own name
    TryAgainError,
)
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reservation.errors import NotApplied, UnknownOutcome

DATABASE_FAILURES: Final = (OperationalError, InterfaceError, InternalError, PoolTimeout)
REDIS_FAILURES: Final = (
    ConnectionError,  # BusyLoadingError is one
    TimeoutError,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    TryAgainError,
)

# A COMMIT that the server answered with "no": serialization failure, deadlock (PostgreSQL
# appendix A, class 40 but not 40003, "statement completion unknown").
_ROLLED_BACK_STATES: Final = frozenset({"40000", "40001", "40002", "40P01"})
_SQLITE_BUSY: Final = 5


def database_transaction(engine: Engine) -> AbstractContextManager[Connection]:
    """Run the body in one transaction, committed when it ends well.

    Raises:
        NotApplied: the database failed before the commit; everything was rolled back.
        UnknownOutcome: it failed while committing; the changes may be there.
    """
    return _Transaction(engine)


def database_reading(engine: Engine) -> AbstractContextManager[Connection]:
    """Lend a connection for reads; nothing written in the body is kept.

    Raises:
        NotApplied: the database failed.
    """
    return _Reading(engine)


def redis_writing() -> AbstractContextManager[None]:
    """Guard Redis calls that change something.

    A failure is UnknownOutcome even when the server's last answer was a definite no (loading,
    read-only): redis-py may have resent the command after a first sending that was applied.

    Raises:
        NotApplied: the client's own pool was exhausted; nothing was sent.
        UnknownOutcome: any other failure.
    """
    return _REDIS_WRITING


def redis_reading() -> AbstractContextManager[None]:
    """Guard Redis calls that only read.

    Raises:
        NotApplied: Redis failed.
    """
    return _REDIS_READING


class _Reading:
    __slots__ = ("_connection", "_engine")
    _connection: Connection

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> Connection:
        try:
            self._connection = self._engine.connect()
        except DATABASE_FAILURES as error:
            raise NotApplied(f"the database cannot be reached: {_brief(error)}") from error
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            _drop(self._connection)
            return
        _give_up(self._connection)
        if isinstance(error, DATABASE_FAILURES):
            raise NotApplied(f"the database failed: {_brief(error)}") from error


class _Transaction(_Reading):
    __slots__ = ()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            super().__exit__(kind, error, trace)
            return
        connection = self._connection
        try:
            connection.commit()
        except DATABASE_FAILURES as failure:
            _give_up(connection)
            if _answered_no(failure):
                raise NotApplied(f"the database rolled back: {_brief(failure)}") from failure
            raise UnknownOutcome(f"no answer to the commit: {_brief(failure)}") from failure
        except Exception:
            _give_up(connection)
            raise
        connection.close()


def _give_up(connection: Connection) -> None:
    """Roll back and hand the connection back; one that cannot roll back is dropped.

    A failing rollback hides nothing: the server rolls back what it hears no commit for.
    """
    try:
        connection.rollback()
        connection.close()
    except DATABASE_FAILURES:
        _drop(connection)


def _drop(connection: Connection) -> None:
    if not connection.closed:
        if not connection.invalidated:
            connection.invalidate()
        connection.close()


def _answered_no(failure: Exception) -> bool:
    if not isinstance(failure, DBAPIError):
        return False
    if getattr(failure.orig, "sqlstate", None) in _ROLLED_BACK_STATES:
        return True
    return getattr(failure.orig, "sqlite_errorcode", 0) & 0xFF == _SQLITE_BUSY


def _brief(error: Exception) -> str:
    """Say what the driver said, without SQLAlchemy's statement and link."""
    return str(error.orig if isinstance(error, DBAPIError) else error)


class _RedisGuard:
    __slots__ = ("_outcome",)

    def __init__(self, outcome: type[NotApplied] | type[UnknownOutcome]) -> None:
        self._outcome = outcome

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, MaxConnectionsError):
            raise NotApplied(f"no Redis connection is free: {error}") from error
        if isinstance(error, REDIS_FAILURES):
            raise self._outcome(f"Redis failed: {error}") from error


_REDIS_WRITING: Final = _RedisGuard(UnknownOutcome)
_REDIS_READING: Final = _RedisGuard(NotApplied)
