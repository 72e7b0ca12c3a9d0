"""The stack `compose`: docker-compose.yml under a name of its own, on free ports.

Docker kills, freezes and restarts the containers; the proxies of its Toxiproxy break the network.
Everything is removed on the way out; were this process killed, its guardian would do it.
"""

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Self

from chaos.containers.compose_command import compose, toxiproxy_folder
from chaos.containers.container import Container
from chaos.containers.engine import connect, engine_host
from chaos.containers.leftovers import Custody, Owner, remove_leftovers
from chaos.containers.servers import PostgresContainer, RedisContainer
from chaos.faults import (
    DatabaseRestart,
    Death,
    Fault,
    Partition,
    ProxyDown,
    RedisDeath,
    Slow,
    SlowFsync,
    StorePause,
    Target,
    Toxic,
    UnsupportedFault,
)
from chaos.injectors.life import Life
from chaos.injectors.network import Network
from chaos.injectors.refusals import not_for_servers
from chaos.injectors.toxiproxy_api import ToxiproxyApi
from chaos.persistence import Persistence
from chaos.servers.room import free_ports
from chaos.servers.toxiproxy_server import PROXIES
from chaos.stacks.breakages import Breakages
from chaos.stacks.contract import Breakage, Endpoints, StackBroken, StackMissing

if TYPE_CHECKING:
    from docker import DockerClient

PORTS = {
    "redis": "HOLDFAST_REDIS_PORT",
    "postgres": "HOLDFAST_POSTGRES_PORT",
    "toxiproxy": "HOLDFAST_TOXIPROXY_PORT",
    "redis through toxiproxy": "HOLDFAST_PROXIED_REDIS_PORT",
    "postgres through toxiproxy": "HOLDFAST_PROXIED_POSTGRES_PORT",
}
IMAGES = ("HOLDFAST_REDIS_IMAGE", "HOLDFAST_POSTGRES_IMAGE", "HOLDFAST_TOXIPROXY_IMAGE")
BUILD_IMAGES = 'eval "$(python -m tests.images.build)" in a checkout builds all three from what is'
HIGHEST_PORT = 65_535
TRIES = 3
NEVER = "24h"  # how often Docker itself looks at the servers' health: they are asked here

