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

FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz VOLATILE
    LANGUAGE plpgsql AS $$BEGIN RETURN to_timestamp(current_setting('{CLOCK}')::float8); END$$;
CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz STABLE
    LANGUAGE plpgsql AS $$BEGIN RETURN to_timestamp(current_setting('{TRANSACTION}')::float8); END$$;
CREATE OR REPLACE FUNCTION public.transaction_timestamp() RETURNS timestamptz STABLE
    LANGUAGE plpgsql AS $$BEGIN RETURN to_timestamp(current_setting('{TRANSACTION}')::float8); END$$;
CREATE OR REPLACE FUNCTION public.statement_timestamp() RETURNS timestamptz STABLE
    LANGUAGE plpgsql AS $$BEGIN RETURN to_timestamp(current_setting('{CLOCK}')::float8); END$$;
"""

_ASKS = re.compile(r"\b(clock_timestamp|now|transaction_timestamp|statement_timestamp)\s*\(", re.I)
_KEYWORD = re.compile(r"\bCURRENT_TIMESTAMP\b(\s*\(\s*\d\s*\))?", re.I)
_REFUSED = re.compile(
    r"\b(LOCALTIMESTAMP|LOCALTIME|CURRENT_TIME|CURRENT_DATE|timeofday|pg_sleep\w*)\b|'now'"
    r"|^\s*(LISTEN|NOTIFY|PREPARE\s+TRANSACTION)\b",
    re.I,
)
_FREES = re.compile(r"advisory_unlock|^\s*ROLLBACK\s+TO\b", re.I)
_DEFINES = re.compile(r"\s*(CREATE|ALTER)\b", re.I)


class StatementRefused(RuntimeError):
    """The statement would wait or look at the clock in real time; no server would send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement's text as it is sent.

    `frees`: it may free locks before a commit. `defines`: what it says may run later (a default).
    """

    text: str
    label: str
    asks_time: bool
    frees: bool
    defines: bool


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
        )
    return known


def _no(_text: str) -> bool:
    return False
