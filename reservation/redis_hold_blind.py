"""`redis-hold-blind`: flow 2 read literally (known bad).

Step 1 compares the order with `remaining_ticket` and step 2 writes a key with a TTL. Nothing counts
the keys of other buyers, and `remaining_ticket` does not change until somebody pays: any number of
buyers can hold the last ticket. The deadline it promises comes from the application's clock, as the
plain commands it uses do not tell Redis's.
"""

from collections.abc import Iterator
from typing import Any

from redis import Redis

from reservation.api import AdmissionKind, Clock, Hold, HoldRequest, Stores, StrategyInfo
from reservation.boundary import redis_reading, redis_writing
from reservation.event_stock import deduct
from reservation.hold_ledger import SOLD_OUT, hold_key
from reservation.lua import text
from reservation.redis_hold import RedisHold
from reservation.redis_terms import COMMON_CHOICES, COMMON_DEFAULTS, required_redis


class BlindLedger:
    """A key with a TTL per hold, and nothing that counts them."""

    def __init__(self, redis: Redis, clock: Clock, *, ttl_s: float) -> None:
        """Use `redis`, and `clock` to tell the buyer a deadline."""
        self._redis = redis
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)

    def place(self, request: HoldRequest, remaining: int | None) -> int:
        """Write the hold if the stock covers it alone."""
        key = hold_key(request.event_id, request.hold_id)
        deadline_ms = round(self._clock.now() * 1000) + self._ttl_ms
        value = f"{deadline_ms}:{request.quantity}:{request.customer_id}"
        with redis_writing():
            if remaining is None or remaining < request.quantity:
                return self._deadline(key) or SOLD_OUT
            if self._redis.set(key, value, nx=True, px=self._ttl_ms):
                return deadline_ms
            return self._deadline(key) or deadline_ms

    def _deadline(self, key: str) -> int | None:
        """Read the deadline of a hold that was placed before."""
        value = self._redis.get(key)
        return None if value is None else int(text(value).partition(":")[0])

    def is_live(self, hold: Hold) -> bool:
        """Say whether the hold's key is there."""
        with redis_reading():
            value = self._redis.get(hold_key(hold.event_id, hold.hold_id))
        terms = f"{hold.quantity}:{hold.customer_id}"
        return value is not None and text(value).partition(":")[2] == terms

    def drop(self, hold: Hold, remaining_after: int | None = None) -> None:  # noqa: ARG002  no floor
        """Delete the hold's key; its name is this hold's alone."""
        with redis_writing():
            self._redis.delete(hold_key(hold.event_id, hold.hold_id))

    def view(self, event_id: int, remaining: int) -> tuple[int, int]:
        """Count the held tickets by a scan; all that remains is offered all the same."""
        with redis_reading():
            held = sum(self._quantities(event_id))
        return remaining, held

    def _quantities(self, event_id: int) -> Iterator[int]:
        for key in self._redis.scan_iter(match=hold_key(event_id, "*"), count=1000):
            value = self._redis.get(key)
            if value is not None:
                yield int(text(value).split(":", 2)[1])

    def forget_stock(self, event_id: int) -> None:
        """Do nothing: no stock is remembered."""


def _build(stores: Stores, options: dict[str, Any]) -> RedisHold:
    redis = required_redis(stores, "redis-hold-blind")
    ledger = BlindLedger(redis, stores.clock, ttl_s=float(options["ttl_s"]))
    return RedisHold(stores, options, ledger=ledger, deduct=deduct)


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="redis-hold-blind",
        summary="flow 2 read literally: remaining_ticket is checked, other holds are not counted",
        uses_redis=True,
        admits=frozenset({AdmissionKind.GENERAL}),
        defaults=COMMON_DEFAULTS,
        choices=dict(COMMON_CHOICES),
        build=_build,
        known_bad="it holds more tickets than there are, because holds are not counted",
    ),
)
