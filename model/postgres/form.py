"""One statement's text on one connection: how it is filled in, sent, named and described."""

from typing import Any, NamedTuple

from psycopg._queries import PostgresQuery
from psycopg.abc import Transformer
from psycopg.pq import ExecStatus, abc

PREPARE_AT = 2
"""A text is prepared when it is sent for so many times: most lists of keys come once."""
NAMED = {
    b"ROLLBACK": b"hr",
    b"BEGIN ISOLATION LEVEL READ COMMITTED": b"hb1",
    b"BEGIN ISOLATION LEVEL REPEATABLE READ": b"hb2",
    b"BEGIN ISOLATION LEVEL SERIALIZABLE": b"hb3",
}
"""Commands that every connection names when it is made."""
_COMMAND_OK = int(ExecStatus.COMMAND_OK)


class Sending(NamedTuple):
    """What was sent: `naming` is a new name, whose answer comes at the place `named_at`."""

    piped: bool
    naming: bytes
    named_at: int


_AS_IT_IS = Sending(piped=False, naming=b"", named_at=0)


class Form:
    """A statement's text, whose parsing is done once, by psycopg and by the server.

    The server's name for it goes with the types of its parameters. A plan is made for each
    execution (`force_custom_plan`), as for a statement without a name.
    """

    __slots__ = ("_asked", "_columns", "_names", "_query")

    _serial = 0

    def __init__(self, transformer: Transformer) -> None:
        self._query = PostgresQuery(transformer)
        self._names: dict[tuple[int, ...], bytes] = {}
        self._columns: list[tuple[Any, ...]] | None = None
        self._asked = 0

    def fill(self, text: str, parameters: Any) -> None:
        """Convert the parameters of the next sending; None is not the same as an empty list."""
        if self._asked and parameters is not None:
            self._query.dump(parameters)
        else:
            self._query.convert(text, parameters)
        self._asked += 1

    def send(self, pgconn: abc.PGconn, before: tuple[bytes, ...]) -> Sending:
        """Give it to libpq, and the commands that go before it, in one message if they can."""
        query = self._query
        if not query.params:  # may be several statements, which cannot be named or piped
            for command in before:
                pgconn.exec_(command)
            pgconn.send_query(query.query)
            return _AS_IT_IS
        name = self._names.get(query.types, b"")
        naming = b""
        if not name and self._asked >= PREPARE_AT:
            Form._serial += 1
            name = naming = b"h%d" % Form._serial
        piped = bool(before or naming)
        if piped:
            pgconn.enter_pipeline_mode()
            for command in before:
                if command in NAMED:
                    pgconn.send_query_prepared(NAMED[command], None)
                else:
                    pgconn.send_query_params(command, None)
            if naming:
                pgconn.send_prepare(name, query.query, query.types)
        if name:
            pgconn.send_query_prepared(name, query.params, query.formats)
        else:
            pgconn.send_query_params(query.query, query.params, query.types, query.formats)
        if not piped:
            return _AS_IT_IS
        pgconn.pipeline_sync()
        return Sending(piped=True, naming=naming, named_at=len(before))

    def learn(self, sending: Sending, answers: list[abc.PGresult]) -> None:
        """Note whether the server knows the new name now."""
        at = sending.named_at
        if sending.naming and len(answers) > at and answers[at].status == _COMMAND_OK:
            self._names[self._query.types] = sending.naming

    def describe(self, result: abc.PGresult) -> list[tuple[Any, ...]]:
        """The DBAPI's description of a result's columns."""
        if self._columns is None:
            names = [result.fname(column) or b"" for column in range(result.nfields)]
            self._columns = [
                (name.decode(), result.ftype(column), None, None, None, None, None)
                for column, name in enumerate(names)
            ]
        return self._columns