_TAKEN = re.compile(r"port is already allocated|address already in use|ports are not available")
_NO_IMAGE = re.compile(
    r"(?i)pull|manifest|registry|no such image|repository does not exist|lookup|unauthorized"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    """Where the containers listen on 127.0.0.1, by the names of `PORTS`; and which were asked."""

    numbers: Mapping[str, int]
    given: frozenset[str]

    @classmethod
    def choose(cls) -> "_Ports":
        """Take the environment's, and free ones for the others.

        Raises:
            StackMissing: the environment's is not a port.
        """
        given = {name: os.environ[key] for name, key in PORTS.items() if os.environ.get(key)}
        for name, value in given.items():
            if not (value.isdecimal() and 0 < int(value) <= HIGHEST_PORT):
                raise StackMissing(f"{PORTS[name]}: {value!r} is not a port (1 to 65535)")
        free = iter(free_ports(len(PORTS)))
        numbers = {name: int(given[name]) if name in given else next(free) for name in PORTS}
        return cls(numbers=numbers, given=frozenset(given))

    @property
    def environment(self) -> dict[str, str]:
        """For docker-compose.yml."""
        return {PORTS[name]: str(port) for name, port in self.numbers.items()}


class ComposeStack:
    """A Redis, a PostgreSQL and a Toxiproxy in containers, for this process alone."""

    name = "compose"

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._lock = RLock()
        self._broken = Breakages()
        self.project = ""
        self.redis: RedisContainer
        self.database: PostgresContainer
        self.toxiproxy: Container
        self.network: Network
        self._lives: dict[Target, Life] = {}
        self._ports: _Ports

    def __enter__(self) -> Self:
        """See `Stack`."""
        client = connect()
        with ExitStack() as exits:
            exits.callback(client.close)
            compose()
            remove_leftovers(client)
            self._create(client, exits)
            self._await_healthy()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        """See `Stack`."""
        self._broken.forget()
        self._exits.close()

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers listen, for the life of the stack."""
        ports = self._ports.numbers
        return Endpoints(
            redis_url=self.redis.url_at(ports["redis through toxiproxy"]),
            database_url=self.database.url_at(ports["postgres through toxiproxy"]),
            direct_redis_url=self.redis.url_at(ports["redis"]),
            direct_database_url=self.database.url_at(ports["postgres"]),
            proxied=True,
        )

    def keeps(self) -> None:
        """See `Stack`."""

    def renew(self, persistence: Persistence | None) -> Endpoints:
        """See `Stack`."""
        with self._lock:
            self.heal()
            self.network.restore()
            self.redis.renew(persistence or Persistence.NONE)
            self.database.renew()
            return self.endpoints

    def heal(self) -> None:
        """Heal everything that was struck, the latest first; repeatable.

        Raises:
            StackBroken: a server did not become healthy.
        """
        self._broken.heal()

    def refuses(self, fault: Fault) -> str | None:
        """See `Stack`."""
        reason = not_for_servers(fault)
        if reason is None and _needs_the_disk(fault):
            reason = (
                "the disk of a container is not watched here; the stack embedded does it"
                " (--stack embedded)"
            )
        return None if reason is None else f"{type(fault).__name__}: {reason}"

    def strike(self, fault: Fault) -> Breakage:
        """See `Stack`."""
        refusal = self.refuses(fault)
        if refusal is not None:
            raise UnsupportedFault(refusal)
        return self._broken.add(self._break(fault))

    def check(self) -> None:
        """See `Stack`."""
        if not self.toxiproxy.running:  # first: the others are reached through its network
            raise StackBroken(self.toxiproxy.says("is not running"))
        self.redis.check()
        self.database.check()
        self.network.check()

    def _create(self, client: "DockerClient", exits: ExitStack) -> None:
        """Have Compose make and start everything; other ports when a chosen one was just taken."""
        for left in reversed(range(TRIES)):
            self._ports = _Ports.choose()
            custody = Custody(client, engine_host())
            exits.enter_context(custody)
            custody.making = True
            told = compose().up(custody.project, self._environment())
            custody.making = False
            if told is None:
                self.project = custody.project
                self._find(client)
                return
            if not _TAKEN.search(told) or self._ports.given or not left:
                raise _explained(told, self._ports)
            exits.pop_all().close()
        raise AssertionError  # the last try returned or raised

    def _environment(self) -> dict[str, str]:
        owner = Owner.me().label
        return {
            **self._ports.environment,
            "HOLDFAST_OWNER": owner,
            "HOLDFAST_HEALTH_INTERVAL": NEVER,
            "HOLDFAST_TOXIPROXY_FOLDER": str(toxiproxy_folder()),
        }

    def _find(self, client: "DockerClient") -> None:
        ports = self._ports.numbers
        redis, database, self.toxiproxy = (
            Container(client, self.project, service)
            for service in ("redis", "postgres", "toxiproxy")
        )
        self.redis = RedisContainer(redis, ports["redis"])
        self.database = PostgresContainer(database, ports["postgres"])
        self.network = Network(ToxiproxyApi("127.0.0.1", ports["toxiproxy"]), PROXIES)
        self._lives = {Target.REDIS: Life(self.redis), Target.DATABASE: Life(self.database)}

    def _await_healthy(self) -> None:
        self.toxiproxy.await_healthy(self.network.api.amiss)
        self.network.api.require()
        self.network.check()
        self.redis.child.await_healthy(self.redis.amiss)
        self.database.child.await_healthy(self.database.amiss)

    def _break(self, fault: Fault) -> Breakage:
        match fault:
            case RedisDeath():
                kept = f"persistence {self.redis.persistence}"
                kill = fault.death is Death.SIGKILL
                return self._lives[Target.REDIS].end(kill=kill, then=lambda: kept)
            case DatabaseRestart():
                kill = fault.death is not Death.SIGTERM
                return self._lives[Target.DATABASE].end(kill=kill)
            case StorePause():
                return self._lives[fault.target].pause()
            case Partition() | Slow() | ProxyDown() | Toxic():
                return self.network.strike(fault)
            case _:
                raise AssertionError(fault)  # refused before


def _needs_the_disk(fault: Fault) -> bool:
    return isinstance(fault, SlowFsync) or (
        isinstance(fault, RedisDeath | DatabaseRestart) and fault.death is Death.POWER_LOSS
    )


def _explained(told: str, ports: _Ports) -> StackMissing:
    """Say what Compose's failure means and what to do about it."""
    last = told.splitlines()[-1].strip() if told else "it said nothing"
    if _TAKEN.search(told):
        names = [
            f"{name} ({PORTS[name]}={port})"
            for name, port in ports.numbers.items()
            if str(port) in told
        ]
        where = names[0] if names else "one of its ports"
        return StackMissing(
            f"compose: {where} is taken on 127.0.0.1: end what listens there, or give another"
            f" port ({last})"
        )
    if _NO_IMAGE.search(told):
        return StackMissing(
            f"compose: an image is neither here nor to be had ({last}); name others in"
            f" {', '.join(IMAGES)}: {BUILD_IMAGES} installed"
        )
    return StackMissing(f"compose: {last}")
