"""What every Redis strategy takes and needs: its common options and the client itself."""

from collections.abc import Mapping
from typing import Any

from redis import Redis

from reservation.api import Stores
from reservation.till import TILL_CHOICES, TILL_DEFAULTS

COMMON_DEFAULTS: dict[str, Any] = {
    "ttl_s": 900.0,
    "doubtful_after_s": 300.0,  # a payment pending for longer is settled by the sweeper
    **TILL_DEFAULTS,
}
COMMON_CHOICES: Mapping[str, tuple[Any, ...]] = TILL_CHOICES


def required_redis(stores: Stores, strategy: str) -> Redis:
    """Return the Redis client.

    Raises:
        ValueError: the deployment has none.
    """
    if stores.redis is None:
        raise ValueError(f"{strategy} keeps its holds in Redis: give Stores a Redis client")
    return stores.redis


def refuse_task(strategy: str, name: str, argument: str) -> None:
    """Say that a delayed task is not for this strategy.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{strategy} schedules no delayed tasks, so {name}({argument}) is not its own")
