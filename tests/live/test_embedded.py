"""The embedded stack: what it starts, where, and that each run gets empty servers."""

import stat
from pathlib import Path

import pytest

from chaos.faults import (
    AppKill,
    ClockStep,
    DatabaseRestart,
    Death,
    Fault,
    LostReplies,
    Partition,
    PaymentTimeouts,
    RedisDeath,
    SlowFsync,
    StorePause,
    SweeperStopped,
    Target,
    UnsupportedFault,
)
from chaos.persistence import Persistence
from chaos.plans import PLAN_NAMES, faults_of
from chaos.servers import binaries
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import DatabaseAsker, RedisAsker, connect, greet, port_of, redis_client
from tests.live.leftovers import Made

SETTINGS = {
    Persistence.NONE: ("", "no", None),
    Persistence.RDB: ("3600 1", "no", None),
    Persistence.AOF_ALWAYS: ("", "yes", "always"),
    Persistence.AOF_EVERYSEC: ("", "yes", "everysec"),
    Persistence.AOF_NO: ("", "yes", "no"),
}


@pytest.mark.parametrize("persistence", Persistence)
def test_a_new_run_gets_empty_servers(embedded: EmbeddedStack, persistence: Persistence) -> None:
    """Redis has the persistence that was asked for and no key; the database has no table."""
    before = embedded.endpoints
    for store in (RedisAsker(before), DatabaseAsker(before)):
        store.write()
        store.close()
    endpoints = embedded.renew(persistence)
    assert endpoints == before  # ports and passwords stay
    client = redis_client(endpoints.redis_url)
    assert client.dbsize() == 0
    save, appendonly, appendfsync = SETTINGS[persistence]
    assert client.config_get("save")["save"].startswith(save)
    assert bool(client.config_get("save")["save"]) == bool(save)
    assert client.config_get("appendonly")["appendonly"] == appendonly
    if appendfsync is not None:
        assert client.config_get("appendfsync")["appendfsync"] == appendfsync
    client.close()
    with connect(endpoints.database_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)
    connection.close()


def test_a_run_without_redis_gets_a_stack_too(embedded: EmbeddedStack) -> None:
    """A strategy that needs no Redis asks for none; the database is empty all the same."""
    assert embedded.renew(None) == embedded.endpoints
    embedded.check()


def test_the_servers_are_private(embedded: EmbeddedStack) -> None:
    """Loopback only, a password on each, and a directory nobody else can enter."""
    room = embedded.redis.child.folder.parent
    assert stat.S_IMODE(room.stat().st_mode) == 0o700
    configuration = (room / "redis" / "redis.conf").stat()
    assert stat.S_IMODE(configuration.st_mode) == 0o600
    for url in (embedded.endpoints.direct_redis_url, embedded.endpoints.direct_database_url):
        assert ":@" not in url
        assert "@127.0.0.1:" in url
    addresses = {
        connection.laddr.ip
        for server in (embedded.redis, embedded.database)
        for process in server.child.family()
        for connection in process.net_connections(kind="inet")
    }
    assert addresses == {"127.0.0.1"}


def test_postgres_never_runs_as_root(embedded: EmbeddedStack) -> None:
    """It refuses to; started by root, it is given to an unprivileged user that exists."""
    postmaster = embedded.database.child.family()[0]
    assert postmaster.uids().effective != 0
    assert Path(embedded.database.data).stat().st_uid != 0


def test_every_bundled_fault_is_done_or_refused_by_name(embedded: EmbeddedStack) -> None:
    """With Toxiproxy and a compiler only the application's faults and lost replies are refused."""
    if embedded.lacking:
        pytest.skip("; ".join(embedded.lacking.values()))
    refused = {
        name
        for name in PLAN_NAMES
        if any(embedded.refuses(fault) is not None for fault in faults_of(name))
    }
    assert refused == {
        "lost-replies", "app-kill", "app-pause", "sweeper-stopped", "payment-timeout",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (LostReplies(target=Target.REDIS, probability=0.5, duration_s=1.0), "use redis-reset"),
        (AppKill(restart_s=1.0), "AppKill: it strikes the application"),
        (SweeperStopped(duration_s=None), "SweeperStopped: it strikes the application"),
        (PaymentTimeouts(probability=0.5, duration_s=1.0), "it strikes the application"),
        (ClockStep(target=Target.REDIS, step_s=1.0), "the clock of this machine"),
        (Partition(target=Target.PAYMENT, duration_s=1.0), "the payment provider is not"),
        (StorePause(target=Target.PAYMENT, duration_s=1.0), "the payment provider is not"),
    ],
)
def test_what_it_cannot_do_is_refused(embedded: EmbeddedStack, fault: Fault, says: str) -> None:
    """The message names the fault and what would do instead; nothing is broken."""
    with pytest.raises(UnsupportedFault) as raised:
        embedded.strike(fault)
    assert says in str(raised.value)
    embedded.check()


def test_without_toxiproxy_and_compiler_the_process_faults_still_run(
    embedded: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faults of the network and of the disk are refused with the remedy, the others done.

    The stack is started beside another, shares nothing with it, and leaves it alone when it ends;
    of its own nothing is left.
    """
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("chaos.servers.binaries._toxiproxy_candidates", lambda: iter(()))
    for find in (binaries.toxiproxy_server, binaries.compiler):
        find.cache_clear()
    try:
        with EmbeddedStack() as stack:
            check_the_bare_stack(stack)
            made, other = Made.of(stack), Made.of(embedded)
            assert len(made.left()) >= 1 + len(made.pids)
            assert not set(made.ports) & set(other.ports)
        assert made.left() == []
    finally:
        for find in (binaries.toxiproxy_server, binaries.compiler):
            find.cache_clear()


def check_the_bare_stack(stack: EmbeddedStack) -> None:
    """What a stack without Toxiproxy and compiler refuses and does."""
    endpoints = stack.renew(Persistence.AOF_ALWAYS)
    assert not endpoints.proxied
    assert endpoints.redis_url == endpoints.direct_redis_url
    cut = stack.refuses(Partition(target=Target.REDIS, duration_s=1.0))
    assert cut is not None
    assert "go install github.com/Shopify/toxiproxy" in cut
    for fault in (
        SlowFsync(fsync_s=1.0, duration_s=1.0),
        RedisDeath(death=Death.POWER_LOSS, down_s=1.0),
    ):
        slow = stack.refuses(fault)
        assert slow is not None
        assert "apt install gcc" in slow
    for target, url, fault in (
        (
            Target.REDIS,
            endpoints.redis_url,
            RedisDeath(death=Death.SIGKILL, down_s=1.0),
        ),
        (Target.DATABASE, endpoints.database_url, DatabaseRestart(down_s=1.0)),
    ):
        breakage = stack.strike(fault)
        assert greet(target, port_of(url)) == "refused"
        breakage.heal()
        assert greet(target, port_of(url)) == "answers"
    stack.check()
