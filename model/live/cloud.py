"""Everything one live run is deployed on, but the stores: servers, provider, tasks.

It speaks to buyers in the scenario's seconds (deadlines count from `EPOCH_S`, as in the simulated
arm) and to the servers in wall time.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import simpy

from chaos.stacks.contract import Endpoints
from model.deployment import Host, first_alive
from model.history import Operation
from model.kernel import EPOCH_S, ServerDied
from model.link import Pace
from model.live import wire
from model.live.app_server import ServerSettings
from model.live.loop import RealTime
from model.live.nursery import Nursery
from model.live.provider import LiveProvider
from model.live.server import AppServer, News
from model.live.timescale import LEAST_BACKOFF_S, TimeScale
from model.provider import LedgerEntry
from model.spec import RunSpec
from model.streams import Streams, stream
from reservation.api import Hold, PaymentStatus, Strategy
from reservation.errors import NotApplied

BACKOFF_S = (0.01, 1.0)  # the scenario's seconds, as `model.redis.client` has them


class LiveTasks:
    """The durable queue of delayed tasks; it outlives every application server."""

    def __init__(self, loop: RealTime) -> None:
        self._loop = loop
        self.on_due: Callable[[str, str], None] = lambda _name, _argument: None

    def schedule(self, at: float, name: str, argument: str) -> None:
        """Run a task at an epoch second."""
        delay_s = max(0.0, self._loop.scale.scenario_s(at) - self._loop.env.now)
        due = self._loop.env.timeout(delay_s)
        assert due.callbacks is not None
        due.callbacks.append(lambda _event: self.on_due(name, argument))


class LiveCloud:
    """The deployment of one run; see `model.deployment.Deployment`.

    `on_sprung` and `on_lost` are the injector's ears: a server walked into a trap, a reply was
    lost.
    """

    def __init__(
        self,
        *,
        loop: RealTime,
        nursery: Nursery,
        spec: RunSpec,
        options: dict[str, Any],
        endpoints: Endpoints,
        uses_redis: bool,
    ) -> None:
        self.loop = loop
        self.env = loop.env
        self.spec = spec
        self.tasks = LiveTasks(loop)
        self.on_sprung: Callable[..., None] = _nobody
        self.on_lost: Callable[[str], None] = _nobody
        self._dictation: Strategy = wire.Dictation(self._as_told)
        self._streams = Streams(spec.seed)
        self._deadlines: dict[tuple[str, float], float] = {}  # a hold's, as the server told it
        self.provider = LiveProvider(
            loop.env,
            spec.scenario.payment,
            spec.seed,
            now_s=loop.scale.now_s,
            draw=lambda actor: self.draw("loss", actor),
        )
        news: dict[str, News] = {
            "ask": self._asked,
            "task": lambda _server, *task: self.tasks.schedule(*task),
            "lost": lambda _server, target: self.on_lost(target),
        }
        self.servers = [
            AppServer(loop, nursery, settings, news)
            for settings in server_settings(spec, options, endpoints, loop.scale, uses_redis)
        ]

    @property
    def ledger(self) -> Mapping[str, LedgerEntry]:
        """See `model.deployment.Deployment`."""
        return self.provider.ledger

    def draw(self, purpose: str, whose: str | int) -> Random:
        """See `model.deployment.Deployment`."""
        return self._streams.draw(purpose, whose)

    def server_for(self, number: int) -> AppServer | None:
        """See `model.deployment.Deployment`."""
        return first_alive(self.servers, number)

    def attend(
        self,
        operation: Operation,
        kind: str,
        _pace: Pace,
        server: Host | None,
        call: Callable[[Strategy], Any],
    ) -> Generator[simpy.Event, Any, Any]:
        """See `model.deployment.Deployment`."""
        if server is None:
            raise NotApplied("no application server is up")
        assert isinstance(server, AppServer)
        workers = server.workers
        if not workers.take():
            granted = yield workers.join()
            if not granted or not server.alive or server.workers is not workers:
                raise NotApplied("the application server died before it began")
        command: wire.Command = call(self._dictation)
        answered = yield server.call(operation.actor, kind, operation.kind, command)
        workers.free()
        if answered is None:
            raise ServerDied
        how, *rest = answered
        if how == "crash":
            raise wire.StrategyCrashed(rest[0])
        if how != "ok":
            raise wire.ERRORS[how](rest[0])
        answer = wire.answer_from(command.method, rest[0])
        return self._told(answer) if isinstance(answer, Hold) else answer

    def note_end(self, operation: Operation) -> None:
        """Real time leaves no trace to compare."""

    def _told(self, hold: Hold) -> Hold:
        """A hold with its deadline in the scenario's time; the server's own is remembered."""
        at = EPOCH_S + self.loop.scale.scenario_s(hold.expires_at)
        self._deadlines[(hold.hold_id, at)] = hold.expires_at
        return replace(hold, expires_at=at)

    def _as_told(self, hold: Hold) -> Hold:
        """The reverse of `_told`, exactly."""
        return replace(hold, expires_at=self._deadlines[(hold.hold_id, hold.expires_at)])

    def _asked(self, server: AppServer, number: int, what: str, *details: Any) -> None:
        if what == "sprung":
            self.on_sprung(server, number, *details)
            return

        process = server.process

        def reply(status: PaymentStatus | None) -> None:
            server.answer(process, number, None if status is None else status.value)

        call, key, amount_cents, actor = details
        self.provider.handle(call, key, amount_cents, actor, reply)

    def close_or_heal(self, heal: Callable[[], None]) -> None:
        """End every server, and heal what the run has broken, whichever of them fails."""
        try:
            heal()
        finally:
            self.close()

    def close(self) -> None:
        """Kill every server."""
        for server in self.servers:
            server.kill()


def server_settings(
    spec: RunSpec,
    options: dict[str, Any],
    endpoints: Endpoints,
    scale: TimeScale,
    uses_redis: bool,  # noqa: FBT001
) -> list[ServerSettings]:
    """What each application server of a run is started with, in wall seconds."""
    tier = spec.scenario.servers
    first_s, longest_s = (scale.length(wait_s) for wait_s in BACKOFF_S)
    return [
        ServerSettings(
            number=number,
            seed=spec.seed,
            strategy=spec.strategy,
            options=scale.options(options),
            redis_url=endpoints.redis_url if uses_redis else None,
            database_url=endpoints.database_url,
            workers=tier.workers,
            database_pool=tier.database_pool,
            database_pool_timeout_s=scale.timeout(tier.database_pool_timeout_s),
            database_timeout_s=scale.timeout(tier.database_timeout_s),
            lock_timeout_s=scale.timeout(tier.lock_timeout_s),
            redis_pool=tier.redis_pool,
            redis_timeout_s=scale.timeout(tier.redis_timeout_s),
            redis_retries=tier.redis_retries,
            isolation=tier.isolation,
            conflict_retries=tier.conflict_retries,
            statement_timeout_s=(
                scale.timeout(tier.statement_timeout_s) if tier.statement_timeout_s else 0.0
            ),
            backoff_s=(max(first_s, LEAST_BACKOFF_S), max(longest_s, LEAST_BACKOFF_S)),
            skew_s=scale.length(stream(spec.seed, "skew", number).gauss(0.0, tier.clock_skew_sd_s)),
        )
        for number in range(tier.count)
    ]


def _nobody(*_news: Any) -> None:
    return None
