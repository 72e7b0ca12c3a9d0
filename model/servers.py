"""The application tier: servers with workers, connection pools, a clock, and a life of their own.

`Cloud` is the deployment of one run: the stores, the provider, the servers, and who is in flight.
"""

from collections.abc import Callable, Generator, Mapping
from random import Random
from typing import Any

import simpy

from chaos.faults import Target
from chaos.persistence import Persistence
from model.database import DatabaseSettings, open_database
from model.deployment import first_alive
from model.history import Operation
from model.kernel import EPOCH_S, Kernel, Places, Request
from model.link import Link, Pace, TravelTime
from model.provider import LedgerEntry, SimulatedProvider
from model.redis.client import make_client
from model.redis.server import SimulatedRedis
from model.spec import RunSpec
from model.streams import Streams, stream
from reservation.api import Stores, Strategy, StrategyInfo
from reservation.conflicts import retrying
from reservation.errors import NotApplied


class SkewedClock:
    """A server's clock: virtual time plus this server's error."""

    def __init__(self, kernel: Kernel, skew_s: float) -> None:
        self.kernel = kernel
        self.skew_s = skew_s

    def now(self) -> float:
        """Epoch seconds on this server."""
        return EPOCH_S + self.kernel.env.now + self.skew_s

    def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        self.kernel.sleep(seconds)


class TaskQueue:
    """A durable queue of delayed tasks; it outlives every application server."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.on_due: Callable[[str, str], None] = lambda _name, _argument: None

    def schedule(self, at: float, name: str, argument: str) -> None:
        """See `reservation.api.DelayedTasks`."""
        delay_s = max(0.0, at - EPOCH_S - self.kernel.env.now)
        due = self.kernel.env.timeout(delay_s)
        due.callbacks.append(lambda _event: self.on_due(name, argument))


class Server:
    """One application server: a process with worker slots, pools and its own strategy object."""

    def __init__(self, cloud: "Cloud", number: int) -> None:
        self.cloud = cloud
        self.number = number
        self.name = f"app-{number}"
        self.alive = True
        self.paused: simpy.Event | None = None
        self._pause_ends_s = 0.0
        skew_s = stream(cloud.spec.seed, "skew", number).gauss(
            0.0, cloud.spec.scenario.servers.clock_skew_sd_s
        )
        self.clock = SkewedClock(cloud.kernel, skew_s)
        self.requests: dict[Request, None] = {}
        self.workers: Places
        self.strategy: Strategy
        self.start()

    def start(self) -> None:
        """A fresh process: empty pools, no memory."""
        cloud, settings = self.cloud, self.cloud.spec.scenario.servers
        env = cloud.kernel.env
        self.alive = True
        self.workers = Places(env, settings.workers)
        self.engine = cloud.database.make_engine(
            Places(env, settings.database_pool), settings.database_pool_timeout_s
        )
        redis = None
        if cloud.redis is not None:
            redis = make_client(
                cloud.kernel,
                cloud.redis,
                cloud.redis_link,
                cloud.redis_travel,
                places=Places(env, settings.redis_pool),
                timeout_s=settings.redis_timeout_s,
                retries=settings.redis_retries,
                draw=cloud.draw("backoff", self.number),
            )
        stores = Stores(
            engine=self.engine,
            redis=redis,
            payments=cloud.provider,
            clock=self.clock,
            tasks=cloud.tasks,
        )
        self.strategy = retrying(
            cloud.info.build(stores, cloud.options), stores.clock, settings.conflict_retries
        )

    def kill(self) -> None:
        """The process dies with every request in it (the one running now raises by itself)."""
        self.alive = False
        self.paused = None
        self.workers.close()
        for request in list(self.requests):
            request.kill()
        self.requests.clear()

    def chance(self, actor: str, purpose: str) -> float:
        """A uniform draw of one actor's own stream for `purpose`."""
        return self.cloud.draw(purpose, actor).random()

    def pause(self, duration_s: float) -> None:
        """Nothing on this server moves for a while, and it does not notice."""
        env = self.cloud.kernel.env
        ends_s = env.now + duration_s
        if self.paused is not None and ends_s <= self._pause_ends_s:
            return
        pause = self.paused = env.timeout(duration_s)
        self._pause_ends_s = ends_s

        def go_on(_event: simpy.Event) -> None:
            if self.paused is pause:
                self.paused = None

        assert pause.callbacks is not None
        pause.callbacks.append(go_on)


