"""Safeguards that good strategies share: those of the checkout, and those of Redis's disk."""

from chaos.persistence import Persistence
from tests.ablation.safeguard import ALWAYS, EVERYSEC, NONE, Safeguard

IN_DATABASE = ("db-cart", "db-cart-row-lock", "db-derived")
IN_REDIS = ("redis-hold-recheck", "redis-counter", "seat-setnx")
# The others sell a hold once, key or no key, since confirming it or inserting its seats works once.
# So two clicks end well there, and a key is missed only by the buyer who has to ask again.
SELLS_TWICE = {"redis-hold-recheck", "redis-counter"}


def _of_checkout(good: str) -> list[Safeguard]:
    """The till's safeguards, in one strategy."""
    without_key = "charged-once" if good in SELLS_TWICE else "hold-honoured"
    in_database = good in IN_DATABASE
    two_clicks = Safeguard(
        name="idempotency key, double click",
        good=good,
        options={"idempotency": "check-then-insert"},
        visits=("pay+pay",),
        capacity=2,
        breaks="charged-once",
    )
    return [
        *([two_clicks] if good in SELLS_TWICE else []),
        Safeguard(
            name="idempotency key, lost reply",
            good=good,
            options={"idempotency": "none"},
            visits=("pay",),
            capacity=2,
            happenings={"lost-reply": 1},
            breaks=without_key,
        ),
        Safeguard(
            name="payment noted before it is taken",
            good=good,
            options={"payment_intent": False},
            visits=("pay",),
            happenings={"app-kill": 2},
            breaks="charged-once",
        ),
        Safeguard(
            name="refund of a refused order",
            good=good,
            options={"refund": False},
            visits=("pay",) if in_database else ("pay", "pay"),
            happenings={"expire": 1} if in_database else {"redis-kill": 1},
            breaks="charged-once",
        ),
    ]


def _of_disk(
    good: str, name: str, event: str, without: Persistence, breaks: str = "no-overhold"
) -> Safeguard:
    return Safeguard(
        name=name,
        good=good,
        happenings={event: 1},
        persistence=ALWAYS,
        without_persistence=without,
        breaks=breaks,
    )


# Dropped too early, a seat is anybody's while it is paid; a counter would lose the ticket.
_EARLY_DROP = {"drop_hold": "before-commit"}
OF_DROPS = (
    Safeguard(
        name="the hold is dropped after the commit",
        good="seat-setnx",
        options=_EARLY_DROP,
        breaks="hold-honoured",
    ),
    Safeguard(
        name="the hold is dropped after the commit",
        good="redis-counter",
        options=_EARLY_DROP,
        visits=("pay",),
        happenings={"app-kill": 2},
        breaks="stock-conserved",
    ),
)
OF_CHECKOUTS = tuple(guard for good in (*IN_DATABASE, *IN_REDIS) for guard in _of_checkout(good))
OF_DISKS = tuple(
    guard
    for good in IN_REDIS
    for guard in (
        _of_disk(good, "AOF at all", "redis-kill", NONE),
        _of_disk(good, "AOF, fsync before each reply", "redis-power-loss", EVERYSEC),
    )
)
