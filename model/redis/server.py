"""A simulated Redis server: fakeredis for the commands, our own rules for its clock and its deaths.

What is ours: the server's clock is virtual; every command that changed something is journalled;
when the server dies, `model.redis.disk` says how many of those the disk kept, and the restarted
server holds exactly that prefix (deadlines are absolute, so they ran on while it was down). What a
single in-process server cannot honour is refused by name, never approximated.
"""

import pickle
from typing import Any

from fakeredis import FakeServer
from fakeredis._core import Database, Item

from chaos.faults import Death
from chaos.persistence import Persistence
from model.kernel import EPOCH_S, Kernel
from model.redis.disk import AppendOnlyFile, Snapshots
from model.redis.fakeredis_clock import CLOCK
from model.redis.refusals import refuse_unsupported
from model.redis.scripts import ScriptingSocket


class JournalledDatabase(Database):
    """A fakeredis keyspace that tells its server when a command changed it."""

    def __init__(self, server: "SimulatedRedis", lock: Any) -> None:
        super().__init__(lock)
        self._server = server

    def notify_watch(self, key: bytes) -> None:
        """Fakeredis calls this for each key a command writes or deletes."""
        self._server.dirty = True
        if self._watches:
            super().notify_watch(key)

    def wake_all(self) -> None:
        """Nobody can be blocked here: blocking commands are refused."""


class Keyspaces(dict[int, Database]):
    """The server's numbered databases, made when first used."""

    def __init__(self, server: "SimulatedRedis") -> None:
        super().__init__()
        self._server = server

    def __missing__(self, number: int) -> Database:
        self[number] = database = JournalledDatabase(self._server, self._server.fake.lock)
        return database


class ServerSocket(ScriptingSocket):
    """The server's end of a connection: runs commands at the server's time and journals them."""

    def __init__(self, simulated: "SimulatedRedis", *args: Any, **kwargs: Any) -> None:
        self._simulated = simulated
        self._unit: list[list[bytes]] = []
        super().__init__(*args, **kwargs)

    def sendall(self, data: Any) -> None:
        """Run one command, given as its fields (see `model.redis.client.FieldPacker`)."""
        self._process_command(data)

    def _process_command(self, fields: list[bytes]) -> None:
        simulated = self._simulated
        name = fields[0].upper().decode()
        refuse_unsupported(name)
        self._asked = fields
        simulated.calls += 1
        outermost = CLOCK.at is None
        CLOCK.at = simulated.clock_s
        simulated.dirty = False
        try:
            super()._process_command(fields)
        finally:
            if outermost:
                CLOCK.at = None
        if self._transaction is not None:
            self._unit.append(fields)
            return
        unit, self._unit = self._unit, []
        if simulated.dirty:
            unit.append(fields)
            simulated.changed(self._db_num, unit)


