"""Run plain functions as requests of a small simulated world, for tests of the stores."""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, ClassVar

import simpy

from chaos.faults import Target
from chaos.persistence import Persistence
from model.database import DatabaseUnavailable
from model.kernel import Kernel, Places, Request
from model.link import Link, Pace, TravelTime
from model.redis.client import make_client
from model.redis.server import SimulatedRedis
from model.sqlite.client import make_engine
from model.sqlite.server import SimulatedSQLite

FAST = TravelTime(1.0, 1.0)  # every round trip takes exactly 1 ms


class FakeServer:
    """As much of an application server as the kernel and the links look at."""

    def __init__(self) -> None:
        self.paused: simpy.Event | None = None

    def chance(self, _actor: str, _purpose: str) -> float:
        """Every threatened reply is lost."""
        return 0.0


class SmallWorld:
    """A kernel, a Redis and a database, and a way to run functions as requests at given times."""

    _open: ClassVar[list["SmallWorld"]] = []

    @classmethod
    def close_all(cls) -> None:
        """Remove the files of every world made so far."""
        while cls._open:
            world = cls._open.pop()
            world.engine.dispose()
            with suppress(DatabaseUnavailable):  # a test has been told, or was about just that
                world.database.close()

    def __init__(self, persistence: Persistence = Persistence.NONE, **redis: Any) -> None:
        self._open.append(self)
        self.kernel = Kernel(keep_crossings=True)
        self.env = self.kernel.env
        self.server = FakeServer()
        self.redis_link = Link(self.kernel, Target.REDIS, timeout_s=2.0)
        self.database_link = Link(self.kernel, Target.DATABASE, timeout_s=5.0)
        self.redis = SimulatedRedis(self.kernel, persistence, **redis)
        self.database = SimulatedSQLite(
            self.kernel, self.database_link, statement=FAST, commit=FAST, lock_timeout_s=10.0
        )
        self.engine = make_engine(
            self.kernel,
            self.database,
            places=Places(self.env, 20),
            timeout_s=30.0,
        )
        self.results: dict[str, Any] = {}
        self.requests: dict[str, Request] = {}

    def client(self, *, retries: int = 0, places: int = 10) -> Any:
        """A redis-py client of this world."""
        return make_client(
            self.kernel,
            self.redis,
            self.redis_link,
            FAST,
            places=Places(self.env, places),
            timeout_s=2.0,
            retries=retries,
            draw=Random(1),
        )

    def at(self, at_s: float, name: str, call: Callable[[], Any]) -> None:
        """Run `call` as request `name` at `at_s`; its result or error goes to `results[name]`."""
        self.env.process(self._request(at_s, name, call))

    def kill(self, name: str) -> None:
        """The server dies with request `name` in it."""
        self.requests[name].kill()

    def do(self, at_s: float, action: Callable[[], Any]) -> None:
        """Call `action` at `at_s`, outside any request (a fault, say)."""
        self.env.timeout(at_s - self.env.now).callbacks.append(lambda _event: action())

    def run(self, until_s: float = 1e9) -> dict[str, Any]:
        """Let virtual time pass; returns the results."""
        self.env.run(until=until_s)
        return self.results

    def _request(self, at_s: float, name: str, call: Callable[[], Any]) -> Any:
        yield self.env.timeout(at_s - self.env.now)
        request = self.requests[name] = Request(
            self.kernel, name, "buyer", "hold", self.server, Pace(1, name)
        )
        request.start(lambda _nothing: call(), None)
        if request.ended is None:
            yield request.done
        result, error = request.result()
        self.results[name] = result if error is None else error
