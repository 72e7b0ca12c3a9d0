"""One kill: write holds to a real Redis, end it, start it again, and count what is missing.

A hold is `SET key value NX PX ttl`, as the seat strategy writes it. It is *acknowledged* when the
reply was read before the server was struck. Several writers ask at once, each on a connection of
its own, so that a group commit is a group.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.faults import Death
from chaos.injectors.disk import Disk
from chaos.persistence import Persistence
from chaos.servers.binaries import Program
from chaos.servers.redis_server import RedisServer
from chaos.servers.room import Room, free_ports

TTL_MS = 900_000
WRITERS = 3
PAUSE_S = 0.008


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one kill is: when, how, and on what disk."""

    persistence: Persistence
    death: Death
    write_s: float
    snapshot_after_s: float | None = None
    fsync_s: float = 0.0
    """What each fsync of the append-only file takes longer, from the first write on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one kill cost. Times are in seconds before the blow."""

    acknowledged: int
    lost_ages_s: tuple[float, ...]
    kept_age_s: float
    """How long before the blow the newest hold that survived was acknowledged."""
    snapshot_age_s: float | None

    @property
    def lost(self) -> int:
        """Holds acknowledged and gone."""
        return len(self.lost_ages_s)

    @property
    def lost_s(self) -> float:
        """How far back the losses reach: the age of the oldest hold that is gone."""
        return max(self.lost_ages_s, default=0.0)


@dataclass
class _Writer:
    """One client that takes one hold after the other until its server is gone."""

    client: redis.Redis
    name: str
    acknowledged: dict[str, float] = field(default_factory=dict)

    def write(self, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            key = f"hold:{self.name}:{number}"
            try:
                taken = self.client.set(key, self.name, nx=True, px=TTL_MS)
            except redis.RedisError:
                return
            assert taken, f"{key} was there already"
            self.acknowledged[key] = time.monotonic()
            number += 1
            time.sleep(PAUSE_S)


class Victim:
    """A real redis-server whose disk is watched, to be killed again and again."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._room = Room()

    def __enter__(self) -> Self:
        room = self._room.__enter__()
        try:
            self.disk = Disk(room.subfolder("disk"))
            self.server = RedisServer(room, self._program, free_ports(1)[0])
            self.server.environment = self.disk.environment
        except BaseException:
            self._room.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.server.child.kill()
        self.disk.close()
        self._room.__exit__()

    def suffer(self, plan: Plan) -> Loss:
        """Carry one plan out, on an empty disk."""
        self.server.child.kill()
        self.disk.renew()
        self.server.renew(plan.persistence)
        assert self.disk.watched, "the redis-server does not load the shim that watches fsyncs"
        if plan.fsync_s:
            self.disk.slow_down(plan.fsync_s)
        writers = [_Writer(self._client(), str(number)) for number in range(WRITERS)]
        snapshot_s, blow_s = self._write_and_strike(plan, writers)
        if plan.fsync_s:
            self.disk.speed_up(plan.fsync_s)
        if plan.death is Death.POWER_LOSS:
            self.disk.lose_power(self.server.data)
        self.server.start()
        return self._count(writers, blow_s, snapshot_s)

    def _write_and_strike(self, plan: Plan, writers: list[_Writer]) -> tuple[float | None, float]:
        stop = threading.Event()
        threads = [threading.Thread(target=each.write, args=[stop]) for each in writers]
        for thread in threads:
            thread.start()
        snapshot_s = None
        try:
            end_s = time.monotonic() + plan.write_s
            if plan.snapshot_after_s is not None:
                time.sleep(plan.snapshot_after_s)
                snapshot_s = time.monotonic()
                self._client().save()
            time.sleep(max(0.0, end_s - time.monotonic()))
            blow_s = time.monotonic()
            if plan.death is Death.SIGTERM:
                self.server.stop()
            else:
                self.server.child.kill()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return snapshot_s, blow_s

    def _count(self, writers: list[_Writer], blow_s: float, snapshot_s: float | None) -> Loss:
        ages_s = {
            key: blow_s - at_s for writer in writers for key, at_s in writer.acknowledged.items()
        }
        kept = {key.decode() for key in self._client().scan_iter(count=10_000)}
        return Loss(
            acknowledged=len(ages_s),
            lost_ages_s=tuple(sorted(age for key, age in ages_s.items() if key not in kept)),
            kept_age_s=min(
                (age for key, age in ages_s.items() if key in kept), default=float("inf")
            ),
            snapshot_age_s=None if snapshot_s is None else blow_s - snapshot_s,
        )

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.server.url, retry=Retry(NoBackoff(), 0), socket_timeout=20.0
        )
