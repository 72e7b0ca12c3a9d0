"""Live holds in Redis: a key with a TTL per hold, counted by a sorted set of deadlines per event.

Keys of event 7 (the braces keep them on one node of a Redis Cluster):

| key                | type       | holds                                                         |
|--------------------|------------|---------------------------------------------------------------|
| `hold:{7}:<id>`    | string, TTL| `deadline_ms:quantity:customer`; what a checkout reads        |
| `holds:{7}`        | sorted set | `quantity:<id>`, scored by the deadline in milliseconds       |
| `held:{7}`         | integer    | the sum of the quantities in the sorted set                   |
| `floor:{7}`        | integer,TTL| the lowest `remaining_ticket` a committed order has reported  |
| `remaining:{7}`    | integer,TTL| a copy of `remaining_ticket` (only with stock_check = cache)  |

TTL keys alone cannot be counted without a scan, and the sorted set alone does not clean itself up
for readers; together a hold costs O(log n) plus the holds that have just expired, each purged once.
Every script decides and writes in one step, uses Redis's own clock, and may be sent twice: the
second run finds what the first one did.

The floor closes a gap in flow 2 itself. A request reads `remaining_ticket`, then a sale commits and
drops its hold, then the request's script runs: it would see the old stock without the hold that
covered the sale, and hold sold tickets (B25). So the sale's drop leaves the remaining stock behind,
in the same step in which the hold stops counting. It lasts a minute, far longer than a request may
sit between its two steps; a raised `remaining_ticket` counts after that minute, or at once after
`open_sale`.
"""

from dataclasses import dataclass

from redis import Redis
from redis.client import Pipeline

from reservation.api import Hold, HoldRequest
from reservation.boundary import redis_reading, redis_writing
from reservation.lua import Script, text

SOLD_OUT = 0
STOCK_UNKNOWN = -1

_FLOOR_MS = 60_000

# Purge what has expired from the sorted set KEYS[1], given the total `held` (KEYS[2]).
_PURGE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
for _, member in ipairs(due) do
  held = held - tonumber(string.match(member, '^%d+'))
end
if #due > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
  redis.call('SET', KEYS[2], held)
end
"""

# KEYS: deadlines, held, floor, hold, cached stock
# ARGV: member, quantity, ttl ms, customer, remaining or '', cache ms
_PLACE = Script(
    """
local found = redis.call('MGET', KEYS[4], KEYS[2], KEYS[3], KEYS[5])
if found[1] then
  return tonumber(string.match(found[1], '^%d+'))
end
local remaining = tonumber(ARGV[5])
if not remaining then
  if not found[4] then return -1 end
  remaining = tonumber(found[4])
elseif tonumber(ARGV[6]) > 0 then
  redis.call('SET', KEYS[5], remaining, 'PX', ARGV[6])
end
if found[3] then remaining = math.min(remaining, tonumber(found[3])) end
local held = tonumber(found[2] or 0)
"""
    + _PURGE
    + """
local quantity = tonumber(ARGV[2])
if remaining - held < quantity then return 0 end
local deadline = now + tonumber(ARGV[3])
local value = string.format('%.0f', deadline) .. ':' .. ARGV[2] .. ':' .. ARGV[4]
redis.call('SET', KEYS[4], value, 'PXAT', deadline)
if redis.call('ZADD', KEYS[1], deadline, ARGV[1]) == 1 then
  redis.call('SET', KEYS[2], held + quantity)
end
return deadline
"""
)

# KEYS: deadlines, held, floor, hold
# ARGV: member, quantity, remaining after the sale or '', floor ms
_DROP = Script(
    """
redis.call('DEL', KEYS[4])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  redis.call('DECRBY', KEYS[2], ARGV[2])
end
local after = tonumber(ARGV[3])
if after then
  local floor = tonumber(redis.call('GET', KEYS[3]) or after)
  redis.call('SET', KEYS[3], math.min(floor, after), 'PX', ARGV[4])
end
return 1
"""
)

# KEYS: deadlines, held, floor
_COUNT = Script(
    """
local held = tonumber(redis.call('GET', KEYS[2]) or 0)
"""
    + _PURGE
    + """
return {held, now, redis.call('GET', KEYS[3])}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Live held tickets at a moment of Redis's clock, and the floor under the stock, if any."""

    held: int
    now_ms: int
    floor: int | None


