"""`redis-hold-racy`: live holds are counted in one step and the hold is written in another (B01).

Two requests that count before either writes both see room for themselves. `watch` says what is done
about it: `none`; `client`, a call of `Redis.watch`, which looks right and does nothing (B03: WATCH
belongs to a connection, and redis-py's client only warns); `pipeline`, the correct optimistic lock,
which starts again when anybody changed the event's holds meanwhile.
"""

import warnings
from typing import Any

from redis import Redis, WatchError

from reservation.api import AdmissionKind, Hold, HoldRequest, Stores, StrategyInfo
from reservation.boundary import redis_reading, redis_writing
from reservation.errors import NotApplied, UnknownOutcome
from reservation.event_stock import deduct
from reservation.hold_ledger import SOLD_OUT, Count, HoldLedger, hold_key, total_key
from reservation.lua import text
from reservation.redis_hold import RedisHold
from reservation.redis_terms import COMMON_CHOICES, COMMON_DEFAULTS, required_redis

ATTEMPTS = 20  # of the optimistic lock, before the request gives up


class RacyLedger:
    """The keys of `HoldLedger`, checked and written in two steps."""

    def __init__(self, redis: Redis, *, ttl_s: float, watch: str) -> None:
        """Use `redis`; `watch` is none, client or pipeline."""
        self._redis = redis
        self._watch = watch
        self._ledger = HoldLedger(redis, ttl_s=ttl_s)

    def place(self, request: HoldRequest, remaining: int | None) -> int:
        """Count, then write; under `pipeline` again if somebody came between."""
        assert remaining is not None, "this ledger keeps no copy of the stock"
        earlier = self._deadline(request)
        if earlier is not None:
            return earlier
        if self._watch == "pipeline":
            return self._place_watched(request, remaining)
        if self._watch == "client":
            with warnings.catch_warnings():  # redis-py says so, and that is all it does
                warnings.simplefilter("ignore", DeprecationWarning)
                self._redis.watch(total_key(request.event_id))
        count = self._ledger.count(request.event_id)
        if not _has_room(request, remaining, count):
            return SOLD_OUT
        with redis_writing(), self._redis.pipeline(transaction=True) as pipe:
            deadline_ms = self._ledger.write(pipe, request, count)
            pipe.execute()
        return deadline_ms

    def _place_watched(self, request: HoldRequest, remaining: int) -> int:
        """Place the hold under an optimistic lock.

        redis-py also raises WatchError when the connection broke while it watched, and then the
        hold may have been written: so each attempt looks for it first.

        Raises:
            UnknownOutcome: others came between ATTEMPTS times.
        """
        key = total_key(request.event_id)
        with redis_writing(), self._redis.pipeline(transaction=True) as pipe:
            for attempt in range(ATTEMPTS):
                try:
                    pipe.watch(key)  # type: ignore[no-untyped-call]  # redis-py's
                    earlier = self._deadline(request)
                    if earlier is not None:
                        return earlier
                    count = self._ledger.count(request.event_id)
                    if not _has_room(request, remaining, count):
                        return SOLD_OUT
                    pipe.multi()
                    deadline_ms = self._ledger.write(pipe, request, count)
                    pipe.execute()
                except WatchError:
                    continue
                except NotApplied as error:
                    if attempt == 0:
                        raise
                    raise UnknownOutcome(f"an attempt before may have held: {error}") from error
                return deadline_ms
        raise UnknownOutcome(
            f"hold {request.hold_id}: others changed event {request.event_id} between reading and"
            f" writing {ATTEMPTS} times; repeat it with the same hold_id"
        )

    def _deadline(self, request: HoldRequest) -> int | None:
        """Read the deadline of a hold that was placed before."""
        with redis_reading():
            value = self._redis.get(hold_key(request.event_id, request.hold_id))
        return None if value is None else int(text(value).partition(":")[0])

    def is_live(self, hold: Hold) -> bool:
        """As `HoldLedger`."""
        return self._ledger.is_live(hold)

    def drop(self, hold: Hold, remaining_after: int | None = None) -> None:
        """As `HoldLedger`."""
        self._ledger.drop(hold, remaining_after)

    def view(self, event_id: int, remaining: int) -> tuple[int, int]:
        """As `HoldLedger`."""
        return self._ledger.view(event_id, remaining)

    def forget_stock(self, event_id: int) -> None:
        """As `HoldLedger`."""
        self._ledger.forget_stock(event_id)


def _has_room(request: HoldRequest, remaining: int, count: Count) -> bool:
    left = remaining if count.floor is None else min(remaining, count.floor)
    return left - count.held >= request.quantity


def _build(stores: Stores, options: dict[str, Any]) -> RedisHold:
    redis = required_redis(stores, "redis-hold-racy")
    ledger = RacyLedger(redis, ttl_s=float(options["ttl_s"]), watch=options["watch"])
    return RedisHold(stores, options, ledger=ledger, deduct=deduct)


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="redis-hold-racy",
        summary="counts live holds, but checks and writes in two steps",
        uses_redis=True,
        admits=frozenset({AdmissionKind.GENERAL}),
        defaults={**COMMON_DEFAULTS, "watch": "none"},
        choices={**COMMON_CHOICES, "watch": ("none", "client", "pipeline")},
        build=_build,
        known_bad="B01: two requests can count before either writes, and both fit",
    ),
)
