"""The shop of an explored world: its stores, its provider, and an application server an actor.

Everybody has a server of their own, so that what one server keeps in memory (connections, a copy of
the stock) is part of exactly one actor's state.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from chaos.faults import Target
from chaos.persistence import Persistence
from model.exploring.clients import ExploredRedisConnection
from model.exploring.database import PLENTY, TIMEOUT_S, TRAVEL, ExploredDatabase
from model.exploring.digest import keyspace
from model.exploring.kernel import Actor, ChoosingKernel, ChoosingLink, Stop
from model.exploring.small_world import SmallWorld
from model.kernel import EPOCH_S, Places
from model.link import ReplyLost
from model.provider import LedgerEntry
from model.redis.client import make_client
from model.redis.server import SimulatedRedis
from reservation.api import PaymentStatus, PaymentTimeout, Stores, Strategy
from reservation.catalogue import find, resolve_options


class ExploredClock:
    """A server's clock: true, but that every call of its actor sees another micro-second."""

    def __init__(self, kernel: ChoosingKernel, actor: Actor | None, rank: int) -> None:
        self._kernel = kernel
        self._actor = actor
        self._rank = rank

    def now(self) -> float:
        """Epoch seconds; part of what the actor learns."""
        kernel = self._kernel
        kernel.read_clock = True
        calls = 0 if self._actor is None else self._actor.calls
        value: float = EPOCH_S + kernel.env.now + 1e-6 * (16 * self._rank + calls)
        if self._actor is not None and kernel.current is self._actor:  # type: ignore[comparison-overlap]
            self._actor.io.update(repr(value).encode())
        return value

    def sleep(self, seconds: float) -> None:
        """Pass no time."""
        self._kernel.sleep(seconds)


class ExploredProvider:
    """The payment provider: each call is one crossing, and takes effect there."""

    def __init__(self, kernel: ChoosingKernel) -> None:
        self.kernel = kernel
        self.link = ChoosingLink(kernel, Target.PAYMENT, TIMEOUT_S)
        self.ledger: dict[str, LedgerEntry] = {}

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        """Take the money (see `reservation.api.PaymentGateway`)."""
        self._cross("capture", key, reads_clock=True)
        entry = self.ledger.get(key)
        if entry is None:
            entry = self.ledger[key] = LedgerEntry(amount_cents, PaymentStatus.CAPTURED)
            entry.captured_s = self.kernel.stamp_s
        return self._answer("capture", entry.status)

    def refund(self, key: str) -> PaymentStatus:
        """Give the money back."""
        self._cross("refund", key)
        entry = self.ledger.get(key)
        if entry is not None and entry.status is PaymentStatus.CAPTURED:
            entry.status = PaymentStatus.REFUNDED
            entry.refunded_s = self.kernel.stamp_s
        return self._answer("refund", PaymentStatus.UNKNOWN if entry is None else entry.status)

    def lookup(self, key: str) -> PaymentStatus:
        """What is known of `key`."""
        self._cross("lookup", key)
        entry = self.ledger.get(key)
        return self._answer("lookup", PaymentStatus.UNKNOWN if entry is None else entry.status)

    def _cross(self, label: str, key: str, *, reads_clock: bool = False) -> None:
        mine = frozenset((f"payment:{key}",))
        reads = frozenset(("clock",)) if reads_clock else frozenset()
        touched = (mine, frozenset()) if label == "lookup" else (reads, mine)
        self.kernel.intent = Stop("payment", label, key, touched)
        try:
            self.link.request(label, TRAVEL)
        finally:
            self.kernel.intent = None

    def _answer(self, label: str, status: PaymentStatus) -> PaymentStatus:
        try:
            self.link.reply(label, 0.0)
        except ReplyLost as error:
            raise PaymentTimeout("the payment provider's answer did not arrive") from error
        actor: Any = self.kernel.current
        if actor is not None:
            actor.learn(status.value)
        return status


class ExploredTasks:
    """The durable queue of delayed tasks: what is due waits to be taken."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, str, str]] = []
        self.touched = False  # in the turn under way

    def schedule(self, at: float, name: str, argument: str) -> None:
        """See `reservation.api.DelayedTasks`."""
        self.touched = True
        self.waiting.append((at, name, argument))

    def any_due(self, at: float) -> bool:
        """Whether a task waits that is due."""
        return any(task[0] <= at for task in self.waiting)

    def due(self, at: float) -> list[tuple[float, str, str]]:
        """Take out what is due, earliest first."""
        found = sorted(task for task in self.waiting if task[0] <= at)
        self.waiting = [task for task in self.waiting if task[0] > at]
        return found


class ExploredRedis(SimulatedRedis):
    """A Redis that counts what changed it, and remembers what a loss of power would leave."""

    def __init__(self, kernel: ChoosingKernel, persistence: Persistence) -> None:
        super().__init__(kernel, persistence, fsync_s=0.0)
        self.changes = 0
        self.durable: list[Any] = []
        if self.aof is not None:  # it has just synced: the next second is at risk
            self.aof._last_sync_start = kernel.env.now  # noqa: SLF001

    def changed(self, database: int, unit: list[list[bytes]]) -> None:
        """A command (or a whole MULTI) changed the keyspace now."""
        self.changes += 1
        super().changed(database, unit)

    def note_durable(self) -> None:
        """Look, after a turn, at what has been synced: here an fsync covers all there is."""
        if self.aof is not None and self.aof.synced == self.aof.appended:
            self.durable = keyspace(self)


@dataclass(slots=True)
class ShopServer:
    """One actor's application server."""

    engine: Any
    strategy: Strategy
    paused: None = None


class Shop:
    """Stores, provider and servers of one execution."""

    def __init__(
        self,
        world: SmallWorld,
        kernel: ChoosingKernel,
        database: ExploredDatabase,
    ) -> None:
        info = find(world.strategy)
        self.world = world
        self.kernel = kernel
        self.database = database
        self.info = info
        self.options = resolve_options(info, _facts(world))
        self.redis_link = ChoosingLink(kernel, Target.REDIS, TIMEOUT_S)
        self.redis: ExploredRedis | None = None
        if info.uses_redis:
            self.redis = ExploredRedis(kernel, world.persistence or Persistence.NONE)
        self.provider = ExploredProvider(kernel)
        self.tasks = ExploredTasks()
        self.back_office = self.new_server(None, 0)
        self.servers = [self.back_office]

    def new_server(self, actor: Actor | None, rank: int) -> ShopServer:
        """A fresh process, with empty pools and nothing in memory."""
        kernel = self.kernel
        engine = self.database.make_engine(kernel)
        redis = None
        if self.redis is not None:
            redis = make_client(
                kernel,
                self.redis,
                self.redis_link,
                TRAVEL,
                places=Places(kernel.env, PLENTY),
                timeout_s=TIMEOUT_S,
                retries=self.world.redis_retries,
                draw=Random(0),
                connection=ExploredRedisConnection,
            )
        stores = Stores(
            engine=engine,
            redis=redis,
            payments=self.provider,
            clock=ExploredClock(kernel, actor, rank),
            tasks=self.tasks,
        )
        return ShopServer(engine, self.info.build(stores, self.options))


def _facts(world: SmallWorld) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if "ttl_s" in find(world.strategy).defaults:
        given["ttl_s"] = world.ttl_s
    return {**given, **world.options}
