"""Servers that somebody else started: here, those of the embedded stack."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chaos.faults import (
    DatabaseRestart,
    Death,
    Fault,
    Partition,
    RedisDeath,
    SlowFsync,
    StorePause,
    Target,
    Toxic,
    UnsupportedFault,
)
from chaos.persistence import Persistence
from chaos.servers.room import free_ports
from chaos.stacks.contract import StackBroken, StackMissing
from chaos.stacks.embedded import EmbeddedStack
from chaos.stacks.external import ExternalStack
from chaos.toxics import Direction, ToxicKind
from tests.live.asking import FAILURES, asker, connect, greet, port_of, redis_client

CUT = Partition(target=Target.REDIS, duration_s=1.0)
RESET = Toxic(
    target=Target.DATABASE,
    kind=ToxicKind.RESET_PEER,
    direction=Direction.DOWNSTREAM,
    attributes=(("timeout", 0.0),),
    duration_s=1.0,
)


def beside(embedded: EmbeddedStack, *, allowed: bool, proxied: bool = False) -> ExternalStack:
    """The embedded stack's servers, as a user would name them."""
    url = embedded.endpoints
    toxiproxy = embedded.toxiproxy
    return ExternalStack(
        redis_url=url.direct_redis_url,
        database_url=url.direct_database_url.replace("+psycopg", ""),
        toxiproxy_url=f"http://127.0.0.1:{toxiproxy.port}" if proxied and toxiproxy else None,
        allow_destructive=allowed,
    )


@pytest.fixture
def bare(embedded: EmbeddedStack) -> Iterator[ExternalStack]:
    """External servers that may be erased, without a Toxiproxy."""
    with beside(embedded, allowed=True) as stack:
        yield stack


def test_a_run_erases_only_what_it_may(embedded: EmbeddedStack) -> None:
    """Without the permission nothing is touched, and the message names the option."""
    store = asker(Target.REDIS, embedded.endpoints)
    store.write()
    with beside(embedded, allowed=False) as stack:
        with pytest.raises(StackMissing, match="say --allow-destructive if they may be erased"):
            stack.renew(Persistence.NONE)
        assert store.written() == 1
        stack.check()
    store.close()


def test_a_run_gets_an_empty_database_and_redis(
    embedded: EmbeddedStack, bare: ExternalStack
) -> None:
    """Sessions of earlier runs are cut off; a strategy without Redis leaves it alone."""
    for target in (Target.REDIS, Target.DATABASE):
        store = asker(target, embedded.endpoints)
        store.write()
        store.close()
    left_over = connect(embedded.endpoints.direct_database_url)
    left_over.execute("BEGIN")
    left_over.execute("LOCK TABLE counter")
    client = redis_client(embedded.endpoints.direct_redis_url)
    endpoints = bare.renew(None)
    assert (client.dbsize(), endpoints.proxied) == (2, False)
    assert bare.renew(Persistence.NONE) == endpoints
    assert client.dbsize() == 0
    client.close()
    with pytest.raises(FAILURES):
        left_over.execute("SELECT 1")
    left_over.close()
    with connect(endpoints.database_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("persistence", Persistence)
def test_a_persistence_it_does_not_have_is_refused(
    embedded: EmbeddedStack, bare: ExternalStack, persistence: Persistence
) -> None:
    """The server's own is recognised and named; nothing is erased under another name."""
    embedded._renew_redis(persistence)
    bare.renew(persistence)
    other = Persistence.RDB if persistence is Persistence.NONE else Persistence.NONE
    said = rf"keeps its data by {persistence}, not {other}; say --persistence {persistence}"
    with pytest.raises(StackMissing, match=said):
        bare.renew(other)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RedisDeath(death=Death.SIGKILL, down_s=1.0), "RedisDeath: the servers are not ours"),
        (DatabaseRestart(down_s=1.0), "DatabaseRestart: the servers are not ours"),
        (StorePause(target=Target.REDIS, duration_s=1.0), "StorePause: the servers are not ours"),
        (SlowFsync(fsync_s=1.0, duration_s=1.0), "SlowFsync: the servers are not ours"),
        (CUT, "Partition: needs a Toxiproxy; start one and give --toxiproxy-url"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(bare: ExternalStack, fault: Fault, says: str) -> None:
    """Ending other people's servers is no option; the network needs a Toxiproxy."""
    with pytest.raises(UnsupportedFault) as raised:
        bare.strike(fault)
    assert str(raised.value).startswith(says)


@pytest.mark.toxiproxy
def test_a_given_toxiproxy_breaks_our_connections_only(
    embedded: EmbeddedStack, toxiproxy: None
) -> None:
    """It gets proxies of ours, which are removed at the end; the others there are left alone."""
    assert embedded.toxiproxy is not None
    api = embedded.toxiproxy.api
    theirs = set(api.proxies())
    with beside(embedded, allowed=True, proxied=True) as stack:
        endpoints = stack.renew(Persistence.NONE)
        assert endpoints.proxied
        assert endpoints.redis_url != endpoints.direct_redis_url
        cut = stack.strike(CUT)
        assert greet(Target.REDIS, port_of(endpoints.redis_url)) == "silent"
        assert greet(Target.REDIS, port_of(embedded.endpoints.redis_url)) == "answers"
        with pytest.raises(StackBroken, match="toxiproxy: the proxy 'holdfast-redis-"):
            stack.check()
        cut.heal()
        assert greet(Target.REDIS, port_of(endpoints.redis_url)) == "answers"
        store = asker(Target.DATABASE, endpoints)
        reset = stack.strike(RESET)
        with pytest.raises(FAILURES):
            store.write()
        assert store.written() == 1
        store.close()
        reset.heal()
        stack.check()
    assert set(api.proxies()) == theirs


def test_what_is_not_there_is_named(embedded: EmbeddedStack) -> None:
    """Before anything is erased; the message has the component, its place and no password."""
    (port,) = free_ports(1)
    nowhere = f"127.0.0.1:{port}"
    redis, database = (
        embedded.endpoints.direct_redis_url,
        embedded.endpoints.direct_database_url,
    )
    for redis_url, database_url, toxiproxy_url, says in (
        (f"redis://:secret@{nowhere}/0", database, None, f"redis: {nowhere}: Error"),
        (redis, f"postgresql://a:secret@{nowhere}/b", None, f"postgres: {nowhere}:"),
        (
            redis,
            database,
            f"http://{nowhere}",
            f"toxiproxy: {nowhere} does not answer (Connection refused); start it",
        ),
    ):
        stack = ExternalStack(
            redis_url=redis_url, database_url=database_url, toxiproxy_url=toxiproxy_url
        )
        with pytest.raises(StackMissing) as raised, stack:
            pass
        assert str(raised.value).startswith(says)
        assert "secret" not in str(raised.value)


def test_a_server_that_does_not_let_us_in_is_no_server_to_start(embedded: EmbeddedStack) -> None:
    """The remedy is that of what the server said: another password, another database."""
    redis, database = (
        embedded.endpoints.direct_redis_url,
        embedded.endpoints.direct_database_url.replace("+psycopg", ""),
    )
    parts = urlsplit(redis)
    other_word = parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}").geturl()
    elsewhere = urlsplit(database)._replace(path="/nowhere").geturl()
    for redis_url, database_url, says in (
        (other_word, database, "correct the user and the password in --redis-url"),
        (redis, elsewhere, "create it, or name another in --database-url"),
    ):
        with (
            pytest.raises(StackMissing) as raised,
            ExternalStack(redis_url=redis_url, database_url=database_url),
        ):
            pass
        assert str(raised.value).endswith(says)