class SimulatedRedis:
    """One Redis server with a life of its own.

    `alive` and `incarnation` are what connections look at; `reply_at` is when the reply to the
    command that just ran may leave (later than now only under `aof-always`).
    """

    def __init__(
        self,
        kernel: Kernel,
        persistence: Persistence,
        *,
        fsync_s: float = 0.002,
        save_points: tuple[tuple[int, int], ...] = ((3600, 1), (300, 100), (60, 10_000)),
        snapshot_s: float = 0.5,
    ) -> None:
        self.kernel = kernel
        self.persistence = persistence
        self.alive = True
        self.incarnation = 1
        self.clock_offset_s = 0.0
        self.dirty = False
        self.calls = 0
        self.reply_at = 0.0
        self.lost_commands = 0
        self.fake = FakeServer(version=(7, 2))
        self._fresh_keyspace()
        self._scripts: dict[bytes, bytes] = {}
        self._journal: list[tuple[float, int, list[list[bytes]]]] = []
        self._journal_starts = 0
        self._checkpoints: list[tuple[int, bytes]] = [(0, self._dump())]
        self._replaying: float | None = None
        self.aof: AppendOnlyFile | None = None
        self.snapshots: Snapshots | None = None
        if persistence is Persistence.RDB:
            self.snapshots = Snapshots(kernel.env, save_points, snapshot_s, self._dump)
        elif persistence is not Persistence.NONE:
            self.aof = AppendOnlyFile(kernel.env, persistence, fsync_s)

    @property
    def clock_s(self) -> float:
        """Seconds since the epoch on this server's clock."""
        if self._replaying is not None:
            return self._replaying
        return EPOCH_S + self.kernel.env.now + self.clock_offset_s

    @property
    def busy_until(self) -> float:
        """Until when the server's one thread is stalled by its disk."""
        return 0.0 if self.aof is None else self.aof.busy_until

    @property
    def loop_began_s(self) -> float:
        """When the loop of the server that stalls now began."""
        return -1.0 if self.aof is None else self.aof.loop_began_s

    def take_later(self, command: list[list[bytes]], delay_s: float) -> None:
        """Run what a client that gave up had sent already, when the server comes to it."""
        incarnation = self.incarnation

        def take(_event: Any) -> None:
            if self.alive and self.incarnation == incarnation:
                socket = ServerSocket(self, self.fake, db=0, client_class=object)
                for fields in command:
                    socket.sendall(fields)
                socket.close()

        due = self.kernel.env.timeout(delay_s)
        due.callbacks.append(take)

    def changed(self, database: int, unit: list[list[bytes]]) -> None:
        """A command (or a whole MULTI) changed the keyspace now."""
        if self._replaying is not None:
            return
        if self.snapshots is not None:
            self.snapshots.changed()
        if self.aof is None:
            return
        self.reply_at = self.aof.append()
        self._journal.append((self.clock_s, database, unit))
        since = self.aof.appended - self._checkpoints[-1][0]
        if since >= 1000 + 2 * len(self.fake.dbs[0]._dict):
            self._checkpoint()

    def die(self, death: Death) -> None:
        """The process ends; connections break; memory is gone but for what the disk kept."""
        if not self.alive and death is not Death.POWER_LOSS:
            return
        was_alive, self.alive = self.alive, False
        if self.snapshots is not None:
            self.snapshots.stop()
            if death is Death.SIGTERM and self.snapshots.save_points:
                self.snapshots.save_now()
        if self.aof is not None:
            kept = self.aof.survivors(death)
            self.lost_commands += self.aof.appended - kept
            self._recover_prefix(kept)
            self.aof.stop(kept)
        elif not was_alive:
            return
        else:
            completed = None if self.snapshots is None else self.snapshots.completed
            self._fresh_keyspace()
            if completed is not None:
                self._load(completed)

    def start(self) -> None:
        """The process is back, with its disk's content loaded and an empty script cache."""
        self.alive = True
        self.incarnation += 1
        self._scripts.update(self.fake.script_cache)
        self.fake.script_cache = {}
        if self.aof is not None:
            self.aof.restart()
        if self.snapshots is not None:
            self.snapshots.restart()
        self.reply_at = self.kernel.env.now

    def _checkpoint(self) -> None:
        """Remember the keyspace, and drop what no death can need any more."""
        assert self.aof is not None
        self._checkpoints.append((self.aof.appended, self._dump()))
        usable = [c for c in self._checkpoints if c[0] <= self.aof.synced]
        first = usable[-1][0]
        self._checkpoints = [c for c in self._checkpoints if c[0] >= first]
        del self._journal[: first - self._journal_starts]
        self._journal_starts = first

    def _recover_prefix(self, kept: int) -> None:
        assert self.aof is not None
        if kept == self.aof.appended:
            return
        index, state = [c for c in self._checkpoints if c[0] <= kept][-1]
        self._fresh_keyspace()
        self._load(state)
        self._scripts.update(self.fake.script_cache)
        self.fake.script_cache = dict(self._scripts)
        start = index - self._journal_starts
        try:
            for at_s, database, unit in self._journal[start : kept - self._journal_starts]:
                self._replaying = at_s
                socket = ServerSocket(self, self.fake, db=database, client_class=object)
                for fields in unit:
                    socket._process_command(list(fields))
                socket.close()
        finally:
            self._replaying = None
        del self._journal[kept - self._journal_starts :]
        self._checkpoints = [c for c in self._checkpoints if c[0] <= kept]

    def _fresh_keyspace(self) -> None:
        self.fake.dbs = Keyspaces(self)

    def _dump(self) -> bytes:
        content = {
            number: {key: (item.value, item.expireat) for key, item in database._dict.items()}
            for number, database in self.fake.dbs.items()
            if database._dict
        }
        return pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)

    def _load(self, state: bytes) -> None:
        for number, content in pickle.loads(state).items():  # noqa: S301 - our own bytes
            for key, (value, expireat) in content.items():
                item = Item(value)
                item.expireat = expireat
                self.fake.dbs[number][key] = item
