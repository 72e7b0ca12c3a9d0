"""redis-py over real sockets, with each crossing in sight (see `model.live.crossings`).

The seam is the connection, as in the simulated arm: `send_packed_command` is the request leg, the
first `read_response` after it the reply leg. The commands of a pipeline leave in one piece, which
Redis works off in one go, so that the first answer proves the effect of them all.
"""

from typing import Any

import redis
from redis.backoff import EqualJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

from chaos.faults import Target
from model.live.crossings import Crossings


class WatchedRedisConnection(redis.Connection):
    """One connection of an application server."""

    def __init__(self, *, crossings: Crossings, **kwargs: Any) -> None:
        self._crossings = crossings
        self._awaiting = ""  # the label of the command whose reply is due
        super().__init__(**kwargs)

    def _connect(self) -> Any:
        self._crossings.request(Target.REDIS, "CONNECT")
        return super()._connect()

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """Send: the request leg."""
        if self._crossings.armed:
            if self._sock is None:
                self.connect()
            label = self._awaiting = command_name(command)
            self._crossings.request(Target.REDIS, label)
        super().send_packed_command(command, check_health)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Receive: the reply leg."""
        label = self._awaiting
        if not label:
            return super().read_response(*args, **kwargs)
        self._awaiting = ""
        try:
            response = super().read_response(*args, **kwargs)
        except redis.ResponseError:  # "no" is an answer too
            self._land(label)
            raise
        self._land(label)
        return response

    def _land(self, label: str) -> None:
        if self._crossings.loses_reply(Target.REDIS, label):
            self.disconnect()
            raise RedisConnectionError(
                "Error while reading from socket: Connection closed by server."
            )


class WaitingPool(redis.BlockingConnectionPool):
    """redis-py's blocking pool, whose exhaustion is told as what it is: nothing was sent."""

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """A connected connection.

        Raises:
            redis.exceptions.MaxConnectionsError: none was free within the timeout.
        """
        try:
            return super().get_connection(*args, **kwargs)
        except RedisConnectionError as error:
            if str(error) == "No connection available.":
                raise MaxConnectionsError(str(error)) from error
            raise


def command_name(packed: Any) -> str:
    """Read the name of the first command out of what redis-py has packed (RESP)."""
    first = packed if isinstance(packed, bytes | str) else next(iter(packed), b"")
    text = first.encode() if isinstance(first, str) else bytes(first)
    pieces = text.split(b"\r\n", 3)
    return pieces[2].decode(errors="replace") if len(pieces) > 2 else ""  # noqa: PLR2004 - *n, $n, name


def make_client(
    url: str,
    crossings: Crossings,
    *,
    connections: int,
    timeout_s: float,
    retries: int,
    backoff_s: tuple[float, float],
) -> redis.Redis:
    """The client of one application server; `backoff_s` is the first wait and the longest."""
    first_s, longest_s = backoff_s
    pool = WaitingPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        connection_class=WatchedRedisConnection,
        crossings=crossings,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        protocol=2,
        driver_info=None,
        retry=Retry(EqualJitterBackoff(cap=longest_s, base=first_s), retries),
    )
    return redis.Redis(connection_pool=pool)
