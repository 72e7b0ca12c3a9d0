"""Soft deduction in Redis: a counter of what may still be held, and the deadlines of what is held.

Keys of event 7:

| key             | type       | holds                                                            |
|-----------------|------------|------------------------------------------------------------------|
| `stock:{7}`     | integer    | tickets a new hold can get                                       |
| `deadlines:{7}` | sorted set | hold ids, scored by their deadline in milliseconds               |
| `soft:{7}`      | hash       | hold id -> `deadline_ms:quantity:customer`                       |
| `seed:{7}`      | integer    | the `remaining_ticket` the counter was seeded from               |
| `settled:{7}`   | sorted set | ids of sold holds, kept an hour so that settling happens once    |
| `floor:{7}`     | integer,TTL| lowest `remaining_ticket` a sale reported while no counter was   |

No key of a hold has a TTL: one that vanished by itself would take its tickets with it (B20). The
reaper moves them back instead.

A sale whose hold is still there only removes it: the counter was lowered when it was held. A sale
whose hold is *not* there any more (reaped during the payment, or lost with Redis and the counter
seeded again) finds its tickets in the counter and takes them out. It knows by comparing what its
own deduction left in the database with the seed: `remaining_ticket` only falls, so a smaller value
means the sale came after the seed was read. Raising `remaining_ticket` therefore needs the counter
deleted and `open_sale` called.

What this cannot mend: a Redis that comes back with an *older* counter (RDB, a lost AOF tail) has
forgotten sales that were settled, and offers their tickets again. The recheck at payment then
refunds those buyers, until somebody deletes the counter. And a Redis that lost its marks, or a copy
of a request that comes more than an hour after its sale, lets a sold hold take tickets once more:
the reaper finds the hold sold and forgets it, tickets and all.
"""

from redis import Redis

from reservation import counter_scripts as scripts
from reservation.api import Hold, HoldRequest
from reservation.boundary import redis_reading, redis_writing
from reservation.lua import text

SOLD_OUT = 0
NOT_SEEDED = -1
SETTLED = -2

_FLOOR_MS = 60_000
SETTLED_FOR_S = 3600.0  # how long it is remembered that a sale was settled
_MARK_MS = round(SETTLED_FOR_S * 1000)


