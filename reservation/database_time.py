"""Whose clock a database strategy decides by: the application server's, or the database's.

Servers whose clocks differ end each other's holds early or late (A10); one clock for every
decision, the database's, cures that. `clock_timestamp()` is used on PostgreSQL because `now()`
stands still within a transaction.
"""

from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Double, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from reservation.api import Clock

ClockChoice = Literal["application", "database"]


class database_now(FunctionElement[float]):  # noqa: N801  it is written like a SQL function
    """The database server's time in epoch seconds; on PostgreSQL and SQLite."""

    type = Double()
    inherit_cache = True
    name = "database_now"


@compiles(database_now, "postgresql")
def _on_postgresql(_element: database_now, _compiler: Any, **_options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(database_now, "sqlite")
def _on_sqlite(_element: database_now, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


MOMENT: Final[dict[ClockChoice, ColumnElement[float]]] = {
    "application": bindparam("moment", type_=Double()),
    "database": database_now() + bindparam("shift", type_=Double()),
}


class Moments:
    """Makes the parameters for statements built on `MOMENT`."""

    __slots__ = ("_application", "_clock")

    def __init__(self, clock: Clock, choice: ClockChoice) -> None:
        self._clock = clock
        self._application = choice == "application"

    def at(self, shift_s: float = 0.0) -> dict[str, float]:
        """Name the moment `shift_s` from now."""
        if self._application:
            return {"moment": self._clock.now() + shift_s}
        return {"shift": shift_s}
