"""Where store errors become outcomes: `reservation.boundary`."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions as redis_errors
from sqlalchemy import Engine, create_engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.pool import QueuePool

from reservation.boundary import (
    database_reading,
    database_transaction,
    redis_reading,
    redis_writing,
)
from reservation.errors import NotApplied, SoldOut, UnknownOutcome
from reservation.tables import events, metadata
from tests.reservation.interleave import ServerDied

ROW = {"id": 1, "capacity": 5, "remaining_ticket": 5, "price_cents": 1}


class Connection(sqlite3.Connection):
    """A connection on which a test makes a step fail, and which counts rollbacks."""

    fail: str = ""
    after_effect: bool = False
    error: BaseException = sqlite3.OperationalError("server closed the connection")
    rollbacks: int = 0

    def commit(self) -> None:
        """Commit, or fail before or after doing so."""
        if Connection.fail == "commit":
            if Connection.after_effect:
                super().commit()
            raise Connection.error
        super().commit()

    def rollback(self) -> None:
        """Roll back, or fail."""
        Connection.rollbacks += 1
        if Connection.fail == "rollback":
            raise Connection.error
        super().rollback()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine with one pooled connection whose steps can be made to fail."""
    for name, value in (("fail", ""), ("after_effect", False), ("rollbacks", 0)):
        monkeypatch.setattr(Connection, name, value)
    monkeypatch.setattr(Connection, "error", sqlite3.OperationalError("connection lost"))
    engine = create_engine(
        f"sqlite:///{tmp_path / 'shop.sqlite'}",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
        connect_args={"factory": Connection},
    )
    metadata.create_all(engine)
    return engine


def rows(engine: Engine) -> int:
    """Count the events."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(events)).scalar_one()


def write(engine: Engine, then: BaseException | None = None) -> None:
    """Write one event in a transaction, and raise `then`."""
    with database_transaction(engine) as connection:
        connection.execute(insert(events).values(ROW))
        Connection.rollbacks = 0
        if then is not None:
            raise then


def test_a_transaction_that_ends_well_is_committed(engine: Engine) -> None:
    """What the body wrote is there afterwards."""
    write(engine)
    assert rows(engine) == 1


def test_a_domain_error_rolls_back_and_passes_through(engine: Engine) -> None:
    """A refusal raised in the body leaves nothing behind."""
    with pytest.raises(SoldOut):
        write(engine, then=SoldOut("none left"))
    assert rows(engine) == 0


def test_a_rule_of_the_schema_passes_through(engine: Engine) -> None:
    """IntegrityError is the strategy's to understand."""
    write(engine)
    with pytest.raises(IntegrityError):
        write(engine)
    assert rows(engine) == 1


def test_a_failure_before_the_commit_is_not_applied(engine: Engine) -> None:
    """A store error in the body is rolled back, also when the rollback fails as well."""
    for fail in ("", "rollback"):
        Connection.fail = fail
        with pytest.raises(NotApplied, match="connection lost"):
            write(engine, then=sqlalchemy_error(sqlite3.OperationalError("connection lost")))
        Connection.fail = ""
        assert rows(engine) == 0


def sqlalchemy_error(original: Exception) -> Exception:
    """Wrap a driver's error as SQLAlchemy does."""
    from sqlalchemy.exc import OperationalError

    return OperationalError("UPDATE", {}, original)


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_failing_commit_is_unknown(engine: Engine, after_effect: bool) -> None:  # noqa: FBT001
    """The caller cannot tell a commit that never arrived from one whose reply was lost (P10)."""
    Connection.fail, Connection.after_effect = "commit", after_effect
    with pytest.raises(UnknownOutcome, match="connection lost"):
        write(engine)
    Connection.fail = ""
    assert rows(engine) == int(after_effect)


def test_a_commit_the_server_refused_is_not_applied(engine: Engine) -> None:
    """A serialization failure at COMMIT is an answer: nothing was applied (P5)."""

    class SerializationFailure(sqlite3.OperationalError):
        sqlstate = "40001"

    Connection.fail, Connection.error = "commit", SerializationFailure("could not serialize")
    with pytest.raises(NotApplied, match="could not serialize"):
        write(engine)
    Connection.fail = ""
    assert rows(engine) == 0


def test_a_mistake_in_the_code_is_not_dressed_up_as_an_outcome(engine: Engine) -> None:
    """Errors that repeating cannot cure pass through."""
    with pytest.raises(ProgrammingError), database_transaction(engine) as connection:
        connection.execute(text("SELECT :a"), {"a": object()})


@pytest.mark.parametrize("enter", [database_transaction, database_reading])
def test_an_exhausted_pool_is_not_applied(engine: Engine, enter: Callable[[Engine], Any]) -> None:
    """Who gets no connection has done nothing."""
    with (
        database_reading(engine),
        pytest.raises(NotApplied, match="cannot be reached"),
        enter(engine),
    ):
        pytest.fail("there was no connection to lend")


def test_a_dying_server_sends_no_rollback(engine: Engine) -> None:
    """Its connection is dropped: the server rolls back, and the pool gets no used connection."""
    with pytest.raises(ServerDied):
        write(engine, then=ServerDied())
    assert Connection.rollbacks == 0
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # it is a QueuePool
    assert rows(engine) == 0


def test_a_death_during_the_commit_passes_through(engine: Engine) -> None:
    """What is not an Exception is never translated."""
    Connection.fail, Connection.error = "commit", ServerDied()
    with pytest.raises(ServerDied):
        write(engine)


def test_reading_keeps_nothing(engine: Engine) -> None:
    """A write in a reading is rolled back."""
    with database_reading(engine) as connection:
        connection.execute(insert(events).values(ROW))
    assert rows(engine) == 0


def test_a_failing_read_is_not_applied(engine: Engine) -> None:
    """Reads have no effect to be in doubt about."""
    with pytest.raises(NotApplied), database_reading(engine):
        raise sqlalchemy_error(sqlite3.OperationalError("gone"))


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ConnectionError("gone"),
        redis_errors.TimeoutError("slow"),
        redis_errors.BusyLoadingError("loading"),
        redis_errors.ReadOnlyError("replica"),
        redis_errors.OutOfMemoryError("full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_redis_failures_are_unknown_for_writes_and_not_applied_for_reads(error: Exception) -> None:
    """Every way Redis fails has its outcome."""
    with pytest.raises(UnknownOutcome), redis_writing():
        raise error
    with pytest.raises(NotApplied), redis_reading():
        raise error


def test_an_exhausted_redis_pool_is_not_applied() -> None:
    """Nothing was sent."""
    with pytest.raises(NotApplied), redis_writing():
        raise redis_errors.MaxConnectionsError("pool")


@pytest.mark.parametrize("error", [SoldOut("no"), ServerDied(), redis_errors.ResponseError("Lua")])
def test_everything_else_passes_the_redis_boundary(error: BaseException) -> None:
    """Domain errors, deaths and mistakes in scripts are not outcomes."""
    with pytest.raises(type(error)), redis_writing():
        raise error
