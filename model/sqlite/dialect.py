"""SQLAlchemy's SQLite dialect, without its silences.

SQLAlchemy drops FOR UPDATE on SQLite without a word. Here FOR UPDATE reaches the simulated server
as a comment it acts on, and every locking clause or isolation level that one database-wide write
lock cannot express is refused with an error that names the remedy: a real PostgreSQL.
"""

from typing import Any

from sqlalchemy import exc
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

FOR_UPDATE = "/* FOR UPDATE */"
REMEDY = "run it with --db postgres"


class SimulatedSQLiteCompiler(SQLiteCompiler):
    """Compiles FOR UPDATE to a marker, and refuses its finer variants."""

    def for_update_clause(self, select: Any, **_kw: Any) -> str:
        """The marker for FOR UPDATE and FOR NO KEY UPDATE, which are the same with one lock.

        Raises:
            CompileError: SKIP LOCKED, NOWAIT, OF, FOR SHARE or FOR KEY SHARE.
        """
        clause = select._for_update_arg
        finer = {
            "SKIP LOCKED": clause.skip_locked,
            "NOWAIT": clause.nowait,
            "FOR KEY SHARE": clause.read and clause.key_share,
            "FOR SHARE": clause.read,
            "OF": clause.of,
        }
        for name, asked in finer.items():
            if asked:
                raise exc.CompileError(
                    f"the simulated SQLite has one write lock and cannot express {name}; {REMEDY}"
                )
        return f" {FOR_UPDATE}"


class SimulatedSQLiteDialect(SQLiteDialect_pysqlite):
    """`sqlite+holdfast://`: the dialect of engines on the simulated SQLite."""

    driver = "holdfast"
    statement_compiler = SimulatedSQLiteCompiler
    supports_statement_cache = True

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """READ COMMITTED (what the simulated server is) or AUTOCOMMIT.

        Raises:
            ArgumentError: any other level.
        """
        if level not in {"READ COMMITTED", "AUTOCOMMIT"}:
            raise exc.ArgumentError(
                f"the simulated SQLite is READ COMMITTED and cannot express {level}; {REMEDY}"
            )
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """The level of this connection."""
        return "AUTOCOMMIT" if dbapi_connection.autocommit else "READ COMMITTED"

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:  # noqa: ARG002
        """READ COMMITTED, PostgreSQL's default."""
        return "READ COMMITTED"

    def get_isolation_level_values(self, dbapi_conn: Any) -> Any:  # noqa: ARG002
        """Every level that may be asked for; `set_isolation_level` refuses with the remedy."""
        return [
            "AUTOCOMMIT",
            "READ COMMITTED",
            "READ UNCOMMITTED",
            "REPEATABLE READ",
            "SERIALIZABLE",
        ]

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether the connection commits each statement by itself."""
        return bool(dbapi_conn.autocommit)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002
        """Whether the error means that the connection is gone (SQLAlchemy then drops it)."""
        return getattr(e, "disconnected", False) is True


registry.register("sqlite.holdfast", __name__, "SimulatedSQLiteDialect")
