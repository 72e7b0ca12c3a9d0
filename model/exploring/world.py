"""One execution of a small world: who may move, a move, the state, and the end with its audit."""

from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any

from chaos.faults import Death
from model.buyers import EVENT_ID
from model.exploring.digest import digest, disk_content, redis_content, risks_writes
from model.exploring.ground import Ground
from model.exploring.kernel import BEGIN, DIES, LOST, PLAIN, Actor, ChoosingKernel
from model.exploring.past import ACKS, Past
from model.exploring.programs import buyer, sweeper, task
from model.exploring.settling import JUST_PAST_S, SWEEP_BOUND_S, Settling
from model.exploring.shop import Shop
from model.exploring.touching import (
    DATABASE_SESSION,
    DISK,
    NOTHING,
    REDIS_SESSION,
    SCRIPTS,
    TASKS,
)
from model.exploring.turn import GROUP, Turn
from model.history import FaultSpan, History, Operation
from model.kernel import EPOCH_S

_VARIANTS = {"lost-reply": LOST, "app-kill": DIES}
_DEATHS = {"redis-kill": Death.SIGKILL, "redis-power-loss": Death.POWER_LOSS}
_BEFORE_THE_FIRST_CROSSING = ("expire", "db-restart", "redis-kill", "redis-power-loss")
_SESSIONS = {"redis": REDIS_SESSION, "database": DATABASE_SESSION}
_FAULT_NAMES = {
    "redis-kill": "redis sigkill",
    "redis-power-loss": "redis power-loss",
    "db-restart": "database restart",
}


class Deadlock(Exception):
    """Nobody can move, and not everybody has ended."""


