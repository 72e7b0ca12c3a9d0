"""redis-py over a simulated link: real client, real pool, real retries, virtual time.

The seam is the *connection* (not `execute_command`, which pipelines and redis-py's own retries
bypass): `send_packed_command` is the request leg and the effect, `read_response` the reply leg.
"""

from random import Random
from typing import Any

import redis
from fakeredis import FakeRedisConnection
from redis.backoff import AbstractBackoff
from redis.retry import Retry

from model.kernel import Kernel, Places, ServerDied
from model.link import Link, LinkCut, ReplyLost, TravelTime
from model.redis.server import ServerSocket, SimulatedRedis


class FieldPacker:
    """Packs a command into its fields, where redis-py would write them out for a wire.

    There is no wire here, and spelling RESP out only to parse it again costs as much as a command.
    """

    def __init__(self, encode: Any) -> None:
        self._encode = encode

    def pack(self, *args: Any) -> list[list[bytes]]:
        """One command as the server's list of fields (`CONFIG GET` is two, as in redis-py)."""
        name, *rest = args
        words = (name.encode() if isinstance(name, str) else bytes(name)).split()
        return [[*words, *(bytes(self._encode(value)) for value in rest)]]


class SimulatedConnection(FakeRedisConnection):
    """One redis-py connection whose commands cross a simulated link."""

    def __init__(
        self,
        *,
        simulated: SimulatedRedis,
        link: Link,
        travel: TravelTime,
        **kwargs: Any,
    ) -> None:
        self._simulated = simulated
        self._link = link
        self._travel = travel
        self._incarnation = 0
        self._awaiting = ""  # the label of the command whose reply is due
        self._leg_s = 0.0
        self._waited_s = 0.0
        self._orphaned = False  # whoever used it died; it is still to be collected
        super().__init__(server=simulated.fake, driver_info=None, **kwargs)
        self._command_packer = FieldPacker(self.encoder.encode)

    def pack_commands(self, commands: Any) -> list[list[bytes]]:
        """A pipeline, command by command."""
        return [fields for command in commands for fields in self._command_packer.pack(*command)]

    def _connect(self) -> ServerSocket:
        try:
            leg_s = self._link.request("CONNECT", self._travel)
            self._require_server()
            self._incarnation = self._simulated.incarnation
            self._link.reply("CONNECT", leg_s)
        except (LinkCut, ReplyLost) as error:
            raise redis.TimeoutError("Timeout connecting to server") from error
        return ServerSocket(
            self._simulated, self._simulated.fake, db=self.db, client_class=redis.Redis
        )

    def _require_server(self) -> None:
        if not self._simulated.alive:
            raise redis.ConnectionError("Error 111 connecting to redis. Connection refused.")

    def _require_session(self) -> None:
        """The connection lives as long as the server process it was made to."""
        if self._incarnation != self._simulated.incarnation or not self._simulated.alive:
            self.disconnect()
            raise redis.ConnectionError("Error while reading from socket: Connection reset by peer")

    def can_read(self, timeout: float | None = 0) -> bool:
        """Whether unread data (or a closed socket) is there; the pool asks before each use."""
        if self._sock is not None:
            self._require_session()
        return super().can_read(timeout)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002
        """Travel to the server; the effect happens here, at one instant."""
        self._require_owner()
        try:
            self._cross(command, check_health=check_health)
        except ServerDied:
            self._orphaned = True
            raise

    def _require_owner(self) -> None:
        """A pipeline that watches says so when it is collected, amid whatever runs by then."""
        if self._orphaned:
            raise redis.ConnectionError("the application server that used this connection died")

    def _cross(self, command: Any, *, check_health: bool) -> None:
        if self._sock is None:
            self.connect()
        if self._simulated.kernel.current is None:
            self._require_session()
            super().send_packed_command(command, check_health)
            return
        label = command[0][0].decode()
        try:
            self._leg_s = self._link.request(label, self._travel)
        except LinkCut as error:
            self.disconnect()
            raise redis.TimeoutError("Timeout writing to socket") from error
        self._require_session()
        self._wait_for_the_server(command)
        super().send_packed_command(command, check_health)
        self._awaiting = label

    def _wait_for_the_server(self, command: list[list[bytes]]) -> None:
        """Lie in the stalled server's buffer until its next loop, which takes all that waits.

        Who runs out of time first is told so; the command stays in the buffer and takes effect.
        """
        simulated, kernel = self._simulated, self._simulated.kernel
        patience_s = self._link.timeout_s - self._leg_s
        self._waited_s = 0.0
        while simulated.busy_until > kernel.env.now and not (
            self._waited_s and simulated.loop_began_s == kernel.env.now
        ):
            stall_s = simulated.busy_until - kernel.env.now
            if stall_s > patience_s:
                simulated.take_later(command, stall_s)
                kernel.sleep(max(0.0, patience_s))
                self.disconnect()
                raise redis.TimeoutError("Timeout reading from socket")
            kernel.sleep(stall_s)
            patience_s -= stall_s
            self._waited_s += stall_s
            self._require_session()

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Travel back with the reply; the first one of a pipeline pays for all."""
        label = self._awaiting
        if label:
            self._awaiting = ""
            simulated = self._simulated
            stalled_s = max(0.0, simulated.reply_at - simulated.kernel.env.now)
            try:
                self._link.reply(label, self._leg_s, stalled_s, self._waited_s)
            except ServerDied:
                self._orphaned = True
                raise
            except ReplyLost as error:
                self.disconnect()
                if error.timed_out:
                    raise redis.TimeoutError("Timeout reading from socket") from error
                raise redis.ConnectionError(
                    "Error while reading from socket: Connection closed by server."
                ) from error
            self._require_session()
        return super().read_response(*args, **kwargs)


class SimulatedPool(redis.ConnectionPool):
    """A redis-py pool whose limit is waited for in virtual time (see `BlockingConnectionPool`)."""

    def __init__(self, kernel: Kernel, places: Places, timeout_s: float, **kwargs: Any) -> None:
        self._kernel = kernel
        self._places = places
        self._place_timeout_s = timeout_s
        self._placed: set[int] = set()
        super().__init__(**kwargs)

    def get_connection(self, *_deprecated: Any, **_options: Any) -> Any:
        """A connected connection.

        Raises:
            redis.exceptions.MaxConnectionsError: none was free within the timeout.
        """
        if self._kernel.current is None:
            return super().get_connection()
        if not self._kernel.acquire(self._places, self._place_timeout_s):
            raise redis.exceptions.MaxConnectionsError("No connection available.")
        try:
            connection = super().get_connection()
        except BaseException:
            self._places.free()
            raise
        self._placed.add(id(connection))
        return connection

    def release(self, connection: Any) -> None:
        """Give a connection, and its place, back."""
        super().release(connection)
        if id(connection) in self._placed:
            self._placed.remove(id(connection))
            self._places.free()


class VirtualBackoff(AbstractBackoff):
    """Full jitter like redis-py's default, slept in virtual time and drawn from a seeded stream.

    redis-py sleeps with `time.sleep` for what `compute` returns; this waits inside, returning 0.
    """

    def __init__(self, kernel: Kernel, draw: Random, base_s: float, cap_s: float) -> None:
        self._kernel = kernel
        self._draw = draw
        self._base_s = base_s
        self._cap_s = cap_s

    def __deepcopy__(self, memo: Any) -> "VirtualBackoff":
        return self  # redis-py copies the retry into each connection; the kernel must not be

    def reset(self) -> None:
        """Nothing is kept between attempts."""

    def compute(self, failures: int) -> float:
        """Wait before attempt number `failures` + 1."""
        if self._kernel.current is not None:
            ceiling_s = min(self._cap_s, self._base_s * 2.0**failures)
            self._kernel.sleep(ceiling_s / 2 + self._draw.random() * ceiling_s / 2)
        return 0.0


def make_client(  # noqa: PLR0913 - what a client is made of
    kernel: Kernel,
    simulated: SimulatedRedis,
    link: Link,
    travel: TravelTime,
    *,
    places: Places,
    timeout_s: float,
    retries: int,
    draw: Random,
    connection: type[SimulatedConnection] = SimulatedConnection,
) -> redis.Redis:
    """A redis-py client of one application server, its connections of the class `connection`."""
    backoff = VirtualBackoff(kernel, draw, base_s=0.01, cap_s=1.0)
    pool = SimulatedPool(
        kernel,
        places,
        timeout_s,
        connection_class=connection,
        simulated=simulated,
        link=link,
        travel=travel,
        protocol=2,
        retry=Retry(backoff, retries),
    )
    return redis.Redis(connection_pool=pool)
