"""The closed vocabulary of faults: what may break, as frozen data.

A fault says *what* happens; a `Placement` says *when*. Both are plain values, so that a plan can be
written in a scenario file, printed in a story and replayed.
"""

from dataclasses import dataclass
from enum import StrEnum

from chaos.toxics import Direction, ToxicKind


class UnsupportedFault(Exception):
    """An injector was asked for a fault it cannot do; it never substitutes a milder one."""


class Death(StrEnum):
    """How a Redis server ends. They differ in what its disk keeps (design: "honestly")."""

    SIGTERM = "sigterm"
    SIGKILL = "sigkill"
    POWER_LOSS = "power-loss"


class Target(StrEnum):
    """The far side of a boundary crossing."""

    REDIS = "redis"
    DATABASE = "database"
    PAYMENT = "payment"


class Leg(StrEnum):
    """Which half of a crossing: before the effect, or after it."""

    REQUEST = "request"
    REPLY = "reply"


class Actor(StrEnum):
    """Who is crossing."""

    BUYER = "buyer"
    SWEEPER = "sweeper"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisDeath:
    """Redis ends and comes back `down_s` later with what its persistence kept."""

    death: Death
    down_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Packets between the application and `target` are dropped; callers wait for their timeout."""

    target: Target
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Each leg to `target` takes `extra_s` longer."""

    target: Target
    extra_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowFsync:
    """Each fsync of the Redis append-only file takes `fsync_s`."""

    fsync_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LostReplies:
    """Each reply of `target` is lost with `probability`, after the effect; the connection dies."""

    target: Target
    probability: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRestart:
    """The database ends, rolls back what is open, and is back `down_s` later with its commits.

    Whether it is told to stop or killed makes no difference to what it keeps, only to how long it
    takes to come back.
    """

    down_s: float
    death: Death = Death.SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePause:
    """A store's processes stop (SIGSTOP, `docker pause`) and go on; calls wait meanwhile."""

    target: Target
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyDown:
    """What stands before `target` breaks all connections and refuses new ones."""

    target: Target
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Toxic:
    """Toxiproxy mistreats one direction of each connection to `target` with chance `toxicity`.

    `attributes` are pairs of a name and a number (see `chaos.toxics.ATTRIBUTES` for units).
    """

    target: Target
    kind: ToxicKind
    direction: Direction
    attributes: tuple[tuple[str, float], ...]
    toxicity: float = 1.0
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKill:
    """An application server dies with every request in it and is replaced `restart_s` later."""

    restart_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPause:
    """An application server stops (GC, VM migration) and goes on `duration_s` later, unaware."""

    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperStopped:
    """Sweepers and delayed tasks do not run (a dead cron); `duration_s` None means to the end."""

    duration_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTimeouts:
    """The provider's answer to a capture is lost with `probability`; the money is taken anyway."""

    probability: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A store's or the application servers' clock jumps by `step_s` (NTP, VM resume)."""

    target: Target | None  # None: the application servers
    step_s: float


Fault = (
    RedisDeath
    | Partition
    | Slow
    | SlowFsync
    | LostReplies
    | DatabaseRestart
    | StorePause
    | ProxyDown
    | Toxic
    | AppKill
    | AppPause
    | SweeperStopped
    | PaymentTimeouts
    | ClockStep
)


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """The fault strikes at a time drawn uniformly from [earliest_s, latest_s] after sale opens."""

    earliest_s: float
    latest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AtCrossing:
    """The fault strikes at a crossing: the `occurrence`-th (from 1) that matches, after `after_s`.

    `label` matches the start of the crossing's label (`COMMIT`, `UPDATE carts`, `EVALSHA`,
    `capture`); empty matches all. On the request leg the effect never happens; on the reply leg it
    has happened and the caller does not learn of it. With `after_latest_s`, the moment from which
    crossings count is drawn uniformly from [after_s, after_latest_s].
    """

    target: Target
    leg: Leg
    label: str = ""
    actor: Actor = Actor.ANY
    operation: str = ""  # hold | release | checkout | sweep | task; empty matches all
    after_s: float = 0.0
    occurrence: int = 1
    after_latest_s: float | None = None


Placement = At | AtCrossing


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """One fault and when it strikes."""

    fault: Fault
    when: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """A named set of faults for one run; the empty plan is `none`."""

    name: str
    summary: str
    faults: tuple[PlannedFault, ...] = ()
