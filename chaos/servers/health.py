"""A server's health, whether it is a child process, a container or somebody else's.

It is asked over its own protocol, waited for, proved before a history is judged, and ended
politely.
"""

import signal
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.stacks.contract import StackBroken

ASK_S = 1.0
"""How long one PING on loopback may take; a stopped server does not answer it."""

ASK_DATABASE_S = 2
"""The same for PostgreSQL: libpq takes whole seconds, and two at least."""

ENDED_S = 10.0
"""How long a server told to stop may take; `docker stop` grants the same, then kills."""

LOG_LINES = 6
LOG_ENDS = "; its log ends:"

PostgresConnection: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


class Process(Protocol):
    """As much of a child process, or of a container, as its health needs."""

    @property
    def running(self) -> bool:
        """Whether it lives (a stopped one lives)."""

    def says(self, what: str) -> str:
        """Return a message about it, with the last lines of its log."""

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""

    def await_end(self, within_s: float = ENDED_S) -> bool:
        """Wait for it to end; False when it did not."""

    def kill(self) -> None:
        """End it at once and wait until it is gone."""


def redis_client(url: str, *, ask_s: float = ASK_S) -> redis.Redis:
    """Make a client that asks once and waits `ask_s` at most."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=ask_s,
        socket_connect_timeout=ask_s,
        retry=Retry(NoBackoff(), 0),
    )


def redis_amiss(url: str, *, ask_s: float = ASK_S) -> str | None:
    """Say why a Redis is not healthy; None: it answers, and its data are loaded."""
    client = redis_client(url, ask_s=ask_s)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        return str(error) or type(error).__name__
    finally:
        client.close()
    return None


def postgres_amiss(connect: Callable[[], PostgresConnection]) -> str | None:
    """Say why a PostgreSQL is not healthy; None: it answers a query."""
    try:
        with connect() as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip() or type(error).__name__
    return None


def await_healthy(
    process: Process, ready: Callable[[], str | None], *, within_s: float, poll_s: float
) -> None:
    """Wait until `ready` returns None; what it returns instead says what is amiss.

    Raises:
        StackBroken: the process ended, or was not ready in time.
    """
    deadline_s = time.monotonic() + within_s
    while (amiss := ready()) is not None:
        if not process.running:
            raise StackBroken(process.says("ended while it was starting"))
        if time.monotonic() > deadline_s:
            raise StackBroken(process.says(f"was not healthy within {within_s:g} s ({amiss})"))
        time.sleep(poll_s)


def prove(process: Process, amiss: Callable[[], str | None]) -> None:
    """Prove that a server runs and answers.

    Raises:
        StackBroken: it does not.
    """
    if not process.running:
        raise StackBroken(process.says("is not running"))
    said = amiss()
    if said is not None:
        raise StackBroken(process.says(f"does not answer ({said})"))


def end(process: Process, number: signal.Signals) -> bool:
    """Ask a server to stop and wait; False if it had to be killed."""
    process.tell(number)
    if process.await_end():
        return True
    process.kill()
    return False


def last_words(log: Iterable[str]) -> str:
    """The last lines of a log, as the end of a message; empty when there is none."""
    told = [line.strip() for line in log if line.strip()][-LOG_LINES:]
    return f"{LOG_ENDS}\n  " + "\n  ".join(told) if told else ""
