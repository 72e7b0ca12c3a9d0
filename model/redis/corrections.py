"""Where fakeredis answers otherwise than Redis does; found by the differential test, and mended.

`tests/conformance` holds the simulated Redis against real ones; `tests/regressions` holds a line
for each of these.
"""

from math import inf
from typing import Any

from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket

from model.redis.refusals import refuse_unsupported

_LEAST = -(2**63)
_MOST = 2**63 - 1


class CorrectedSocket(FakeSocket):
    """A fakeredis socket that keeps to Redis where fakeredis does not."""

    _asked: list[bytes]
    _first_deadline = inf
    """The first of the deadlines that watched keys had when they were watched."""

    def decrby(self, key: Any, amount: int) -> Any:
        """DECRBY; its amount is negated, which the smallest integer does not survive."""
        if amount == _LEAST:
            raise SimpleError("ERR decrement would overflow")
        return super().decrby(key, amount)

    def expire(self, key: Any, seconds: int, *options: bytes) -> Any:
        """EXPIRE, of a time that can be counted in milliseconds."""
        _refuse_beyond("expire", seconds * 1000, self._now_ms())
        return super().expire(key, seconds, *options)

    def pexpire(self, key: Any, ms: int, *options: bytes) -> Any:
        """PEXPIRE, within the range of a 64-bit integer."""
        _refuse_beyond("pexpire", ms, self._now_ms())
        return super().pexpire(key, ms, *options)

    def expireat(self, key: Any, timestamp: int, *options: bytes) -> Any:
        """EXPIREAT, of a time that can be counted in milliseconds."""
        _refuse_beyond("expireat", timestamp * 1000, 0)
        return super().expireat(key, timestamp, *options)

    def setex(self, key: Any, seconds: int, value: bytes) -> Any:
        """SETEX; fakeredis drops the fraction of the second in which the key ends."""
        done = super().setex(key, seconds, value)
        key.expireat = self._db.time + seconds
        return done

    def psetex(self, key: Any, ms: int, value: bytes) -> Any:
        """PSETEX; as SETEX: a key of half a second could be gone at once."""
        done = super().psetex(key, ms, value)
        key.expireat = self._db.time + ms / 1000.0
        return done

    def getex(self, key: Any, *options: bytes) -> Any:
        """GETEX; as SETEX, and of no key it is nothing, whatever the time asked for."""
        timed = len(options) == 2 and options[0].upper() in {b"EX", b"PX", b"EXAT", b"PXAT"}  # noqa: PLR2004
        if timed and not key:
            return None
        value = super().getex(key, *options)
        if timed and options[0].upper() != b"EXAT":
            number = int(options[1])
            key.expireat = {
                b"EX": self._db.time + number,
                b"PX": self._db.time + number / 1000.0,
                b"PXAT": number / 1000.0,
            }[options[0].upper()]
        return value

    def watch(self, *keys: Any) -> Any:
        """WATCH; the end of a key's deadline is a change like any other."""
        done = super().watch(*keys)
        deadlines = [key.expireat for key in keys if key and key.expireat is not None]
        self._first_deadline = min([*deadlines, self._first_deadline])
        return done

    def exec_(self) -> Any:
        """EXEC, unless a watched key ended meanwhile."""
        if self._first_deadline < self._db.time:
            self._watch_notified = True
        return super().exec_()

    def _clear_watches(self) -> None:
        self._first_deadline = inf
        super()._clear_watches()

    def _expireat(self, key: Any, timestamp: float, *options: bytes) -> Any:
        """What should have ended by now ends at once, also within the same millisecond."""
        changed = super()._expireat(key, timestamp, *options)
        if changed and timestamp <= self._db.time:
            key.value = None
        return changed

    def _ttl(self, key: Any, scale: float) -> int:
        """TTL adds half a second and cuts; fakeredis rounds half a second to the even one."""
        if not key or key.expireat is None:
            return int(super()._ttl(key, scale))
        left_ms: int = round((key.expireat - self._db.time) * 1000)
        return left_ms if scale == 1000 else (left_ms + 500) // 1000  # noqa: PLR2004 - PTTL

    def _now_ms(self) -> int:
        return int(self._db.time * 1000)

    def _unknown_command(self, command: str, args: str | None = None) -> Any:
        """Redis's words for what Redis does not know; what only fakeredis lacks is refused.

        Raises:
            UnsupportedCommand: a real server knows it.
        """
        words = command.split() or [""]
        refuse_unsupported(words[0].upper())
        if len(words) > 1:
            return super()._unknown_command(command, args)
        name, *given = [word.decode(errors="replace") for word in self._asked]
        echoed = "".join(f"'{word}' " for word in given)
        return SimpleError(f"ERR unknown command '{name}', with args beginning with: {echoed}")


def _refuse_beyond(command: str, ms: int, now_ms: int) -> None:
    if not _LEAST <= ms <= _MOST - now_ms:
        raise SimpleError(f"ERR invalid expire time in '{command}' command")