class HoldLedger:
    """The holds of every event in one Redis, placed and dropped atomically."""

    def __init__(self, redis: Redis, *, ttl_s: float, cache_s: float = 0.0) -> None:
        """Use `redis`; `cache_s` is how long a copy of `remaining_ticket` may be believed."""
        self._redis = redis
        self._ttl_ms = round(ttl_s * 1000)
        self._cache_ms = round(cache_s * 1000)

    def place(self, request: HoldRequest, remaining: int | None) -> int:
        """Write the hold if `remaining` covers it beside the live ones; None asks the cached copy.

        Returns:
            its deadline in epoch milliseconds (that of the first time, when it is placed again),
            or SOLD_OUT, or STOCK_UNKNOWN when there is no cached copy.

        Raises:
            NotApplied, UnknownOutcome: Redis failed.
        """
        event = request.event_id
        keys = [*_event_keys(event), hold_key(event, request.hold_id), _cache_key(event)]
        arguments: list[str | int] = [
            _member(request),
            request.quantity,
            self._ttl_ms,
            request.customer_id,
            "" if remaining is None else remaining,
            self._cache_ms,
        ]
        with redis_writing():
            return int(_PLACE(self._redis, keys, arguments))

    def is_live(self, hold: Hold) -> bool:
        """Say whether the hold is there, for this customer and this quantity.

        Raises:
            NotApplied: Redis failed.
        """
        with redis_reading():
            value = self._redis.get(hold_key(hold.event_id, hold.hold_id))
        terms = f"{hold.quantity}:{hold.customer_id}"
        return value is not None and text(value).partition(":")[2] == terms

    def drop(self, hold: Hold, remaining_after: int | None = None) -> None:
        """Stop counting a hold, once, however often this is called.

        `remaining_after` is what its sale left in the database, None when nothing was sold.

        Raises:
            NotApplied, UnknownOutcome: Redis failed.
        """
        keys = [*_event_keys(hold.event_id), hold_key(hold.event_id, hold.hold_id)]
        after = "" if remaining_after is None else remaining_after
        with redis_writing():
            _DROP(self._redis, keys, [_member(hold), hold.quantity, after, _FLOOR_MS])

    def count(self, event_id: int) -> Count:
        """Count the live held tickets, purging what has expired.

        Raises:
            NotApplied: Redis failed; a purge that happened all the same changes no answer.
        """
        with redis_reading():
            held, now_ms, floor = _COUNT(self._redis, _event_keys(event_id), [])
        return Count(
            held=int(held), now_ms=int(now_ms), floor=None if floor is None else int(floor)
        )

    def view(self, event_id: int, remaining: int) -> tuple[int, int]:
        """Say how many tickets a new hold could get and how many live holds keep.

        Raises:
            NotApplied: Redis failed.
        """
        held = self.count(event_id).held
        return remaining - held, held

    def forget_stock(self, event_id: int) -> None:
        """Drop the cached copy and the floor, so that the next hold reads the database afresh.

        Raises:
            NotApplied, UnknownOutcome: Redis failed.
        """
        with redis_writing():
            self._redis.delete(_cache_key(event_id), _event_keys(event_id)[2])

    def write(self, pipe: Pipeline, request: HoldRequest, count: Count) -> int:
        """Queue the writes of a hold on `pipe` without looking: for strategies that check before.

        Returns:
            the deadline in epoch milliseconds.
        """
        deadline_ms = count.now_ms + self._ttl_ms
        deadlines, held, _ = _event_keys(request.event_id)
        value = f"{deadline_ms}:{request.quantity}:{request.customer_id}"
        pipe.set(hold_key(request.event_id, request.hold_id), value, pxat=deadline_ms)
        pipe.zadd(deadlines, {_member(request): deadline_ms})
        pipe.incrby(held, request.quantity)
        return deadline_ms


def hold_key(event_id: int, hold_id: str) -> str:
    """Name the TTL key of one hold."""
    return f"hold:{{{event_id}}}:{hold_id}"


def total_key(event_id: int) -> str:
    """Name the key that every change of an event's holds also changes (what to WATCH)."""
    return f"held:{{{event_id}}}"


def _event_keys(event_id: int) -> tuple[str, str, str]:
    return f"holds:{{{event_id}}}", total_key(event_id), f"floor:{{{event_id}}}"


def _cache_key(event_id: int) -> str:
    return f"remaining:{{{event_id}}}"


def _member(hold: Hold | HoldRequest) -> str:
    return f"{hold.quantity}:{hold.hold_id}"
