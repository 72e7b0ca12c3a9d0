"""Lua scripts that run on Redis as one step, called by their hash."""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError


class Script:
    """A Lua script, called with EVALSHA and sent in full only when the server does not know it.

    A restarted Redis has forgotten its scripts, so the fallback is part of every call and not of a
    start-up step. EVAL then both runs and remembers the script: one round trip more, once.
    """

    def __init__(self, text: str) -> None:
        """Keep the text and compute its hash, which is the name Redis gives the script."""
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, redis: Redis, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """Run on `redis`; every key the script touches must be among `keys`."""
        given: list[Any] = [*keys, *arguments]
        try:
            return redis.evalsha(self._sha, len(keys), *given)
        except NoScriptError:
            return redis.eval(self._text, len(keys), *given)


def text(value: Any) -> str:
    """Read a Redis string reply, whether or not the client decodes replies itself."""
    return value.decode() if isinstance(value, bytes) else str(value)
