"""One strategy on the simulated stores, called directly.

No request runs, so everything is done at once, and the virtual clock moves by hand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import redis
from sqlalchemy import func, insert, select

from chaos.faults import Death, Target
from chaos.persistence import Persistence
from model.buyers import EVENT_ID, seat_names
from model.kernel import EPOCH_S, Kernel
from model.link import Link, ReplyLost
from model.redis.client import SimulatedConnection
from model.scenario import Scenario
from model.servers import Cloud
from model.spec import RunSpec
from reservation.api import (
    AdmissionKind,
    Availability,
    PaymentStatus,
    PaymentTimeout,
    Strategy,
)
from reservation.catalogue import find, resolve_options
from reservation.tables import events, metadata, order_items, orders, seats

TTL_S = 100.0
SERVERS = 2


class Replies:
    """Loses one reply on its way from any store, or from the provider: the effect has happened."""

    def __init__(self, links: list[Link]) -> None:
        self._left: int | None = None
        self.lost = 0
        for link in links:
            # The provider's own client would first wait for its timeout, and nothing waits here.
            error = PaymentTimeout if link.target is Target.PAYMENT else ReplyLost
            link.reply = partial(self._reply, error)  # type: ignore[method-assign]

    @contextmanager
    def losing(self, nth: int) -> Iterator[None]:
        """Within, the reply to the crossing number `nth` (from 0) is lost, if it comes to that."""
        self._left = nth
        read = SimulatedConnection.read_response

        def read_or_lose(connection: Any, *args: Any, **kwargs: Any) -> Any:
            """Outside a request the client of Redis crosses no link."""
            try:
                self._reply(ReplyLost, "redis")
            except ReplyLost as error:
                connection.disconnect()
                raise redis.ConnectionError("Connection closed by server.") from error
            return read(connection, *args, **kwargs)

        try:
            with patch.object(SimulatedConnection, "read_response", read_or_lose):
                yield
        finally:
            self._left = None

    def _reply(self, error: type[Exception], label: str, *_times_s: float) -> None:
        if self._left is None or label in {"CONNECT", "ROLLBACK"}:
            return
        self._left -= 1
        if self._left < 0:
            self._left = None
            self.lost += 1
            raise error(label)


class Shop:
    """A deployment of two application servers and one event."""

    def __init__(
        self,
        strategy: str,
        *,
        capacity: int,
        kind: AdmissionKind = AdmissionKind.GENERAL,
        persistence: Persistence = Persistence.AOF_ALWAYS,
        options: dict[str, object] | None = None,
        redis_retries: int = 3,
    ) -> None:
        info = find(strategy)
        scenario = Scenario.model_validate(
            {
                "name": "machine",
                "sale": {"capacity": capacity, "kind": kind},
                "hold": {"ttl_s": TTL_S},
                "payment": {"challenged": 0.0, "plain_s": 0.001},
                "servers": {
                    "count": SERVERS,
                    "clock_skew_sd_s": 0.0,
                    "redis_retries": redis_retries,
                },
            }
        )
        spec = RunSpec(
            scenario=scenario,
            strategy=strategy,
            seed=1,
            persistence=persistence if info.uses_redis else None,
        )
        given = {"ttl_s": TTL_S, **(options or {})}
        self.kernel = Kernel()
        self.cloud = Cloud(self.kernel, spec, info, resolve_options(info, given))
        self.cloud.tasks.on_due = lambda name, argument: self.strategy(0).run_task(name, argument)
        self.seats = seat_names(capacity, 20) if kind is AdmissionKind.SEATS else ()
        self.meanwhile: Callable[[], None] | None = None
        provider = self.cloud.provider
        self._capture = provider.capture
        provider.capture = self._capture_slowly  # type: ignore[method-assign]
        self.replies = Replies([self.cloud.database_link, provider.link])
        self._fill(capacity)
        self.strategy(0).open_sale(EVENT_ID)

    def _fill(self, capacity: int) -> None:
        engine = self.cloud.servers[0].engine
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(
                insert(events).values(
                    id=EVENT_ID, capacity=capacity, remaining_ticket=capacity, price_cents=5000
                )
            )
            for name in self.seats:
                row = {"event_id": EVENT_ID, "seat_no": name, "status": "available"}
                connection.execute(insert(seats).values(**row))

    def _capture_slowly(self, key: str, amount_cents: int) -> PaymentStatus:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._capture(key, amount_cents)

    def strategy(self, server: int) -> Strategy:
        """The strategy on one of the servers."""
        return self.cloud.servers[server].strategy

    @property
    def now_s(self) -> float:
        """Seconds after the opening."""
        return self.kernel.now

    def epoch_s(self) -> float:
        """What every clock says."""
        return EPOCH_S + self.now_s

    def pass_time(self, seconds: float) -> None:
        """Let virtual time pass; delayed tasks run when they are due."""
        self.kernel.env.run(until=self.now_s + seconds)

    def crash(self, death: Death) -> None:
        """Redis dies and is back at once, with what its disk kept."""
        assert self.cloud.redis is not None
        self.cloud.redis.die(death)
        self.cloud.redis.start()

    def restart(self, server: int) -> None:
        """An application server starts afresh."""
        self.cloud.servers[server].kill()
        self.cloud.servers[server].start()

    def view(self, server: int) -> Availability:
        """The stock as the strategy sees it."""
        return self.strategy(server).availability(EVENT_ID)

    def orders(self) -> int:
        """Count the orders."""
        return self._scalar(select(func.count()).select_from(orders))

    def remaining(self) -> int:
        """Read the database's counter."""
        return self._scalar(select(events.c.remaining_ticket))

    def sold_seats(self) -> list[str]:
        """List the seats in orders."""
        with self.cloud.servers[0].engine.connect() as connection:
            found = connection.execute(select(order_items.c.seat_no)).scalars()
            return [str(seat) for seat in found if seat is not None]

    def kept_payments(self) -> int:
        """Count the payments that were captured and not refunded."""
        ledger = self.cloud.provider.ledger.values()
        return sum(entry.status is PaymentStatus.CAPTURED for entry in ledger)

    def close(self) -> None:
        """Remove everything."""
        self.cloud.close()

    def _scalar(self, query: object) -> int:
        with self.cloud.servers[0].engine.connect() as connection:
            return int(connection.execute(query).scalar_one())  # type: ignore[call-overload]
