"""What Redis's disk keeps, per persistence mode, when the process is killed or the power fails.

The rules are those observed on Redis 7.0 (design: "Redis persistence, honestly"; anomalies R5, R6):

- A command is in memory at once. Under AOF it is *written* to the page cache before the reply, and
  *synced* to the disk by fsync. SIGKILL keeps what was written; a power loss keeps what was synced.
- `always` fsyncs before the reply, and the one thread waits for it (group commit).
- `everysec` starts a background fsync each second. While one is running the *write* is postponed
  too, for up to 2 s; after that Redis writes anyway and its thread stalls until the fsync ends.
- `no` leaves the sync to the kernel, which flushes pages 30 s old.
- RDB keeps the last completed snapshot, whatever kills the process; SIGTERM saves one on the way.
"""

from collections.abc import Callable
from typing import Any

import simpy

from chaos.faults import Death
from chaos.persistence import Persistence

EVERYSEC_PERIOD_S = 1.0
ROUNDING_S = 1e-9  # now + (when - now) may come out just below `when`
POSTPONE_LIMIT_S = 2.0  # redis.conf, "appendfsync everysec"; flushAppendOnlyFile in aof.c
KERNEL_FLUSH_S = 30.0  # vm.dirty_expire_centisecs defaults to 3000


class Timers:
    """Timers of one life of a process: after `clear`, what was set before does nothing."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._life = 0

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Call `action` at `when_s`, unless the process ends first."""
        life = self._life

        def fire(_event: Any) -> None:
            if life == self._life:
                action()

        timeout = self.env.timeout(max(0.0, when_s - self.env.now))
        timeout.callbacks.append(fire)

    def clear(self) -> None:
        """The process ended."""
        self._life += 1


class AppendOnlyFile:
    """Counts of commands appended, written and synced; `fsync_s` is set by the fault injector."""

    def __init__(self, env: simpy.Environment, policy: Persistence, fsync_s: float) -> None:
        self.env = env
        self.policy = policy
        self.fsync_s = fsync_s
        self.appended = 0
        self.written = 0
        self.synced = 0
        self.busy_until = 0.0  # the server's one thread is stalled until then
        self.loop_began_s = -1.0  # when the loop whose fsync stalls it began
        self.delayed_writes = 0  # like INFO's aof_delayed_fsync
        self._sync_ends: float | None = None
        self._last_sync_start = -EVERYSEC_PERIOD_S
        self._timer_set = False
        self._timers = Timers(env)
        self._postponed_since = 0.0
        self._group: list[int] = [0]

    def append(self) -> float:
        """A write command took effect now; returns when its reply may leave (absolute time)."""
        now = self.env.now
        self.appended += 1
        if self.policy is Persistence.AOF_ALWAYS:
            return self._append_always(now)
        if self._sync_ends is not None and self.policy is Persistence.AOF_EVERYSEC:
            if self.appended == self.written + 1:  # the first one to be postponed
                self._postponed_since = now
                self._timers.at(now + POSTPONE_LIMIT_S, self._force_write)
            return now
        self.written = self.appended
        if not self._timer_set:
            self._timer_set = True
            if self.policy is Persistence.AOF_NO:
                self._timers.at(now + KERNEL_FLUSH_S, self._kernel_flushes)
            else:
                due = self._last_sync_start + EVERYSEC_PERIOD_S
                self._timers.at(max(now, due), self._start_sync)
        return now

    def survivors(self, death: Death) -> int:
        """How many of the appended commands the disk keeps after this death."""
        if death is Death.SIGTERM:
            return self.appended
        return self.written if death is Death.SIGKILL else self.synced

    @property
    def standing(self) -> tuple[bool, bool, bool]:
        """Whether all is synced, the next append may sync at once, and a sync is planned."""
        at_once = self._last_sync_start + EVERYSEC_PERIOD_S <= self.env.now
        return self.synced == self.appended, at_once, self._timer_set

    def stop(self, kept: int) -> None:
        """The process is gone; `kept` commands are left, some perhaps in the page cache only."""
        self._timers.clear()
        self.appended = self.written = kept
        self.synced = min(self.synced, kept)
        self._sync_ends = None
        self._timer_set = False

    def restart(self) -> None:
        """The process is back, and goes on with what was loaded from disk."""
        self._timers.clear()
        self.busy_until = self.env.now
        self._last_sync_start = self.env.now
        if self.synced < self.written:
            self._timer_set = True
            if self.policy is Persistence.AOF_NO:
                self._timers.at(self.env.now + KERNEL_FLUSH_S, self._kernel_flushes)
            else:
                self._timers.at(self.env.now + EVERYSEC_PERIOD_S, self._start_sync)

    def _append_always(self, now: float) -> float:
        self.written = self.appended
        if self._sync_ends is None or self._sync_ends <= now:
            self._sync_ends = self.busy_until = now + self.fsync_s
            self.loop_began_s = now
            self._group = group = [0]
            self._timers.at(self._sync_ends, lambda: self._group_synced(group))
        self._group[0] = self.appended  # one fsync serves all that ran in one loop of the server
        return self._sync_ends

    def _group_synced(self, group: list[int]) -> None:
        self.synced = max(self.synced, group[0])

    def _start_sync(self) -> None:
        self._timer_set = False
        if self.synced == self.written:
            return
        self._last_sync_start = self.env.now
        self._sync_ends = self.env.now + self.fsync_s
        covers = self.written
        self._timers.at(self._sync_ends, lambda: self._end_sync(covers))

    def _end_sync(self, covers: int) -> None:
        self.synced = max(self.synced, covers)
        self._sync_ends = None
        self.written = self.appended  # what was postponed goes out with the next loop of the server
        if self.written > self.synced and not self._timer_set:
            self._timer_set = True
            due = self._last_sync_start + EVERYSEC_PERIOD_S
            self._timers.at(max(self.env.now, due), self._start_sync)

    def _force_write(self) -> None:
        waited_s = self.env.now - self._postponed_since
        if (
            self._sync_ends is not None
            and self.appended > self.written
            and (waited_s >= POSTPONE_LIMIT_S - ROUNDING_S)
        ):
            self.delayed_writes += 1
            self.written = self.appended
            self.busy_until = self._sync_ends

    def _kernel_flushes(self) -> None:
        self._timer_set = False
        self.synced = self.written


