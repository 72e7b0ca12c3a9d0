"""The state of an explored world in sixteen bytes: equal digests, equal futures.

A state is the stores' contents, what every actor was told so far (the code between two crossings is
deterministic, so that is where it stands), the time, what may still happen, and what the invariants
over time need to remember of the past.
"""

import hashlib
import marshal
import sqlite3
from typing import Any

from fakeredis._core import Database
from fakeredis.model import Hash, ZSet

from chaos.persistence import Persistence
from model.redis.server import SimulatedRedis
from reservation.tables import metadata

_SELECTS = tuple(f"SELECT * FROM {table} ORDER BY 1, 2" for table in sorted(metadata.tables))  # noqa: S608


def digest(*parts: Any) -> bytes:
    """Sixteen bytes of plain values (numbers, texts, bytes, tuples, lists, None)."""
    return hashlib.blake2b(marshal.dumps(parts, 2), digest_size=16).digest()


def database_rows(reader: sqlite3.Connection) -> bytes:
    """All committed rows."""
    return digest([reader.execute(select).fetchall() for select in _SELECTS])


def redis_content(redis: SimulatedRedis | None) -> list[Any]:
    """The keyspace as a reader sees it, what the disk has, and the scripts the server knows."""
    if redis is None:
        return []
    state: list[Any] = [
        [(number, _keys(database, redis.clock_s)) for number, database in redis.fake.dbs.items()],
        sorted(redis.fake.script_cache),
    ]
    if redis.aof is not None and redis.persistence is not Persistence.AOF_ALWAYS:
        state += [redis.aof.written, redis.aof.synced, redis._journal]  # noqa: SLF001
    return state


def _keys(database: Database, now_s: float) -> list[Any]:
    items = database._dict.items()  # noqa: SLF001
    return sorted(
        (key, _plain(item.value), item.expireat)
        for key, item in items
        if item.expireat is None or item.expireat > now_s
    )


def _plain(value: Any) -> Any:
    """A stored value without the order in which it came to be."""
    if isinstance(value, Hash):
        return sorted(value._values.items())  # noqa: SLF001
    if isinstance(value, ZSet):
        return sorted(value.items())
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes | int | float | str):
        return value
    return repr(value)