class CounterLedger:
    """The counters and soft holds of every event in one Redis."""

    def __init__(
        self, redis: Redis, *, ttl_s: float, recognise: bool, guarded: bool, recheck: bool
    ) -> None:
        """Use `redis`.

        `recognise` a hold id that was taken before (B28 without); give back only if `guarded` by
        the hold's presence (B21 without); `recheck` the deadline when reaping (B23 without).
        """
        self._redis = redis
        self._ttl_ms = round(ttl_s * 1000)
        self._recognise = recognise
        self._guarded = guarded
        self._recheck = recheck

    def seed(self, event_id: int, remaining: int) -> None:
        """Make the counter from `remaining_ticket`, unless it is there.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        keys = [_stock(event_id), _seed(event_id), _holds(event_id), _floor(event_id)]
        with redis_writing():
            scripts.SEED(self._redis, keys, [remaining])

    def take(self, request: HoldRequest) -> int:
        """Lower the counter and note the hold, in one step.

        Returns:
            the deadline in ms (that of the first time, for an id taken before), SOLD_OUT,
            NOT_SEEDED when there is no counter, or SETTLED when the hold was sold.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        arguments: list[str | int] = [
            request.hold_id,
            request.quantity,
            self._ttl_ms,
            request.customer_id,
            _flag(self._recognise),
        ]
        keys = [*_counter_keys(request.event_id), _settled(request.event_id)]
        with redis_writing():
            return int(scripts.TAKE(self._redis, keys, arguments))

    def take_in_two_steps(self, request: HoldRequest) -> int:
        """As `take`, but lower the counter first and note the hold after (B20).

        A server that dies between the two leaves tickets that nobody holds and nobody gets.
        """
        stock_key, deadlines, holds = _counter_keys(request.event_id)
        with redis_reading(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(holds, request.hold_id)
            pipe.get(stock_key)
            pipe.time()
            mine, stock, (seconds, microseconds) = pipe.execute()
        if mine is not None and self._recognise:
            return int(text(mine).partition(":")[0])
        if stock is None:
            return NOT_SEEDED
        deadline_ms = int(seconds) * 1000 + int(microseconds) // 1000 + self._ttl_ms
        with redis_writing():
            if self._redis.decrby(stock_key, request.quantity) < 0:
                self._redis.incrby(stock_key, request.quantity)
                return SOLD_OUT
            value = f"{deadline_ms}:{request.quantity}:{request.customer_id}"
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.zadd(deadlines, {request.hold_id: deadline_ms})
                pipe.hset(holds, request.hold_id, value)
                pipe.execute()
        return deadline_ms

    def is_live(self, hold: Hold) -> bool:
        """Say whether the hold is there and has not ended.

        Raises:
            NotApplied: Redis failed.
        """
        with redis_reading():
            value = scripts.READ(self._redis, [_holds(hold.event_id)], [hold.hold_id])
        terms = f"{hold.quantity}:{hold.customer_id}"
        return value is not None and text(value).partition(":")[2] == terms

    def release(self, hold: Hold) -> None:
        """Give a hold's tickets back.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        arguments: list[str | int] = [hold.hold_id, hold.quantity, _flag(self._guarded)]
        with redis_writing():
            scripts.RELEASE(self._redis, _counter_keys(hold.event_id), arguments)

    def settle(self, event_id: int, hold_id: str, quantity: int, after: int | None) -> None:
        """Forget a hold that was sold, without giving its tickets back.

        `after` is what its deduction left in the database, None if that is not known.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        keys = [
            *_counter_keys(event_id),
            _seed(event_id),
            _settled(event_id),
            _floor(event_id),
        ]
        arguments: list[str | int] = [hold_id, quantity, "" if after is None else after, _FLOOR_MS]
        with redis_writing():
            scripts.SETTLE(self._redis, keys, arguments)

    def due(self, event_id: int, *, grace_s: float, batch: int) -> dict[str, int]:
        """List up to `batch` holds that ended over `grace_s` ago, earliest first, with quantities.

        Raises:
            NotApplied: Redis failed.
        """
        keys = [_deadlines(event_id), _holds(event_id), _settled(event_id)]
        arguments = [round(grace_s * 1000), batch, _MARK_MS]
        with redis_reading():
            found = [text(item) for item in scripts.DUE(self._redis, keys, arguments)]
        return {
            hold_id: _quantity(value)
            for hold_id, value in zip(found[::2], found[1::2], strict=True)
        }

    def reap(self, event_id: int, due: dict[str, int], *, grace_s: float) -> tuple[int, int]:
        """Give back the tickets of `due` holds; returns how many holds and tickets it was.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        arguments: list[str | int] = [
            round(grace_s * 1000),
            _flag(self._recheck),
            _flag(self._guarded),
        ]
        for hold_id, quantity in due.items():
            arguments += [hold_id, quantity]
        with redis_writing():
            holds, tickets = scripts.REAP(self._redis, _counter_keys(event_id), arguments)
        return int(holds), int(tickets)

    def view(self, event_id: int) -> tuple[int | None, dict[str, int]]:
        """Read the counter (None: not seeded) and every hold with its quantity, for audits.

        Raises:
            NotApplied: Redis failed.
        """
        with redis_reading(), self._redis.pipeline(transaction=True) as pipe:
            pipe.get(_stock(event_id))
            pipe.hgetall(_holds(event_id))
            stock, holds = pipe.execute()
        quantities = {text(key): _quantity(text(value)) for key, value in holds.items()}
        return (None if stock is None else int(stock)), quantities


def _quantity(value: str) -> int:
    """Read the quantity out of a hold's value; a hold without a value has none to give back."""
    return int(value.split(":", 2)[1]) if value else 0


def _flag(on: bool) -> str:  # noqa: FBT001  a name for the scripts' "1" and "0"
    return "1" if on else "0"


def _counter_keys(event_id: int) -> tuple[str, str, str]:
    return _stock(event_id), _deadlines(event_id), _holds(event_id)


def _stock(event_id: int) -> str:
    return f"stock:{{{event_id}}}"


def _deadlines(event_id: int) -> str:
    return f"deadlines:{{{event_id}}}"


def _holds(event_id: int) -> str:
    return f"soft:{{{event_id}}}"


def _seed(event_id: int) -> str:
    return f"seed:{{{event_id}}}"


def _settled(event_id: int) -> str:
    return f"settled:{{{event_id}}}"


def _floor(event_id: int) -> str:
    return f"floor:{{{event_id}}}"
