"""The world of a strategy under test: a real SQLite file, a fake Redis, fakes for the rest."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from sqlalchemy import Engine

from reservation.api import Stores
from reservation.tables import metadata
from reservation.till import Till, TillOptions
from tests.reservation.desk import Desk
from tests.reservation.fakes import FakeClock, FakeGateway, FakeTasks
from tests.reservation.shop import Shop, sqlite_engine


@pytest.fixture
def clock() -> FakeClock:
    """The true time, standing still."""
    return FakeClock()


@pytest.fixture
def gateway() -> FakeGateway:
    """The payment provider."""
    return FakeGateway()


@pytest.fixture
def tasks() -> FakeTasks:
    """The task queue."""
    return FakeTasks()


@pytest.fixture
def engine(tmp_path: Path, clock: FakeClock) -> Iterator[Engine]:
    """The shop's database, empty."""
    engine = sqlite_engine(tmp_path / "shop.sqlite", clock)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def redis_server() -> fakeredis.FakeServer:
    """A Redis server's memory; `connected = False` cuts it off."""
    return fakeredis.FakeServer(version=(7,))


@pytest.fixture
def redis(redis_server: fakeredis.FakeServer, clock: FakeClock) -> Iterator[Any]:
    """A client of that server, whose deadlines run on the fake clock."""
    from model.redis import fakeredis_clock

    class _FakeTime(fakeredis_clock.ServerTime):
        def time(self) -> float:
            return clock.true_s[0]

    fake_time = _FakeTime()
    with pytest.MonkeyPatch.context() as patch:
        for name in fakeredis_clock.install():
            patch.setattr(f"{name}.time", fake_time)
        client = fakeredis.FakeRedis(server=redis_server, decode_responses=False)
        yield client
        client.close()


@pytest.fixture
def shop(
    engine: Engine, redis: Any, clock: FakeClock, gateway: FakeGateway, tasks: FakeTasks
) -> Shop:
    """The whole world, with no event yet: call `open`."""
    stores = Stores(engine=engine, redis=redis, payments=gateway, clock=clock, tasks=tasks)
    return Shop(stores=stores, clock=clock, gateway=gateway, tasks=tasks)


@pytest.fixture
def another_engine(tmp_path: Path, clock: FakeClock, engine: Engine) -> Callable[[], Engine]:
    """Make further engines on the same file: other application servers' pools."""
    return lambda: sqlite_engine(tmp_path / "shop.sqlite", clock)


@pytest.fixture
def make_desk(shop: Shop) -> Callable[..., Desk]:
    """Open the event and make tills with options."""
    shop.open()

    def make(**options: Any) -> Desk:
        return Desk(shop, Till(shop.stores, TillOptions(**options)))

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """A till with every safeguard."""
    return make_desk()
