"""A small world, named: everything that decides which schedules there are.

A world plus a list of choices is a run: the same pair always goes the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from chaos.persistence import Persistence
from model.database import SQLITE, shown
from model.scenario import Isolation
from reservation.api import AdmissionKind
from reservation.catalogue import find, resolve_options

CALLS = ("pay", "release", "leave", "again")
EVENTS: dict[str, str] = {
    "redis-kill": "Redis is killed and comes back with what its persistence kept",
    "redis-power-loss": "the power of Redis fails; it comes back with what was fsynced",
    "lost-reply": "a store or the provider does what it was asked, and the reply is lost",
    "app-kill": "an application server dies after the effect of a crossing, before its reply",
    "db-restart": "the database restarts: open transactions are rolled back, sessions break",
    "expire": "time jumps just past the earliest deadline of a hold",
    "sweep": "a sweeper runs once, beside everybody else",
}
"""What may happen besides the buyers' own moves; each at most as often as the world allows."""

ON_REDIS = ("redis-kill", "redis-power-loss")
MOST_BUYERS = 6
READ_COMMITTED: Isolation = "read-committed"


class WorldError(ValueError):
    """A small world that cannot be; the message names the part, the value and the repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallWorld:
    """Who comes, what there is, and what may go wrong how often.

    `visits` holds one entry a buyer: what they do once they hold, calls of `CALLS`, joined by `+`
    at the same time or by `>` one after the other (`pay`, `again>pay`; `pay+pay` is a double
    click). `happenings` says how
    often each of `EVENTS` may happen. `attempts` is how often a call is made while its outcome is
    in doubt. `redis_retries` are redis-py's own resends. `database` and `isolation` are as in
    `model.database`: the simulated SQLite is READ COMMITTED only.
    """

    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    visits: tuple[str, ...] = ("pay", "pay")
    capacity: int = 1
    quantity: int = 1
    happenings: Mapping[str, int] = field(default_factory=dict)
    persistence: Persistence | None = None
    database: str = SQLITE
    isolation: Isolation = READ_COMMITTED
    ttl_s: float = 900.0
    attempts: int = 2
    redis_retries: int = 0

    def __post_init__(self) -> None:
        info = find(self.strategy)
        resolve_options(info, self.options)
        if not 1 <= len(self.visits) <= MOST_BUYERS:
            raise WorldError(
                f"{len(self.visits)} buyers: a world that is searched has 1 to {MOST_BUYERS};"
                " for larger ones use `holdfast compare`"
            )
        for visit in self.visits:
            _check_visit(visit)
        for name, count in self.happenings.items():
            _check_happening(name, count, uses_redis=info.uses_redis)
        if self.isolation not in get_args(Isolation):
            raise WorldError(
                f"isolation {self.isolation!r} is none of {', '.join(get_args(Isolation))}"
            )
        if self.database == SQLITE and self.isolation != READ_COMMITTED:
            raise WorldError(
                f"isolation {self.isolation!r}: the simulated SQLite is READ COMMITTED and cannot"
                " express it; explore it with --db postgres"
            )
        if self.capacity < self.quantity or self.quantity < 1:
            raise WorldError(
                f"capacity {self.capacity}, {self.quantity} tickets a buyer: nobody could ever"
                " buy; the capacity must be as large, and both 1 or more"
            )

    @property
    def seats(self) -> bool:
        """Whether named seats are sold."""
        return AdmissionKind.GENERAL not in find(self.strategy).admits

    def as_dict(self) -> dict[str, Any]:
        """The world as JSON-ready values, without the password of a database's URL."""
        other = {} if self.isolation == READ_COMMITTED else {"isolation": self.isolation}
        return {
            "strategy": self.strategy,
            "options": dict(self.options),
            "visits": list(self.visits),
            "capacity": self.capacity,
            "quantity": self.quantity,
            "happenings": dict(self.happenings),
            "persistence": None if self.persistence is None else self.persistence.value,
            "database": shown(self.database),
            **other,
            "ttl_s": self.ttl_s,
            "attempts": self.attempts,
            "redis_retries": self.redis_retries,
        }


def world_from_dict(data: Mapping[str, Any]) -> SmallWorld:
    """Read a world back.

    Raises:
        WorldError: a key is missing, or holds what no world can have.
        UnknownStrategy, BadOption: this version's catalogue does not have it.
    """
    kinds: dict[str, type | tuple[type, ...]] = {
        "strategy": str,
        "options": dict,
        "visits": list,
        "capacity": int,
        "quantity": int,
        "happenings": dict,
        "database": str,
        "ttl_s": (int, float),
        "attempts": int,
        "redis_retries": int,
    }
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            raise WorldError(f"world, key {key!r}: {data.get(key)!r} is not what it must be")
    mode = data.get("persistence")
    try:
        persistence = None if mode is None else Persistence(mode)
    except ValueError as error:
        allowed = ", ".join(Persistence)
        raise WorldError(
            f"world, key 'persistence': {mode!r} is not one of {allowed}, null"
        ) from error
    values = {key: data[key] for key in kinds}
    values["visits"] = tuple(str(visit) for visit in data["visits"])
    isolation = data.get("isolation", READ_COMMITTED)
    return SmallWorld(**values, isolation=isolation, persistence=persistence)


def _check_visit(visit: str) -> None:
    for call in visit.replace(">", "+").split("+"):
        if call not in CALLS:
            raise WorldError(
                f"visit {visit!r}: {call!r} is not one of {', '.join(CALLS)} (+ joins calls at the"
                " same time, > one after the other)"
            )


def _check_happening(name: str, count: int, *, uses_redis: bool) -> None:
    if name not in EVENTS:
        raise WorldError(f"{name!r} cannot happen here; there are: {', '.join(EVENTS)}")
    if type(count) is not int or count < 0:
        raise WorldError(f"{name} = {count!r}: how often it may happen is a whole number")
    if count and name in ON_REDIS and not uses_redis:
        raise WorldError(f"{name}: this strategy has no Redis that could be hit")
