"""What a crossing reads and writes, so that a search knows which of them commute.

A resource is a short text: `redis:KEY`, `db:TABLE:KEY`, `payment:KEY`, `clock`, `acks`, `db:lock`,
`told:HOLD`, `tasks`.
A `*` in the place of the key stands for all of them. Where a command is not known, it is taken to
write everything in its store: too many orders are then searched, never too few.
"""

import re
from collections.abc import Iterable
from typing import Any

from model.exploring.one_key import one_key
from reservation.tables import metadata

_FIRST_KEY_READS = frozenset(
    b"GET STRLEN TTL PTTL EXPIRETIME PEXPIRETIME TYPE HGET HMGET HGETALL HVALS HKEYS HLEN HEXISTS "
    b"ZRANGE ZRANGEBYSCORE ZSCORE ZCARD ZCOUNT ZREVRANGE SMEMBERS SISMEMBER SCARD LRANGE LLEN "
    b"GETRANGE".split()
)
_ALL_KEYS_READ = frozenset(b"MGET EXISTS WATCH".split())
_FIRST_KEY_WRITES = frozenset(
    b"SET SETEX PSETEX SETNX GETSET GETDEL INCR INCRBY DECR DECRBY APPEND EXPIRE PEXPIRE EXPIREAT "
    b"PEXPIREAT PERSIST HSET HSETNX HMSET HDEL HINCRBY ZADD ZREM ZINCRBY ZREMRANGEBYSCORE SADD "
    b"SREM LPUSH RPUSH LPOP RPOP LREM LTRIM".split()
)
_ALL_KEYS_WRITTEN = frozenset((b"DEL", b"UNLINK"))
_NO_KEYS = frozenset(b"TIME PING ECHO MULTI DISCARD UNWATCH SELECT HELLO CLIENT".split())
_WORDS = re.compile(r"\b(" + "|".join(sorted(metadata.tables)) + r")\b", re.IGNORECASE)
PAY = "pay-"
REDIS_SESSION, DATABASE_SESSION = "redis:(session)", "db:(session)"  # what a restart breaks
SCRIPTS = "redis:(scripts)"
DISK = "redis:(disk)"
TASKS = "tasks"

Touched = tuple[frozenset[str], frozenset[str]]  # reads, writes
NOTHING: Touched = (frozenset(), frozenset())


def of_redis(commands: Iterable[list[bytes]]) -> Touched:
    """What Redis commands read and write; every key may also vanish with time.

    Whatever they are about, they find out whether their connection still is.
    """
    reads: set[str] = {"clock", REDIS_SESSION}
    writes: set[str] = set()
    for fields in commands:
        name, arguments = fields[0].upper(), fields[1:]
        if name in _FIRST_KEY_READS:
            reads.add(_redis(arguments[0]))
        elif name in _ALL_KEYS_READ:
            reads.update(map(_redis, arguments))
        elif name in _FIRST_KEY_WRITES:
            writes.add(_redis(arguments[0]))
        elif name in _ALL_KEYS_WRITTEN:
            writes.update(map(_redis, arguments))
        elif name in {b"EVAL", b"EVALSHA"}:
            writes.update(map(_redis, arguments[2 : 2 + int(arguments[1])]))
            (writes if name == b"EVAL" else reads).add(SCRIPTS)
        elif name not in _NO_KEYS:
            writes.add("redis:*")
    return frozenset(reads), frozenset(writes)


def _redis(key: bytes) -> str:
    return f"redis:{key.decode(errors='replace')}"


def of_sql(sql: str, parameters: Any, *, target: str | None) -> Touched:
    """What one statement reads and writes; `target` is the table it writes, if it does.

    A row of `payments` or `orders` is told apart when the statement is about one payment key.
    """
    key, keyed = one_key(sql, parameters) or ("", frozenset())
    tables = {found.lower() for found in _WORDS.findall(sql)}
    writes = set()
    if target is not None:
        writes.add(_table(target.lower(), key, keyed))
    reads = {DATABASE_SESSION, *(_table(table, key, keyed) for table in tables)}
    if "julianday" in sql:
        reads.add("clock")
    return frozenset(reads), frozenset(writes)


def _table(table: str, key: str, keyed: frozenset[str]) -> str:
    return f"db:{table}:{key if table in keyed else '*'}"


def conflict(reads: frozenset[str], writes: frozenset[str], other: Touched) -> bool:
    """Whether two crossings may not commute: one writes what the other reads or writes."""
    other_reads, other_writes = other
    return _meet(writes, other_reads | other_writes) or _meet(reads, other_writes)


def _meet(some: frozenset[str], others: frozenset[str]) -> bool:
    if not some.isdisjoint(others):
        return True
    return any(_covers(one, other) for one in some for other in others)


def _covers(one: str, other: str) -> bool:
    if one.endswith("*") and other.startswith(one[:-1]):
        return True
    return other.endswith("*") and one.startswith(other[:-1])
