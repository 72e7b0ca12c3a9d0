"""The state of an explored world in sixteen bytes: equal digests, equal futures.

A state is the stores' contents, what every actor was told so far (the code between two crossings is
deterministic, so that is where it stands), the time, what may still happen, and what the invariants
over time need to remember of the past.
"""

import hashlib
import marshal
import pickle
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
    """The keyspace as a reader sees it, and the scripts the server knows."""
    return [] if redis is None else [keyspace(redis), sorted(redis.fake.script_cache)]


def keyspace(redis: SimulatedRedis) -> list[Any]:
    """What is in Redis now, without what has expired."""
    databases = sorted(redis.fake.dbs.items())
    return [(number, _keys(database, redis.clock_s)) for number, database in databases]


def disk_content(
    redis: SimulatedRedis | None, durable: list[Any], *, kill: bool, power_loss: bool
) -> list[Any]:
    """What a death of Redis would leave beside its memory, as far as one may still come.

    Here an fsync takes no time: SIGKILL leaves an append-only file whole, and a loss of power
    leaves `durable`. When the next fsync or snapshot is due decides what a later death leaves.
    """
    if redis is None:
        return []
    aof, snapshots = redis.aof, redis.snapshots
    if snapshots is not None and (kill or power_loss):
        # Of the changes it matters only whether there are any: other save points need a hundred.
        return [_plain_dump(snapshots.completed), *snapshots.standing]
    if not risks_writes(redis.persistence) or aof is None or not power_loss:
        return []
    return [durable, *aof.standing]


def risks_writes(persistence: Persistence) -> bool:
    """Whether a loss of power may take some of the writes that were answered, and leave others."""
    return persistence in {Persistence.AOF_NO, Persistence.AOF_EVERYSEC}


def _plain_dump(dump: bytes | None) -> Any:
    if dump is None:
        return None
    content = pickle.loads(dump)  # noqa: S301 - our own bytes
    return [
        (number, sorted((key, _plain(value), ends) for key, (value, ends) in keys.items()))
        for number, keys in sorted(content.items())
    ]


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
