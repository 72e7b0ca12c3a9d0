"""The two arms of a store test: a simulated Redis and a real one, behind one small interface."""

import time
from random import Random
from typing import Any, Protocol

import redis

from chaos.faults import Death, Target
from chaos.persistence import Persistence
from model.kernel import EPOCH_S, Kernel, Places
from model.link import Link, TravelTime
from model.redis.client import make_client
from model.redis.server import SimulatedRedis
from tests.conformance.real_server import RealServer

SETTLED_TRIES = 5_000

Reply = Any
"""What a server answered: bytes, an int, None, a list of replies, or a `Refusal`."""


class Refusal(str):
    """The text of an error reply, as redis-py shows it; equal to another one with its text."""

    __slots__ = ()


class Wire:
    """One connection, on which commands are sent as they are, and replies stay what they were."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()

    def send(self, *command: Any) -> Reply:
        """The reply to one command.

        Raises:
            ConnectionError: the server is not there.
        """
        try:
            self._connection.send_command(*command)
            return _plain(self._connection.read_response())
        except redis.ResponseError as error:
            return Refusal(error)

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()
        self._pool.release(self._connection)


def _plain(reply: Any) -> Reply:
    if isinstance(reply, list):
        return [_plain(one) for one in reply]
    return Refusal(reply) if isinstance(reply, redis.ResponseError) else reply


class RedisArm(Protocol):
    """A Redis server that a test may kill, and its clock."""

    name: str
    version: tuple[int, ...]
    persistence: Persistence
    is_simulated: bool

    def client(self) -> redis.Redis:
        """An ordinary redis-py client that never retries."""

    def wait(self, seconds: float) -> None:
        """Let that much of this server's time pass."""

    def die(self, death: Death) -> None:
        """End the server's process."""

    def start(self) -> None:
        """Bring it back on its disk as it is."""

    def snapshot(self) -> None:
        """Complete an RDB snapshot now."""

    def close(self) -> None:
        """Hang up and forget."""


class SimulatedArm:
    """The simulated Redis, in virtual time."""

    name = "simulated"
    version = (7, 2)
    is_simulated = True

    def __init__(self, persistence: Persistence) -> None:
        self.persistence = persistence
        self.kernel = Kernel()
        self.server = SimulatedRedis(self.kernel, persistence)
        self._client = make_client(
            self.kernel,
            self.server,
            Link(self.kernel, Target.REDIS, timeout_s=2.0),
            TravelTime(1.0, 1.0),
            places=Places(self.kernel.env, 10),
            timeout_s=2.0,
            retries=0,
            draw=Random(1),
        )

    def client(self) -> redis.Redis:
        """A client outside any request: its commands act at once."""
        return self._client

    def wait(self, seconds: float) -> None:
        """Let virtual time pass."""
        if seconds:
            self.kernel.env.run(until=self.kernel.env.now + seconds)

    def die(self, death: Death) -> None:
        """End the simulated process."""
        self.server.die(death)

    def start(self) -> None:
        """Start it again."""
        self.server.start()

    def snapshot(self) -> None:
        """A snapshot is complete at once."""
        assert self.server.snapshots is not None
        self.server.snapshots.save_now()

    def close(self) -> None:
        """Nothing is open."""


class RealArm:
    """A real redis-server of this test session; each arm begins on it empty."""

    is_simulated = False

    def __init__(self, server: RealServer) -> None:
        self.server = server
        self.name = f"redis-{server.version[0]}.{server.version[1]}"
        self.version = server.version
        self.persistence = server.persistence
        self._client = server.client()
        self.reset()

    def reset(self) -> None:
        """Forget everything, scripts too, and begin at the epoch of every sale."""
        self.server.clock.set(EPOCH_S)
        self.server.ensure()
        self._client.execute_command("FLUSHALL")
        self._client.execute_command("SCRIPT", "FLUSH")

    def client(self) -> redis.Redis:
        """A client over a Unix socket."""
        return self._client

    def wait(self, seconds: float) -> None:
        """Move the server's wall clock."""
        self.server.clock.advance(seconds)

    def die(self, death: Death) -> None:
        """Kill or terminate the process, when what it acknowledged has been written.

        Under everysec a write waits for an fsync that runs in the background (rule R6); whether one
        does is a matter of the machine, and is measured elsewhere (`tests/live`).
        """
        if self.persistence not in {Persistence.NONE, Persistence.RDB}:
            for _ in range(SETTLED_TRIES):
                told = self._client.info("persistence")
                if not told["aof_buffer_length"] and not told["aof_pending_bio_fsync"]:
                    break
                time.sleep(0.002)
            else:
                raise AssertionError(f"the append-only file is never written: {told}")
        self.server.die(death)

    def start(self) -> None:
        """Start it again, until it answers."""
        self.server.start()

    def snapshot(self) -> None:
        """SAVE, over a connection of its own."""
        self._client.execute_command("SAVE")

    def close(self) -> None:
        """Hang up; a server that the test left dead is started again."""
        self._client.close()
        self.server.ensure()
