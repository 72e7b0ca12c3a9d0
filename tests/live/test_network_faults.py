"""Toxiproxy between the application and the stores: each fault is seen, and heals."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
import redis
import sqlalchemy

from chaos.faults import Fault, Partition, ProxyDown, Slow, Target, Toxic
from chaos.stacks.contract import StackBroken
from chaos.stacks.embedded import EmbeddedStack
from chaos.toxics import Direction, ToxicKind
from tests.live.asking import (
    FAILURES,
    Asker,
    asker,
    connect,
    greet,
    port_of,
    redis_client,
    seconds,
)

pytestmark = [pytest.mark.toxiproxy, pytest.mark.usefixtures("toxiproxy")]

STORES = [Target.REDIS, Target.DATABASE]
UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM


def toxic(target: Target, kind: ToxicKind, direction: Direction, **attributes: float) -> Toxic:
    """A toxic on every connection."""
    return Toxic(
        target=target,
        kind=kind,
        direction=direction,
        attributes=tuple(attributes.items()),
        duration_s=1.0,
    )


@pytest.fixture(params=STORES)
def target(request: pytest.FixtureRequest) -> Target:
    """Each store in turn."""
    store: Target = request.param
    return store


@pytest.fixture
def client(embedded: EmbeddedStack, target: Target) -> Iterator[Asker]:
    """A client with an open, warm connection."""
    found = asker(target, embedded.endpoints)
    found.write()
    found.read()
    yield found
    found.close()


def heal_and_prove(
    embedded: EmbeddedStack, target: Target, breakage_heal: Callable[[], None]
) -> None:
    """Heal twice; then nothing is left and a new client is served at once."""
    breakage_heal()
    breakage_heal()
    embedded.check()
    fresh = asker(target, embedded.endpoints)
    before = fresh.written()
    assert seconds(fresh.write) < 0.5
    assert fresh.written() == before + 1
    fresh.close()


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (ToxicKind.LATENCY, {"latency": 150.0, "jitter": 30.0}),
        (ToxicKind.BANDWIDTH, {"rate": 1.0}),
        (ToxicKind.SLICER, {"average_size": 8.0, "size_variation": 2.0, "delay": 20_000.0}),
    ],
)
def test_what_slows_a_connection_down(
    embedded: EmbeddedStack,
    target: Target,
    client: Asker,
    kind: ToxicKind,
    attributes: dict[str, float],
    direction: Direction,
) -> None:
    """Reading 300 bytes takes longer by what the toxic says; the answers stay right."""
    breakage = embedded.strike(toxic(target, kind, direction, **attributes))
    slow_s = seconds(client.read)
    client.write()
    assert client.written() == 2
    heal_and_prove(embedded, target, breakage.heal)
    assert slow_s > least_s(kind, direction)


def least_s(kind: ToxicKind, direction: Direction) -> float:
    """How long a question of about 40 bytes with an answer of 300 takes at least, in seconds."""
    if kind is ToxicKind.LATENCY:
        return 0.119
    return {UP: 0.02, DOWN: 0.25}[direction]


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (ToxicKind.RESET_PEER, {"timeout": 0.0}),
        (ToxicKind.TIMEOUT, {"timeout": 100.0}),
        (ToxicKind.LIMIT_DATA, {"bytes": 3.0}),
    ],
)
@pytest.mark.parametrize("direction", Direction)
def test_what_cuts_a_connection(
    embedded: EmbeddedStack,
    target: Target,
    client: Asker,
    kind: ToxicKind,
    attributes: dict[str, float],
    direction: Direction,
) -> None:
    """Downstream the effect has happened and its reply is lost; upstream there is no effect."""
    breakage = embedded.strike(toxic(target, kind, direction, **attributes))
    with pytest.raises(FAILURES):
        client.write()
    assert client.written() == (2 if direction is DOWN else 1)
    heal_and_prove(embedded, target, breakage.heal)


@pytest.mark.parametrize("direction", Direction)
def test_a_connection_that_closes_slowly(embedded: EmbeddedStack, direction: Direction) -> None:
    """The end of a connection arrives late: the server's at the client, or the client's there."""
    breakage = embedded.strike(toxic(Target.REDIS, ToxicKind.SLOW_CLOSE, direction, delay=400.0))
    address = ("127.0.0.1", port_of(embedded.endpoints.redis_url))
    with socket.create_connection(address, timeout=5.0) as connection:
        if direction is DOWN:
            connection.sendall(b"QUIT\r\n")
            assert connection.recv(16) == b"+OK\r\n"
        else:
            connection.shutdown(socket.SHUT_WR)
        assert seconds(lambda: connection.recv(16)) > 0.3
    heal_and_prove(embedded, Target.REDIS, breakage.heal)


def test_slow_is_latency_on_each_leg(
    embedded: EmbeddedStack, target: Target, client: Asker
) -> None:
    """There and back each take 80 ms longer."""
    breakage = embedded.strike(Slow(target=target, extra_s=0.08, duration_s=1.0))
    assert 0.16 <= seconds(client.read) < 0.8
    heal_and_prove(embedded, target, breakage.heal)


@pytest.mark.parametrize(
    ("fault", "met"),
    [(Partition, "silent"), (ProxyDown, "refused")],
)
def test_what_nobody_comes_through(
    embedded: EmbeddedStack, target: Target, fault: type[Partition | ProxyDown], met: str
) -> None:
    """Behind a partition nothing answers; without a proxy connections are refused.

    The way round the proxy stays open: audits and checks use it.
    """
    endpoints = embedded.endpoints
    redis_is_it = target is Target.REDIS
    near = port_of(endpoints.redis_url if redis_is_it else endpoints.database_url)
    direct = port_of(endpoints.direct_redis_url if redis_is_it else endpoints.direct_database_url)
    assert greet(target, near) == "answers"
    breakage = embedded.strike(fault(target=target, duration_s=1.0))
    assert greet(target, near) == met
    assert greet(target, direct) == "answers"
    with pytest.raises(StackBroken, match="toxiproxy: the proxy"):
        embedded.check()
    heal_and_prove(embedded, target, breakage.heal)


def test_two_faults_heal_one_by_one(embedded: EmbeddedStack) -> None:
    """A proxy that two faults want down is up when both have healed; toxics count apart."""
    near = port_of(embedded.endpoints.redis_url)
    down: Fault = ProxyDown(target=Target.REDIS, duration_s=1.0)
    first, second = embedded.strike(down), embedded.strike(down)
    first.heal()
    first.heal()
    assert greet(Target.REDIS, near) == "refused"
    second.heal()
    assert greet(Target.REDIS, near) == "answers"
    slow: Fault = Slow(target=Target.REDIS, extra_s=0.05, duration_s=1.0)
    one, other = embedded.strike(slow), embedded.strike(slow)
    one.heal()
    with pytest.raises(StackBroken, match=r"still has latency-\d+, latency-\d+$"):
        embedded.check()
    other.heal()
    embedded.check()


def test_toxicity_is_drawn_for_each_connection(embedded: EmbeddedStack) -> None:
    """Half of the connections are reset, and those that are not stay whole."""
    half = Toxic(
        target=Target.REDIS,
        kind=ToxicKind.RESET_PEER,
        direction=DOWN,
        attributes=(("timeout", 0.0),),
        toxicity=0.5,
        duration_s=1.0,
    )
    breakage = embedded.strike(half)
    assert breakage.detail == "downstream reset_peer (timeout 0) on 50% of the connections"
    near = port_of(embedded.endpoints.redis_url)
    met = [greet(Target.REDIS, near) for _ in range(40)]
    assert 5 <= met.count("answers") <= 35  # outside with a chance of 1e-7
    assert set(met) == {"answers", "closed"}
    heal_and_prove(embedded, Target.REDIS, breakage.heal)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (ToxicKind.LIMIT_DATA, {"bytes": 3.0}),
        (ToxicKind.TIMEOUT, {"timeout": 100.0}),
        (ToxicKind.RESET_PEER, {"timeout": 0.0}),
    ],
)
def test_p10_a_commit_whose_reply_is_cut_is_applied_and_raises(
    embedded: EmbeddedStack, kind: ToxicKind, attributes: dict[str, float]
) -> None:
    """SQLAlchemy over psycopg raises OperationalError although the row is there."""
    engine = sqlalchemy.create_engine(embedded.endpoints.database_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE orders (id int)"))
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
        breakage = embedded.strike(toxic(Target.DATABASE, kind, DOWN, **attributes))
        with pytest.raises(sqlalchemy.exc.OperationalError) as raised:
            connection.commit()
        assert isinstance(raised.value.orig, psycopg.OperationalError)
    engine.dispose()
    with connect(embedded.endpoints.direct_database_url) as direct:
        assert direct.execute("SELECT count(*) FROM orders").fetchone() == (1,)
    direct.close()
    heal_and_prove(embedded, Target.DATABASE, breakage.heal)


def test_r13_a_lost_reply_is_resent_by_redis_py_and_applied_twice(
    embedded: EmbeddedStack,
) -> None:
    """`Redis(host=...)` resends an INCR whose reply was lost; the counter goes up by two."""
    endpoints = embedded.endpoints
    client = redis.Redis(
        host="127.0.0.1", port=port_of(endpoints.redis_url), password=embedded.redis.password
    )
    assert client.incr("n") == 1
    breakage = embedded.strike(toxic(Target.REDIS, ToxicKind.RESET_PEER, DOWN, timeout=0.0))

    def heal_when_it_is_applied() -> None:
        direct = redis_client(endpoints.direct_redis_url)
        while int(direct.get("n") or 0) < 2:
            time.sleep(0.005)
        breakage.heal()
        direct.close()

    healer = threading.Thread(target=heal_when_it_is_applied)
    healer.start()
    assert client.incr("n") == 3
    healer.join()
    client.close()


def test_a_dead_toxiproxy_is_told(embedded: EmbeddedStack) -> None:
    """It names the component and its log; the next stack of the session gets a new one."""
    server = embedded.toxiproxy
    assert server is not None
    server.child.kill()
    with pytest.raises(StackBroken, match=r"^toxiproxy: is not running"):
        embedded.check()
    with pytest.raises(StackBroken, match=r"^toxiproxy: 127\.0\.0\.1:\d+ does not answer"):
        embedded.strike(ProxyDown(target=Target.REDIS, duration_s=1.0))
    embedded.revive_toxiproxy()
