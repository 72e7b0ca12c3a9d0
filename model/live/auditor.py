"""Opens a sale and reads its end, straight from the servers: never through a proxy or a fault."""

from contextlib import suppress
from typing import Any, Self

import redis
from sqlalchemy import create_engine

from chaos.stacks.contract import Endpoints
from model.audit import read_audit
from model.buyers import EVENT_ID
from model.history import Audit
from model.live.app_server import SkewedClock
from model.live.cloud import LiveCloud
from model.run import insert_stock
from model.spec import RunSpec
from reservation.api import PaymentStatus, Stores, StrategyInfo
from reservation.tables import metadata


class _NoMoney:
    """The auditor takes no payments."""

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        raise NotImplementedError

    def refund(self, key: str) -> PaymentStatus:
        raise NotImplementedError

    def lookup(self, key: str) -> PaymentStatus:
        raise NotImplementedError


class _NoTasks:
    """The auditor schedules nothing."""

    def schedule(self, at: float, name: str, argument: str) -> None:
        raise NotImplementedError


class Auditor:
    """A context manager over the auditor's own connections and its own strategy object."""

    def __init__(
        self,
        endpoints: Endpoints,
        info: StrategyInfo,
        wall_options: dict[str, Any],
    ) -> None:
        self._engine = create_engine(endpoints.direct_database_url, pool_size=1)
        self._redis = (
            redis.Redis.from_url(endpoints.direct_redis_url, protocol=2)
            if info.uses_redis
            else None
        )
        stores = Stores(
            engine=self._engine,
            redis=self._redis,
            payments=_NoMoney(),
            clock=SkewedClock(0.0),
            tasks=_NoTasks(),
        )
        self._strategy = info.build(stores, wall_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._engine.dispose()
        if self._redis is not None:
            with suppress(redis.RedisError):
                self._redis.close()

    def open_sale(self, spec: RunSpec) -> None:
        """Tables, stock, caches."""
        metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            insert_stock(connection, spec.scenario)
        self._strategy.open_sale(EVENT_ID)

    def read(self, cloud: LiveCloud, *, at_s: float, quiet_s: float) -> Audit:
        """The final state: order rows and stock from PostgreSQL, money from the provider."""
        self._engine.dispose()  # the servers may have been restarted since
        return read_audit(self._engine, self._strategy, cloud.ledger, at_s=at_s, quiet_s=quiet_s)
