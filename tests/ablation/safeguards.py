"""Every safeguard of every good strategy, where it is missed, and what breaks there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chaos.persistence import Persistence
from model.exploring.small_world import SmallWorld
from reservation.catalogue import find

NONE, ALWAYS = Persistence.NONE, Persistence.AOF_ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguard:
    """A safeguard: the strategy with and without it, and the invariant that misses it.

    `rare` marks those that only few schedules miss.
    """

    name: str
    good: str
    breaks: str
    options: Mapping[str, Any] = field(default_factory=dict)
    instead: str = ""  # another strategy is the one without it
    visits: tuple[str, ...] = ("pay", "pay")
    capacity: int = 1
    happenings: Mapping[str, int] = field(default_factory=dict)
    persistence: Persistence | None = None
    without_persistence: Persistence | None = None
    both: Mapping[str, Any] = field(default_factory=dict)  # options of both

    @property
    def off(self) -> SmallWorld:
        """The world without the safeguard."""
        on = self.on
        return replace(
            on,
            strategy=self.instead or self.good,
            options={**self.both, **self.options},
            persistence=self.without_persistence or on.persistence,
        )

    @property
    def on(self) -> SmallWorld:
        """The same world with it."""
        kept = self.persistence
        if kept is None and find(self.good).uses_redis:
            kept = NONE
        return SmallWorld(
            strategy=self.good,
            options=dict(self.both),
            visits=self.visits,
            capacity=self.capacity,
            happenings=self.happenings,
            persistence=kept,
        )


SAFEGUARDS = (
    Safeguard(
        name="conditional UPDATE of the stock",
        good="db-cart",
        instead="db-cart-naive",
        breaks="no-overbooking",
    ),
    Safeguard(
        name="row lock before read and write",
        good="db-cart-row-lock",
        instead="db-cart-naive",
        breaks="no-overbooking",
    ),
    Safeguard(
        name="sweeper's status guard",
        good="db-cart",
        options={"status_guard": False},
        visits=("leave",),
        happenings={"expire": 1, "sweep": 2},
        breaks="stock-conserved",
    ),
    Safeguard(
        name="conditional confirmation",
        good="db-cart",
        options={"confirm": "blind"},
        happenings={"expire": 1, "sweep": 1},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="give-back in one transaction",
        good="db-cart",
        options={"give_back": "split"},
        visits=("leave",),
        happenings={"expire": 1, "sweep": 1, "app-kill": 1},
        breaks="no-leak",
    ),
    Safeguard(
        name="a repeated hold changes nothing",
        good="db-cart",
        options={"rehold": "overwrite"},
        visits=("again",),
        capacity=2,
        breaks="stock-conserved",
    ),
    Safeguard(
        name="idempotency key, lost reply",
        good="redis-hold-recheck",
        options={"idempotency": "none"},
        visits=("pay",),
        capacity=2,
        happenings={"lost-reply": 1},
        breaks="charged-once",
    ),
    Safeguard(
        name="idempotency key, double click",
        good="redis-hold-recheck",
        options={"idempotency": "check-then-insert"},
        visits=("pay+pay",),
        capacity=2,
        breaks="charged-once",
    ),
    Safeguard(
        name="payment noted before it is taken",
        good="db-cart",
        options={"payment_intent": False},
        visits=("pay",),
        happenings={"app-kill": 2},
        breaks="charged-once",
    ),
    Safeguard(
        name="refund of a refused order",
        good="redis-hold-recheck",
        options={"refund": False},
        happenings={"redis-kill": 1},
        breaks="charged-once",
    ),
    Safeguard(
        name="row lock of derived stock",
        good="db-derived",
        options={"lock": "none"},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="atomic script of the hold",
        good="redis-hold",
        instead="redis-hold-racy",
        breaks="no-overbooking",
    ),
    Safeguard(
        name="other buyers' holds are counted",
        good="redis-hold",
        instead="redis-hold-blind",
        breaks="no-overbooking",
    ),
    Safeguard(
        name="floor under the remembered stock",
        good="redis-hold",
        options={"sale_floor": False},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="recheck at payment",
        good="redis-hold-recheck",
        instead="redis-hold",
        happenings={"redis-kill": 1},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="recheck in the order's transaction",
        good="redis-hold-recheck",
        instead="redis-hold-read-check",
        happenings={"redis-kill": 1},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="AOF, fsync before each reply",
        good="redis-hold-recheck",
        visits=("pay", "pay"),
        happenings={"redis-power-loss": 1},
        persistence=ALWAYS,
        without_persistence=Persistence.AOF_EVERYSEC,
        breaks="no-overhold",
    ),
    Safeguard(
        name="AOF at all",
        good="redis-hold-recheck",
        happenings={"redis-kill": 1},
        persistence=ALWAYS,
        without_persistence=NONE,
        breaks="no-overhold",
    ),
    Safeguard(
        name="the hold is dropped after the commit",
        good="redis-hold-recheck",
        options={"drop_hold": "before-commit"},
        breaks="hold-honoured",
    ),
    Safeguard(
        name="counter and hold in one script",
        good="redis-counter",
        options={"script": "two-steps"},
        visits=("pay",),
        happenings={"app-kill": 1},
        breaks="stock-conserved",
    ),
    Safeguard(
        name="give back only what is there",
        good="redis-counter",
        options={"give_back": "unguarded"},
        visits=("release+release",),
        breaks="stock-conserved",
    ),
    Safeguard(
        name="request id known to the counter",
        good="redis-counter",
        options={"request_id": False},
        visits=("leave",),
        capacity=2,
        happenings={"lost-reply": 1},
        breaks="stock-conserved",
    ),
    Safeguard(
        name="recheck of the counter at payment",
        good="redis-counter",
        options={"recheck": False},
        happenings={"redis-kill": 1},
        breaks="no-overbooking",
    ),
    Safeguard(
        name="the reaper looks at the deadline again",
        good="redis-counter",
        options={"reaper_recheck": False},
        both={"doubtful_after_s": 5000.0},  # or a slow payment is refunded, whoever reaps
        visits=("again>pay",),
        happenings={"expire": 1, "sweep": 1},
        breaks="hold-honoured",
    ),
    Safeguard(
        name="key and TTL in one command",
        good="seat-setnx",
        options={"expire": "separate"},
        visits=("leave",),
        happenings={"app-kill": 2},
        breaks="no-leak",
    ),
    Safeguard(
        name="owner's token at release",
        good="seat-setnx",
        options={"release": "blind"},
        visits=("release", "pay"),
        happenings={"expire": 1},
        breaks="hold-honoured",
    ),
    Safeguard(
        name="unique key over event and seat",
        good="seat-setnx",
        options={"unique_guard": False},
        happenings={"redis-kill": 1},
        breaks="seat-sold-once",
    ),
)