def test_a_password_that_redis_does_not_want_is_told_before_a_run(embedded: EmbeddedStack) -> None:
    """redis-py's first connection works; its next ones would fail in the middle of a sale."""
    redis, database = (
        embedded.endpoints.direct_redis_url,
        embedded.endpoints.direct_database_url.replace("+psycopg", ""),
    )
    client = redis_client(redis)
    word = client.config_get("requirepass")["requirepass"]
    client.config_set("requirepass", "")
    parts = urlsplit(redis)
    unwanted = parts._replace(netloc=f":any@{parts.hostname}:{parts.port}").geturl()
    try:
        with (
            pytest.raises(StackMissing, match="correct the user and the password in --redis-url"),
            ExternalStack(redis_url=unwanted, database_url=database),
        ):
            pass
    finally:
        client.config_set("requirepass", word)
        client.close()


@pytest.mark.parametrize(
    ("redis_url", "database_url", "toxiproxy_url", "says"),
    [
        ("localhost:6379", "postgresql://a@b/c", None, "redis: 'localhost:6379' is not a URL of"),
        ("redis://:pw@h:x/0", "postgresql://a@b/c", None, "redis: 'redis://:***@h:x/0' is not a"),
        ("redis://h", "mysql://a:pw@b/c", None, "postgres: 'mysql://a:***@b/c' is not a URL of t"),
        ("redis://h", "nonsense", None, "postgres: 'nonsense' is not a URL of the form postgresql"),
        ("redis://h", "postgresql:///c", None, "postgres: 'postgresql:///c' is not a URL of the"),
        ("redis://h", "postgresql://a@b/c", "ftp://x", "toxiproxy: 'ftp://x' is not a URL of the "),
        ("redis://h", "postgresql://a@b/c", "http://x:y", "toxiproxy: 'http://x:y' is not a URL "),
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_named(
    redis_url: str, database_url: str, toxiproxy_url: str | None, says: str
) -> None:
    """The message has the value, its password hidden, and the form it should have."""
    with pytest.raises(StackMissing) as raised:
        ExternalStack(redis_url=redis_url, database_url=database_url, toxiproxy_url=toxiproxy_url)
    assert str(raised.value).startswith(says)
