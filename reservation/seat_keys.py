"""Held seats in Redis: one key per seat, `seat:{event}:A1` -> `deadline_ms:<hold id>`, with a TTL.

The hold id is the owner's token. All seats of a hold are taken in one script, so it is all or
nothing without compensation: a server that dies cannot leave half a party seated.
"""

from redis import Redis

from reservation.api import Clock, Hold, HoldRequest
from reservation.boundary import redis_reading, redis_writing
from reservation.errors import NotApplied, UnknownOutcome
from reservation.lua import Script, text

TAKEN = 0

# KEYS: the seats. ARGV: hold id, ttl ms, "1" to know its own token
_TAKE = Script(
    """
local values = redis.call('MGET', unpack(KEYS))
local mine, deadline = 0, 0
for i = 1, #KEYS do
  if values[i] then
    local ends, owner = string.match(values[i], '^(%d+):(.*)$')
    if owner ~= ARGV[1] or ARGV[3] ~= '1' then return 0 end
    mine, deadline = mine + 1, tonumber(ends)
  end
end
if mine == #KEYS then return deadline end
local clock = redis.call('TIME')
deadline = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])
local value = string.format('%.0f', deadline) .. ':' .. ARGV[1]
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], value, 'PXAT', deadline)
end
return deadline
"""
)

# KEYS: the seats. ARGV: hold id
_RELEASE = Script(
    """
local values = redis.call('MGET', unpack(KEYS))
local released = 0
for i = 1, #KEYS do
  if values[i] and string.match(values[i], '^%d+:(.*)$') == ARGV[1] then
    released = released + redis.call('DEL', KEYS[i])
  end
end
return released
"""
)


class SeatKeys:
    """The seat keys of every event in one Redis."""

    def __init__(
        self, redis: Redis, clock: Clock, *, ttl_s: float, recognise: bool, by_token: bool
    ) -> None:
        """Use `redis`; `clock` only tells the deadline of `take_in_two_steps`.

        `recognise` a seat that carries the asker's own token (B29 without); release only seats
        that do (`by_token`, B05 without).
        """
        self._redis = redis
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)
        self._recognise = recognise
        self._by_token = by_token

    def take(self, request: HoldRequest) -> int:
        """Take every seat or none.

        Returns:
            the deadline in ms (that of the first time, when they are this hold's already), or
            TAKEN.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        recognise = "1" if self._recognise else "0"
        with redis_writing():
            return int(
                _TAKE(self._redis, _keys(request), [request.hold_id, self._ttl_ms, recognise])
            )

    def take_in_two_steps(self, request: HoldRequest) -> int:
        """As `take`, with SETNX and then PEXPIRE, seat by seat in order (B02).

        A server that dies between the two leaves a seat that nobody can ever hold again.
        """
        deadline_ms = round(self._clock.now() * 1000) + self._ttl_ms
        value = f"{deadline_ms}:{request.hold_id}"
        taken: list[str] = []
        with redis_writing():
            for key in sorted(_keys(request)):
                if not self._redis.setnx(key, value):
                    found = self._redis.get(key)
                    if not (self._recognise and _owner(found) == request.hold_id):
                        if taken:
                            self._redis.delete(*taken)
                        return TAKEN
                    deadline_ms = int(text(found).partition(":")[0])
                else:
                    taken.append(key)
                self._redis.pexpire(key, self._ttl_ms)
        return deadline_ms

    def are_mine(self, hold: Hold) -> bool:
        """Say whether every seat of the hold carries its token.

        Raises:
            NotApplied: Redis failed.
        """
        with redis_reading():
            values = self._redis.mget(_keys(hold))
        return all(_owner(value) == hold.hold_id for value in values)

    def release(self, hold: Hold | HoldRequest) -> None:
        """Free the hold's seats, by token; seats that have gone to others stay theirs.

        Raises:
            UnknownOutcome, NotApplied: Redis failed.
        """
        with redis_writing():
            if self._by_token:
                _RELEASE(self._redis, _keys(hold), [hold.hold_id])
            else:
                self._redis.delete(*_keys(hold))

    def undo(self, request: HoldRequest) -> None:
        """Free the seats of a request that is refused after they were taken.

        Raises:
            UnknownOutcome: Redis failed, and the seats may be held.
        """
        try:
            self.release(request)
        except NotApplied as error:
            raise UnknownOutcome(f"hold {request.hold_id} may be left: {error}") from error

    def held(self, event_id: int, seat_nos: list[str]) -> set[str]:
        """Say which of the seats are held by anybody.

        Raises:
            NotApplied: Redis failed.
        """
        if not seat_nos:
            return set()
        with redis_reading():
            values = self._redis.mget([_key(event_id, seat_no) for seat_no in seat_nos])
        return {
            seat_no for seat_no, value in zip(seat_nos, values, strict=True) if value is not None
        }


def _key(event_id: int, seat_no: str) -> str:
    return f"seat:{{{event_id}}}:{seat_no}"


def _keys(hold: Hold | HoldRequest) -> list[str]:
    return [_key(hold.event_id, seat_no) for seat_no in hold.seats]


def _owner(value: bytes | str | None) -> str | None:
    return None if value is None else text(value).partition(":")[2]
