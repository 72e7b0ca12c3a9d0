"""The stack `embedded`: servers as child processes in a private room; no root, no Docker."""

from contextlib import ExitStack
from threading import RLock
from typing import Self

from chaos.faults import DatabaseRestart, Fault, RedisDeath, UnsupportedFault
from chaos.injectors.deaths import DatabaseEnd, RedisEnd
from chaos.persistence import Persistence
from chaos.servers.binaries import postgres, redis_server
from chaos.servers.postgres_server import PostgresServer
from chaos.servers.redis_server import RedisServer
from chaos.servers.room import Room, free_ports
from chaos.stacks.contract import Breakage, Endpoints


class EmbeddedStack:
    """A Redis, a PostgreSQL and, when one is found, a Toxiproxy, for this process alone."""

    name = "embedded"

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._lock = RLock()
        self._broken: list[Breakage] = []
        self.redis: RedisServer
        self.database: PostgresServer

    def __enter__(self) -> Self:
        """See `Stack`."""
        redis_program, postgres_program = redis_server(), postgres()
        with ExitStack() as exits:
            room = exits.enter_context(Room())
            redis_port, database_port = free_ports(2)
            self.redis = RedisServer(room, redis_program, redis_port)
            self.database = PostgresServer(room, postgres_program, database_port)
            exits.callback(self.redis.child.kill)
            exits.callback(self.database.quit)
            self.redis.renew(Persistence.NONE)
            self.database.create()
            self.database.renew()
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        """See `Stack`."""
        self._broken.clear()
        self._exits.close()

    def renew(self, persistence: Persistence | None) -> Endpoints:
        """See `Stack`."""
        with self._lock:
            self._heal_all()
            self.redis.renew(persistence or Persistence.NONE)
            self.database.renew()
            return self.endpoints

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers listen, for the life of the stack."""
        return Endpoints(
            redis_url=self.redis.url,
            database_url=self.database.url,
            direct_redis_url=self.redis.url,
            direct_database_url=self.database.url,
            proxied=False,
        )

    def refuses(self, fault: Fault) -> str | None:
        """See `Stack`."""
        if isinstance(fault, RedisDeath | DatabaseRestart):
            return None
        return f"{fault}: the stack `embedded` cannot do it"

    def strike(self, fault: Fault) -> Breakage:
        """See `Stack`."""
        refusal = self.refuses(fault)
        if refusal is not None:
            raise UnsupportedFault(refusal)
        with self._lock:
            breakage = self._break(fault)
            self._broken.append(breakage)
            return breakage

    def check(self) -> None:
        """See `Stack`."""
        self.redis.check()
        self.database.check()

    def _break(self, fault: Fault) -> Breakage:
        match fault:
            case RedisDeath():
                return RedisEnd(self.redis, fault)
            case DatabaseRestart():
                return DatabaseEnd(self.database)
            case _:
                raise AssertionError(fault)

    def _heal_all(self) -> None:
        while self._broken:
            self._broken[-1].heal()
            self._broken.pop()