class Snapshots:
    """RDB: which snapshot is complete, given Redis's save points ((seconds, changes), ...)."""

    def __init__(
        self,
        env: simpy.Environment,
        save_points: tuple[tuple[int, int], ...],
        snapshot_s: float,
        dump: Callable[[], bytes],
    ) -> None:
        self.env = env
        self.save_points = save_points
        self.snapshot_s = snapshot_s
        self.completed: bytes | None = None
        self._dump = dump
        self._changes = 0
        self._last_save = env.now
        self._due: float | None = None
        self._saving = False
        self._timers = Timers(env)

    def changed(self) -> None:
        """A write command took effect; maybe a save point will be due."""
        self._changes += 1
        self._plan()

    @property
    def standing(self) -> tuple[float | None, float, bool, bool]:
        """When the next is due, when the last was, whether one is being made, and is needed."""
        return self._due, self._last_save, self._saving, self._changes > 0

    def _plan(self) -> None:
        due = [
            max(self.env.now, self._last_save + seconds)
            for seconds, changes in self.save_points
            if self._changes >= changes
        ]
        if due and not self._saving and (self._due is None or min(due) < self._due):
            self._due = min(due)
            self._timers.at(self._due, self._begin)

    def save_now(self) -> None:
        """SIGTERM with a save point configured: a snapshot on the way out."""
        self.completed = self._dump()

    def stop(self) -> None:
        """The process is gone, and a snapshot it was writing with it."""
        self._timers.clear()
        self._due = None
        self._saving = False

    def restart(self) -> None:
        """The process is back."""
        self.stop()
        self._changes = 0
        self._last_save = self.env.now

    def _begin(self) -> None:
        if self._due is None or self._due > self.env.now + ROUNDING_S or self._saving:
            return
        self._due = None
        self._saving = True
        self._changes = 0
        state = self._dump()
        self._timers.at(self.env.now + self.snapshot_s, lambda: self._complete(state))

    def _complete(self, state: bytes) -> None:
        self.completed = state
        self._last_save = self.env.now
        self._saving = False
        self._plan()
