"""Clients of the real stores that say what they see: one interface for Redis and PostgreSQL."""

import socket
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.faults import Target
from chaos.stacks.contract import Endpoints

FAILURES = (redis.RedisError, psycopg.Error)
BLOB = "x" * 300
GREETINGS = {
    Target.REDIS: b"PING\r\n",  # answered with an error about the password
    Target.DATABASE: bytes([0, 0, 0, 8, 4, 210, 22, 47]),  # SSLRequest, answered with one byte
}


class Asker(Protocol):
    """A client with an open connection through the proxy, and a way round it."""

    def write(self) -> None:
        """Add one, through the proxy, without retrying."""

    def read(self) -> None:
        """Read 300 bytes, through the proxy."""

    def written(self) -> int:
        """How much was added in truth, asked directly."""

    def close(self) -> None:
        """Close all connections."""


class RedisAsker:
    """Counts in a Redis key."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._near = redis_client(endpoints.redis_url)
        self._direct = redis_client(endpoints.direct_redis_url)
        self._near.set("blob", BLOB)

    def write(self) -> None:
        """See `Asker`."""
        self._near.incr("n")

    def read(self) -> None:
        """See `Asker`."""
        assert self._near.get("blob") == BLOB.encode()

    def written(self) -> int:
        """See `Asker`."""
        return int(self._direct.get("n") or 0)

    def close(self) -> None:
        """See `Asker`."""
        self._near.close()
        self._direct.close()


class DatabaseAsker:
    """Counts in a row of the database."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._near = connect(endpoints.database_url)
        self._direct = connect(endpoints.direct_database_url)
        self._near.execute("CREATE TABLE IF NOT EXISTS counter (n int)")
        self._near.execute("INSERT INTO counter SELECT 0 WHERE NOT EXISTS (TABLE counter)")

    def write(self) -> None:
        """See `Asker`."""
        self._near.execute("UPDATE counter SET n = n + 1")

    def read(self) -> None:
        """See `Asker`."""
        assert self._near.execute("SELECT repeat('x', 300)").fetchone() == (BLOB,)

    def written(self) -> int:
        """See `Asker`."""
        row = self._direct.execute("SELECT n FROM counter").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """See `Asker`."""
        self._near.close()
        self._direct.close()


def redis_client(url: str, timeout_s: float = 5.0) -> "redis.Redis":
    """A client that never retries."""
    return redis.Redis.from_url(url, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def connect(url: str) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection that commits each statement."""
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    return psycopg.connect(plain, autocommit=True, connect_timeout=5)


def asker(target: Target, endpoints: Endpoints) -> Asker:
    """A client of one store."""
    if target is Target.REDIS:
        return RedisAsker(endpoints)
    return DatabaseAsker(endpoints)


def port_of(url: str) -> int:
    """The port of a URL."""
    port = urlsplit(url).port
    assert port is not None
    return port


def greet(target: Target, port: int, within_s: float = 0.3) -> str:
    """Say what a new client meets: `answers`, `silent`, `closed` or `refused`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=within_s) as client:
            client.sendall(GREETINGS[target])
            return "answers" if client.recv(1) else "closed"
    except TimeoutError:
        return "silent"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionError:
        return "closed"


def seconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s
