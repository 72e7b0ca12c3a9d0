"""What a statement's text says: its label for traces, and whether it asks what time it is.

The server's clock is real time, which no run may see. Its clock functions are shadowed by functions
of the schema `public` (which is searched before `pg_catalog`): they return virtual time, which the
client sets before a statement whose text asks for it, and when a transaction begins if a table's
default asks. So P7 is as in PostgreSQL: `now()` stands still within a transaction,
`clock_timestamp()` moves, also while a statement waits for a lock, after which READ COMMITTED looks
again at its conditions. Keywords cannot be shadowed: CURRENT_TIMESTAMP is rewritten to `now()`, its
relatives without a time zone are refused.
"""

import re
from dataclasses import dataclass

from model.sqlite.server import classify

CLOCK = "holdfast.clock"
TRANSACTION = "holdfast.transaction"

# Set for a statement that goes on after a wait: what it asked is not what it would be told now.
AFTER_A_WAIT = "holdfast.clock"
PREPARED = f"CREATE SCHEMA IF NOT EXISTS holdfast; CREATE SEQUENCE IF NOT EXISTS {AFTER_A_WAIT};\n"
_TOLD = "current_setting('{}')::float8"
_MOVES = f"coalesce(pg_sequence_last_value('{AFTER_A_WAIT}') / 1000000.0::float8, {_TOLD})"

_SHADOWED = {
    "clock_timestamp": ("VOLATILE", CLOCK, _MOVES),
    "statement_timestamp": ("STABLE", CLOCK, _TOLD),
    "transaction_timestamp": ("STABLE", TRANSACTION, _TOLD),
    "now": ("STABLE", TRANSACTION, _TOLD),
}

# In PL/pgSQL: a SQL function would be inlined, and the planner would then use an index where
# PostgreSQL cannot (`expires_at <= clock_timestamp()`).
FUNCTIONS = PREPARED + "".join(
    f"CREATE OR REPLACE FUNCTION public.{name}() RETURNS timestamptz {volatility} LANGUAGE plpgsql"
    f" AS $$BEGIN RETURN to_timestamp({said.format(setting)}); END$$;\n"
    for name, (volatility, setting, said) in _SHADOWED.items()
)

_ASKS = re.compile(rf"\b({'|'.join(_SHADOWED)})\"?\s*\(", re.IGNORECASE)
_KEYWORD = re.compile(r"\bCURRENT_TIMESTAMP\b(\s*\(\s*\d\s*\))?", re.IGNORECASE)
_REFUSED = re.compile(
    r"\b(LOCALTIMESTAMP|LOCALTIME|CURRENT_TIME|CURRENT_DATE|timeofday|pg_sleep\w*)\b"
    r"|'\s*(now|today|tomorrow|yesterday)\s*'|\bage\s*\([^,()]*\)"
    rf"|\bpg_catalog\s*\.\s*({'|'.join(_SHADOWED)})\b"
    r"|^\s*(LISTEN|NOTIFY|COPY|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)
_CHANCE = re.compile(
    r"\b(random\w*|gen_random_\w+|uuid_generate_\w+|uuidv[47])\s*\(|\bTABLESAMPLE\b", re.IGNORECASE
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
    """The statement would see real time, or chance; no server would send this."""


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
        _check(text)
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


def _check(text: str) -> None:
    refused = _REFUSED.search(text)
    if refused is not None:
        raise StatementRefused(
            f"{refused.group(0).strip()} does not run in virtual time: {text[:80]!r}; use "
            "now(), clock_timestamp(), CURRENT_TIMESTAMP or the clock of the stores"
        )
    chance = _CHANCE.search(text)
    if chance is not None:
        raise StatementRefused(
            f"{chance.group(0).strip('( ')} is another value in each run: {text[:80]!r}; no run "
            "could be repeated from its seed: draw in the application, from a seeded generator"
        )


def _no(_text: str) -> bool:
    return False
