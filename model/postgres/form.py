"""One statement's text on one connection: how it is filled in, sent, named and described."""

from typing import Any, NamedTuple

from psycopg._queries import PostgresQuery
from psycopg.abc import Transformer
from psycopg.pq import ExecStatus, abc

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

    The first time in a run it has no name on the server: most lists of keys come once. Then it is
    prepared, under a name for each combination of parameter types, and keeps its plan
    (`force_generic_plan`): planning each time anew costs a run a seventh. Tables grow, so it is
    planned again, under another name, when it has been sent 8, 32, 128, ... times. `asked` counts,
    and begins at 0 in each run: names outlive a run, plans do not, so when a plan is made (and with
    it which one) depends on the run alone.
    """

    __slots__ = ("_columns", "_names", "_parsed", "_query", "asked")

    _serial = 0

    def __init__(self, transformer: Transformer) -> None:
        self._query = PostgresQuery(transformer)
        self._names: dict[tuple[tuple[int, ...], int], bytes] = {}
        self._parsed = False
        self._columns: list[tuple[Any, ...]] | None = None
        self.asked = 0

    def fill(self, text: str, parameters: Any) -> None:
        """Convert the parameters of the next sending; None is not the same as an empty list."""
        if self._parsed and parameters is not None:
            self._query.dump(parameters)
        else:
            self._query.convert(text, parameters)
            self._parsed = True
        self.asked += 1

    def send(self, pgconn: abc.PGconn, before: tuple[bytes, ...]) -> Sending:
        """Give it to libpq, and the commands that go before it, in one message if they can."""
        query = self._query
        if not query.params:  # may be several statements, which cannot be named or piped
            for command in before:
                pgconn.exec_(command)
            pgconn.send_query(query.query)
            return _AS_IT_IS
        plan = self._plan
        name = self._names.get((query.types, plan), b"") if plan else b""
        naming = b""
        if plan and not name:
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
            self._names[self._query.types, self._plan] = sending.naming

    @property
    def has_parameters(self) -> bool:
        """Whether this sending has: then it is one statement, and one that is planned."""
        return bool(self._query.params)

    @property
    def _plan(self) -> int:
        """Which of its plans this sending has: 0 is that of the first one, 1 lasts to the 7th."""
        return self.asked.bit_length() // 2

    def describe(self, result: abc.PGresult) -> list[tuple[Any, ...]]:
        """The DBAPI's description of a result's columns."""
        if self._columns is None:
            names = [result.fname(column) or b"" for column in range(result.nfields)]
            self._columns = [
                (name.decode(), result.ftype(column), None, None, None, None, None)
                for column, name in enumerate(names)
            ]
        return self._columns
