"""Thirty kills for each persistence: how often the container forgets what it had acknowledged."""

import logging
import random
import time
from threading import Thread

import pytest
import redis

from chaos.faults import Death, RedisDeath
from chaos.persistence import Persistence
from chaos.stacks.compose import ComposeStack
from chaos.stacks.contract import Endpoints
from properties.statistics import interval_95, upper_bound_95
from tests.live.asking import redis_client

KILLS = 30
FORGETS_ALL = {Persistence.NONE, Persistence.RDB}  # no snapshot is due within a second
logger = logging.getLogger(__name__)


class Writer:
    """A client that writes one key after another until its connection breaks."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.acknowledged = 0
        self._client = redis_client(endpoints.redis_url)
        self._thread = Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        try:
            while True:
                self._client.set(f"hold:{self.acknowledged}", "held", px=600_000)
                self.acknowledged += 1
        except redis.RedisError:
            self._client.close()

    def await_end(self) -> int:
        """Wait until its connection is broken; return how many writes were acknowledged."""
        self._thread.join(10.0)
        assert not self._thread.is_alive()
        return self.acknowledged


def killed_once(stack: ComposeStack, persistence: Persistence, wait_s: float) -> tuple[int, int]:
    """Kill Redis while it is written to; return how much was acknowledged, and how much is lost.

    One write more may survive than was acknowledged: its outcome is unknown.
    """
    endpoints = stack.renew(persistence)
    writer = Writer(endpoints)
    time.sleep(wait_s)
    breakage = stack.strike(RedisDeath(death=Death.SIGKILL, down_s=1.0))
    acknowledged = writer.await_end()
    breakage.heal()
    with redis_client(endpoints.direct_redis_url) as client:
        names = [f"hold:{number}" for number in range(acknowledged)]
        kept = client.exists(*names)
        assert client.dbsize() <= kept + 1
    return acknowledged, acknowledged - kept


@pytest.mark.extended
@pytest.mark.parametrize("persistence", list(Persistence))
def test_thirty_kills(stack: ComposeStack, persistence: Persistence) -> None:
    """The design's table: `none` and `rdb` lose all that was acknowledged, the three AOFs nothing.

    Nothing in thirty kills is a rate of at most 10 %, with 95 % confidence: the bound is logged.
    """
    chance = random.Random(f"kills {persistence}")
    results = [killed_once(stack, persistence, chance.uniform(0.1, 0.4)) for _ in range(KILLS)]
    assert all(acknowledged > 0 for acknowledged, _ in results)
    losing = sum(1 for _, lost in results if lost)
    low, high = interval_95(losing, KILLS)
    logger.info(
        "%s: %d of %d kills lost acknowledged holds (95 %%: %.2f to %.2f, at most %.2f);"
        " %d of %d acknowledged holds lost",
        persistence,
        losing,
        KILLS,
        low,
        high,
        upper_bound_95(losing, KILLS),
        sum(lost for _, lost in results),
        sum(acknowledged for acknowledged, _ in results),
    )
    for acknowledged, lost in results:
        assert lost == (acknowledged if persistence in FORGETS_ALL else 0)
