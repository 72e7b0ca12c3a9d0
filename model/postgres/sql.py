"""What a statement's text says: its label for traces, and whether it asks what time it is.

The server's clock is real time, which no run may see. Its clock functions are shadowed by functions
of the schema `public` (which is searched before `pg_catalog`): they return virtual time, which the
client sets before a statement whose text asks for it, and when a transaction begins if a table's
default asks. So P7 is as in
PostgreSQL: `now()` stands still within a transaction, `clock_timestamp()` moves. Keywords cannot be
shadowed: CURRENT_TIMESTAMP is rewritten to `now()`, its relatives without a time zone are refused.
"""

import re
from dataclasses import dataclass

from model.sqlite.server import classify

CLOCK = "holdfast.clock"
TRANSACTION = "holdfast.transaction"

_SHADOWED = {
    "clock_timestamp": ("VOLATILE", CLOCK),
    "statement_timestamp": ("STABLE", CLOCK),
    "transaction_timestamp": ("STABLE", TRANSACTION),
    "now": ("STABLE", TRANSACTION),
}

# In PL/pgSQL: a SQL function would be inlined, and the planner would then use an index where
# PostgreSQL cannot (`expires_at <= clock_timestamp()`).
FUNCTIONS = "".join(
    f"CREATE OR REPLACE FUNCTION public.{name}() RETURNS timestamptz {volatility} LANGUAGE plpgsql"
    f" AS $$BEGIN RETURN to_timestamp(current_setting('{setting}')::float8); END$$;\n"
    for name, (volatility, setting) in _SHADOWED.items()
)

_ASKS = re.compile(rf"\b({'|'.join(_SHADOWED)})\s*\(", re.IGNORECASE)
_KEYWORD = re.compile(r"\bCURRENT_TIMESTAMP\b(\s*\(\s*\d\s*\))?", re.IGNORECASE)
_REFUSED = re.compile(
    r"\b(LOCALTIMESTAMP|LOCALTIME|CURRENT_TIME|CURRENT_DATE|timeofday|pg_sleep\w*)\b|'now'"
    r"|^\s*(LISTEN|NOTIFY|COPY|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)
_FREES = re.compile(r"advisory_unlock|^\s*ROLLBACK\s+TO\b", re.IGNORECASE)
_DEFINES = re.compile(r"\s*(CREATE|ALTER)\b", re.IGNORECASE)
_HIDES = re.compile(r"\s*(CREATE|ALTER)\b.*\b(VIEW|RULE|POLICY)\b", re.IGNORECASE | re.DOTALL)
_OF_ROWS = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|WITH)\b(?!.*;)", re.IGNORECASE | re.DOTALL
)
_READS = re.compile(r"\s*SELECT\b(?!.*(\b(FOR|INTO)\b|;|\"\s*\())", re.IGNORECASE | re.DOTALL)
_CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
_HARMLESS = frozenset(_SHADOWED).union(
    re.findall(
        r"\w+",
        "all and any as by case cast coalesce count distinct else exists filter from greatest"
        " having in join least lower max min not numeric on or over select sum then upper values"
        " varchar when where",
    )
)
"""What may stand before a parenthesis in a text that surely only reads."""


class StatementRefused(RuntimeError):
    """The statement would wait or look at the clock in real time; no server would send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement's text as it is sent.

    `frees`: it may free locks before a commit. `defines`: what it says may run later (a default);
    `hides`: it may run in what only seems to read (a view). `reads`: it surely does nothing else,
    and locks no row. `of_rows`: the only locks on tables it asks for go with those of readers.
    """

    text: str
    label: str
    asks_time: bool
    frees: bool
    defines: bool
    hides: bool
    reads: bool
    of_rows: bool


_known: dict[str, Statement] = {}


def read(text: str) -> Statement:
    """Read a statement, once per text.

    Raises:
        StatementRefused: it cannot run in virtual time; the message says what to write instead.
    """
    known = _known.get(text)
    if known is None:
        refused = _REFUSED.search(text)
        if refused is not None:
            raise StatementRefused(
                f"{refused.group(0).strip()} does not run in virtual time: {text[:80]!r}; use "
                "now(), clock_timestamp(), CURRENT_TIMESTAMP or the clock of the stores"
            )
        sent = _KEYWORD.sub("now()", text)
        known = _known[text] = Statement(
            text=sent,
            label=classify(text, _no)[0],
            asks_time=_ASKS.search(sent) is not None,
            frees=_FREES.search(text) is not None,
            defines=_DEFINES.match(text) is not None,
            hides=_HIDES.match(text) is not None,
            reads=_only_reads(text),
            of_rows=_OF_ROWS.match(text) is not None,
        )
    return known


def _only_reads(text: str) -> bool:
    """Whether a statement is a SELECT that locks no row and calls only what is known to read."""
    called = {name.lower() for name in _CALLED.findall(text)}
    return _READS.match(text) is not None and called <= _HARMLESS


def _no(_text: str) -> bool:
    return False