class World:
    """One execution. `take` a choice of `choices` until there is none, then `settle`."""

    def __init__(self, ground: Ground, visits: Sequence[str] | None = None) -> None:
        self.ground = ground
        self.small = small = ground.small
        self.kernel = ChoosingKernel()
        ground.reset(self.kernel)
        self.shop = Shop(small, self.kernel, ground.database)
        ground.reset_redis(self.shop)
        self.history = History(
            meta={"strategy": small.strategy, "fault": "none"},
            capacity={EVENT_ID: small.capacity},
            ttl_s=small.ttl_s,
            sweep_bound_s=SWEEP_BOUND_S,
        )
        self.actors: list[Actor] = []
        self.left = dict(small.happenings)
        self.turns: list[Turn] = []
        self._hold_times: set[float] = set()
        self._cues: list[tuple[str, str, Callable[[Actor], None]]] = []
        self.lock_owner: Actor | None = None
        self._tasks = 0
        chosen = small.visits if visits is None else visits
        named = dict(zip(ascii_uppercase, chosen, strict=False))
        self._past = Past(small.capacity, named)
        for number, (name, visit) in enumerate(named.items()):
            self.cue(name, "buyer", buyer(self, number, visit))
        for number in range(self.left.pop("sweep", 0) if visits is None else 0):
            self.cue(f"S{number + 1}", "sweeper", sweeper(self))
        self._enter()

    def renew_server(self, actor: Actor) -> None:
        """Give the actor a fresh server."""
        actor.server = self.shop.new_server(actor, self.actors.index(actor) + 1)

    def cue(self, name: str, kind: str, program: Callable[[Actor], None]) -> None:
        """Let another actor enter after this turn."""
        self._cues.append((name, kind, program))

    def captured_s(self, key: str) -> float | None:
        """When the provider took this key's money."""
        entry = self.shop.provider.ledger.get(key)
        return None if entry is None else entry.captured_s

    def began(self, operation: Operation, by: str) -> None:
        """An actor began the operation in this turn; a hold may live from now on."""
        if operation.kind == "hold":
            self._hold_times.add(self.kernel.env.now)
        self._past.began(operation, by)

    def answered(self, operation: Operation) -> None:
        """The operation ended in this turn."""
        self._past.answered(operation, self.history.operations, self.kernel.env.now)

    # -- moving

    @property
    def crashed(self) -> bool:
        """Whether the code under test raised what it must not."""
        return any(actor.crash is not None for actor in self.actors)

    @property
    def over(self) -> bool:
        """Whether everybody has ended."""
        return all(actor.ended for actor in self.actors)

    def moves(self) -> list[str]:
        """The actors that can go on, each with its crossing's plain outcome."""
        return self.ground.database.movers(self.actors)

    def choices(self) -> list[str]:
        """All that may happen next, in a fixed order."""
        if self.crashed:
            return []
        movers = self.moves()
        found = list(movers)
        for name, how in _VARIANTS.items():
            if self.left.get(name):
                found += [f"{each}{GROUP}{how}" for each in movers if self._will_cross(each)]
        found += [
            name for name in ("redis-kill", "redis-power-loss", "db-restart") if self.left.get(name)
        ]
        if self.left.get("expire") and self._next_deadline() is not None:
            found.append("expire")
        return found

    def _will_cross(self, name: str) -> bool:
        """Whether this actor's move is a crossing, and not the beginning of a call alone."""
        stop = self.actor(name).stop
        if stop is None or stop.store != BEGIN:
            return stop is not None
        return not self.begins_alone()

    def begins_alone(self) -> bool:
        """Whether what is left to happen can tell a call that has begun from one that has not.

        Time may pass after it looked at its clock, or the connection it took may break.
        """
        return any(self.left.get(name) for name in _BEFORE_THE_FIRST_CROSSING)

    def actor(self, name: str) -> Actor:
        """Find an actor; a variant's name (`A!lost`) finds its actor too.

        Raises:
            KeyError: there is nobody of this name.
        """
        plain = name.partition(GROUP)[0]
        for actor in self.actors:
            if actor.actor == plain:
                return actor
        raise KeyError(name)

    def take(self, choice: str, *, whole: bool = False) -> Turn:
        """Carry a choice out; `whole` goes on until the actor's write transaction is over."""
        self.kernel.tick += 1
        self.kernel.read_clock = self.kernel.swept_along = False
        self._past.turn_begins()
        turn = self._happen(choice) if choice in self.left else self._move(choice, whole=whole)
        turn.told = tuple(self._past.told)
        turn.reads |= self._past.reads
        turn.writes |= self._past.writes
        turn.swept_along = self.kernel.swept_along
        if self.kernel.read_clock:
            turn.reads |= {"clock"}
        turn.reads |= self._sessions_in_use(choice)
        env = self.kernel.env
        while env.peek() <= env.now:  # such as the fsync that was done before the reply left
            env.step()
        if self.shop.redis is not None:
            self.shop.redis.note_durable()
        if self.shop.tasks.touched:
            self.shop.tasks.touched = False
            turn.writes |= {TASKS}
            self._cue_due_tasks()
        self._enter()
        self._look_for_deadlock()
        self.turns.append(turn)
        return turn

    def _look_for_deadlock(self) -> None:
        """If nobody can ever move again, whoever waits has met a defect: they hang."""
        if self.over or self.moves() or self.crashed:  # asking may show it
            return
        waiting = [actor for actor in self.actors if not actor.ended]
        owner = "a call that has ended" if self.lock_owner is None else self.lock_owner.actor
        for actor in waiting:
            stop = "" if actor.stop is None else actor.stop.name
            actor.crash = Deadlock(
                f"{actor.actor} waits for ever at {stop}: the database's write lock is kept by"
                f" {owner}, and nobody else is left to move"
            )

    def _sessions_in_use(self, choice: str) -> frozenset[str]:
        """A move that ends before a crossing has its connection in hand: a restart breaks it."""
        if choice in self.small.happenings:
            return frozenset()
        stop = self.actor(choice).stop
        if stop is None or stop.store not in _SESSIONS:
            return frozenset()
        return frozenset((_SESSIONS[stop.store],))

    def _move(self, choice: str, *, whole: bool) -> Turn:
        name, _, how = choice.partition(GROUP)
        actor = self.actor(name)
        began = ""
        if actor.stop is not None and actor.stop.store == BEGIN:
            began = actor.stop.label
            actor.go_on(PLAIN)
            if self.begins_alone() or actor.stop is None or self._blocked(actor):
                return self._turn(choice, actor, f"{BEGIN} {began}", "", began)
        stop, was_inside = actor.stop, self.inside(actor)
        assert stop is not None
        crossing, detail = stop.name, stop.detail
        if how:
            self.left["lost-reply" if how == LOST else "app-kill"] -= 1
            self._strike("reply lost" if how == LOST else "app kill")
        reads, writes = set(stop.touched[0]), set(stop.touched[1])
        self._cross(actor, how, reads, writes)
        while whole and self.inside(actor) and not self._task_is_due():
            assert actor.stop is not None
            reads |= actor.stop.touched[0]
            writes |= actor.stop.touched[1]
            crossing = f"{crossing}; {actor.stop.label}"
            self._cross(actor, PLAIN, reads, writes)
        if whole and self.lock_owner is not actor:
            writes.discard("db:lock")  # whole transactions do not wait for each other
        if how:
            writes.add(f"left:{how}")
        turn = self._turn(choice, actor, crossing, detail, began)
        turn.reads, turn.writes = frozenset(reads), frozenset(writes)
        turn.inside = was_inside
        return turn

    def _cross(self, actor: Actor, how: str, reads: set[str], writes: set[str]) -> None:
        """Let one crossing happen; a script that changed nothing has only read."""
        stop, redis = actor.stop, self.shop.redis
        assert stop is not None
        changes = 0 if redis is None else redis.changes
        if stop.locks:
            reads.add("db:lock")
            writes.add("db:lock")
        actor.go_on(how)
        if self.kernel.freed is not NOTHING:  # locks that a rollback in this turn let go
            reads |= self.kernel.freed[0]
            writes |= self.kernel.freed[1]
            self.kernel.freed = NOTHING
        self.lock_owner = self._owner_after(actor)
        if redis is not None and redis.changes > changes:
            if risks_writes(redis.persistence) and self.left.get("redis-power-loss"):
                writes.add(DISK)  # the one that starts the fsync is safe, the next one is not
        elif stop.store == "redis":
            changed = {each for each in stop.touched[1] if each.startswith("redis:")}
            if SCRIPTS not in changed:
                writes -= changed
                reads |= changed

    def _turn(self, choice: str, actor: Actor, crossing: str, detail: str, began: str) -> Turn:
        return Turn(choice, actor.actor, crossing, detail, "; ".join(actor.results), began=began)

    def _blocked(self, actor: Actor) -> bool:
        stop = actor.stop
        return stop is not None and stop.locks and self.ground.database.write_locked

    def _owner_after(self, actor: Actor) -> Actor | None:
        """Who has the write lock, after a turn of `actor`."""
        if not self.ground.database.write_locked:
            return None
        return actor if self.lock_owner is None else self.lock_owner

    def inside(self, actor: Actor) -> bool:
        """Whether the actor is in the middle of a write transaction and asks for its next step."""
        return (
            self.lock_owner is actor and actor.stop is not None and actor.stop.store == "database"
        )

    def _happen(self, choice: str) -> Turn:
        """Something that is nobody's move."""
        self.left[choice] -= 1
        redis, result = self.shop.redis, ""
        if choice in _DEATHS and redis is not None:
            before = len(redis.fake.dbs[0]._dict)  # noqa: SLF001
            redis.die(_DEATHS[choice])
            redis.start()
            kept = len(redis.fake.dbs[0]._dict)  # noqa: SLF001
            result = f"restarts with {kept} of {before} keys"
            turn = Turn(choice, "", choice, "", result, writes=frozenset(("redis:*",)))
        elif choice == "db-restart":
            self.ground.database.restart()
            self.kernel.database_life += 1
            self.lock_owner = None
            turn = Turn(choice, "", choice, "", result, writes=frozenset(("db:*",)))
        else:
            self.pass_time(self._next_deadline() or 0.0)
            result = f"it is {self.kernel.env.now:.0f} s"
            turn = Turn(choice, "", choice, "", result, writes=frozenset(("clock", ACKS, TASKS)))
        turn.writes |= {f"left:{choice}"}
        self._strike(_FAULT_NAMES.get(choice, ""))
        return turn

    def pass_time(self, until_s: float) -> None:
        """Let time pass, with all that the servers do by the clock; due tasks enter."""
        env = self.kernel.env
        if until_s > env.now:
            env.run(until=until_s)
        self._cue_due_tasks()

    def _task_is_due(self) -> bool:
        """Whether somebody is to enter now, perhaps in the middle of a transaction."""
        return self.shop.tasks.any_due(EPOCH_S + self.kernel.env.now)

    def _cue_due_tasks(self) -> None:
        for _, name, argument in self.shop.tasks.due(EPOCH_S + self.kernel.env.now):
            self._tasks += 1
            self.cue(f"T{self._tasks}", "task", task(self, name, argument))

    def _next_deadline(self) -> float | None:
        """Just past the earliest moment a hold may end that has not passed."""
        ends = [at_s + self.small.ttl_s + JUST_PAST_S for at_s in self._hold_times]
        return min((end for end in ends if end > self.kernel.env.now), default=None)

    def _strike(self, fault: str) -> None:
        if fault:
            at_s = self.kernel.stamp_s
            self.history.faults.append(FaultSpan(fault=fault, started_s=at_s, ended_s=at_s))
            self.history.meta["fault"] = "explored"

    def _enter(self) -> None:
        """Whoever was cued comes in, up to their first stop."""
        while self._cues:
            name, kind, program = self._cues.pop(0)
            actor = Actor(self.kernel, name, kind)
            self.actors.append(actor)
            self.renew_server(actor)
            actor.start(program)

    # -- the state

    def state(self) -> bytes:
        """The digest of this state; see `model.exploring.digest`."""
        now_s = self.kernel.env.now
        incarnation = 0 if self.shop.redis is None else self.shop.redis.incarnation
        return digest(
            now_s,
            self.ground.database.state(self.kernel),
            redis_content(self.shop.redis),
            self._disk(),
            sorted(self.left.items()),
            [
                (
                    actor.actor,
                    actor.io.digest(),
                    "" if actor.stop is None else actor.stop.name,
                    actor.database_life != self.kernel.database_life,
                    actor.stop is not None
                    and actor.stop.store == "redis"
                    and actor.stop.incarnation != incarnation,
                )
                for actor in self.actors
            ],
            sorted(
                (key, entry.status.value, int(entry.captured_s or 0.0))
                for key, entry in self.shop.provider.ledger.items()
            ),
            self._past.state(),
            sorted(self.shop.tasks.waiting),
            sorted(self._hold_times),
            None if self.lock_owner is None else self.lock_owner.actor,
        )

    def _disk(self) -> list[Any]:
        redis = self.shop.redis
        if redis is None:
            return []
        kill, power_loss = (bool(self.left.get(name)) for name in _DEATHS)
        return disk_content(redis, redis.durable, kill=kill, power_loss=power_loss)

    def settle(self) -> History:
        """Let every hold end and be swept, undisturbed; audit. The history is then whole."""
        self.kernel.tick += 1
        ends = [op.expires_s for op in self.history.operations if op.expires_s is not None]
        ends += [at_s + self.small.ttl_s for at_s in self._hold_times]
        settling = Settling(self.shop, self.kernel, self.pass_time, self._cues.clear)
        self.history.audit = settling.audit(max(ends, default=0.0))
        return self.history

    def close(self) -> None:
        """Put everybody away."""
        for actor in self.actors:
            actor.put_away()
        self.ground.database.leave()