class Cloud:
    """Everything one run is deployed on."""

    def __init__(
        self, kernel: Kernel, spec: RunSpec, info: StrategyInfo, options: dict[str, Any]
    ) -> None:
        scenario = spec.scenario
        latency, servers = scenario.latency, scenario.servers
        self.kernel = kernel
        self.env = kernel.env
        self.spec = spec
        self.info = info
        self.options = options
        self._streams = Streams(spec.seed)
        self.redis_travel = TravelTime(latency.redis_median_ms, latency.redis_p99_ms)
        self.redis_link = Link(kernel, Target.REDIS, servers.redis_timeout_s)
        self.database_link = Link(kernel, Target.DATABASE, servers.database_timeout_s)
        self.redis = self._make_redis() if info.uses_redis else None
        self.database = open_database(
            spec.database,
            kernel,
            self.database_link,
            DatabaseSettings(
                statement=TravelTime(latency.database_median_ms, latency.database_p99_ms),
                commit=TravelTime(latency.commit_median_ms, latency.commit_p99_ms),
                lock_timeout_s=servers.lock_timeout_s,
                statement_timeout_s=servers.statement_timeout_s,
                deadlock_timeout_s=servers.deadlock_timeout_s,
                isolation=servers.isolation,
            ),
        )
        self.provider = SimulatedProvider(kernel, scenario.payment, spec.seed)
        self.tasks = TaskQueue(kernel)
        self.servers = [Server(self, number) for number in range(servers.count)]

    def _make_redis(self) -> SimulatedRedis:
        disk = self.spec.scenario.redis_disk
        return SimulatedRedis(
            self.kernel,
            self.spec.persistence or Persistence.NONE,
            fsync_s=disk.fsync_ms / 1000.0,
            save_points=disk.save_points,
            snapshot_s=disk.snapshot_s,
        )

    def draw(self, purpose: str, whose: str | int) -> Random:
        """The named child generator of one purpose and one actor."""
        return self._streams.draw(purpose, whose)

    def server_for(self, number: int) -> Server | None:
        """The server a sticky load balancer gives to client `number`; None when all are down."""
        return first_alive(self.servers, number)

    @property
    def ledger(self) -> Mapping[str, LedgerEntry]:
        """See `model.deployment.Deployment`."""
        return self.provider.ledger

    def attend(
        self,
        operation: Operation,
        kind: str,
        pace: Pace,
        server: Any,
        call: Callable[[Strategy], Any],
    ) -> Generator[simpy.Event, Any, Any]:
        """See `model.deployment.Deployment`."""
        return self.serve(
            Request(self.kernel, operation.actor, kind, operation.kind, server, pace), call
        )

    def note_end(self, operation: Operation) -> None:
        """Write the end of an operation into the trace."""
        self.kernel.trace.note(
            self.env.now, operation.actor, "", "", operation.kind, operation.outcome.value
        )

    def serve(
        self, request: Request, call: Callable[[Strategy], Any]
    ) -> Generator[simpy.Event, Any, Any]:
        """Run one call on a worker of the request's server; returns and raises what it does.

        Raises:
            NotApplied: there is no server, or it died before a worker was free.
            ServerDied: the server died with the call in it.
        """
        server: Server | None = request.server
        if server is None:
            raise NotApplied("no application server is up")
        workers = server.workers
        if not workers.take():
            granted = yield workers.join()
            if not granted or not server.alive or server.workers is not workers:
                raise NotApplied("the application server died before it began")
        server.requests[request] = None
        request.start(call, server.strategy)
        if request.ended is None:
            yield request.done
        result, error = request.result()
        server.requests.pop(request, None)
        workers.free()
        if error is not None:
            try:
                raise error
            finally:
                error = None  # an error whose frames hold it is garbage only a collector finds
        return result

    def close(self) -> None:
        """End what is in flight, deliberately, and remove the files."""
        for server in self.servers:
            server.kill()
        env = self.kernel.env
        while env.peek() <= env.now:
            env.step()
        self.database.close()
