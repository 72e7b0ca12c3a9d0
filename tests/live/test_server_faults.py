"""Servers that are stopped, killed and paused: the client sees it, and it heals."""

import time

import pytest

from chaos.faults import DatabaseRestart, Death, Fault, RedisDeath, StorePause, Target
from chaos.persistence import Persistence
from chaos.stacks.contract import StackBroken
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import FAILURES, asker, greet, port_of, redis_client

DEATHS = [
    (Target.REDIS, RedisDeath(death=Death.SIGTERM, down_s=1.0)),
    (Target.REDIS, RedisDeath(death=Death.SIGKILL, down_s=1.0)),
    (Target.DATABASE, DatabaseRestart(down_s=1.0, death=Death.SIGTERM)),
    (Target.DATABASE, DatabaseRestart(down_s=1.0, death=Death.SIGKILL)),
]


def direct_port(stack: EmbeddedStack, target: Target) -> int:
    """Where a store itself listens."""
    endpoints = stack.endpoints
    redis = target is Target.REDIS
    return port_of(endpoints.direct_redis_url if redis else endpoints.direct_database_url)


@pytest.mark.parametrize(("target", "fault"), DEATHS)
def test_a_dead_server_refuses_and_comes_back(
    embedded: EmbeddedStack, target: Target, fault: Fault
) -> None:
    """Connections break, new ones are refused; healed, it answers on the same port with its data.

    Healing twice is healing once.
    """
    endpoints = embedded.renew(Persistence.AOF_ALWAYS)
    client = asker(target, endpoints)
    client.write()
    breakage = embedded.strike(fault)
    assert breakage.struck
    assert greet(target, direct_port(embedded, target)) == "refused"
    with pytest.raises(FAILURES):
        client.write()
    with pytest.raises(StackBroken, match="is not running"):
        embedded.check()
    client.close()
    breakage.heal()
    breakage.heal()
    embedded.check()
    again = asker(target, endpoints)
    assert again.written() == 1
    again.write()
    again.close()


@pytest.mark.parametrize("target", [Target.REDIS, Target.DATABASE])
def test_a_paused_server_is_silent_and_goes_on(embedded: EmbeddedStack, target: Target) -> None:
    """Its port takes connections and answers nothing; open connections live on after it."""
    client = asker(target, embedded.endpoints)
    client.write()
    breakage = embedded.strike(StorePause(target=target, duration_s=1.0))
    assert greet(target, direct_port(embedded, target)) == "silent"
    if target is Target.REDIS:  # asking a stopped PostgreSQL takes longer, and is no different
        with pytest.raises(StackBroken, match=r"^redis: does not answer \(Timeout"):
            embedded.check()
    breakage.heal()
    assert greet(target, direct_port(embedded, target)) == "answers"
    client.write()
    assert client.written() == 2
    client.close()


@pytest.mark.parametrize(
    ("persistence", "death", "kept"),
    [
        (Persistence.NONE, Death.SIGTERM, 0),
        (Persistence.NONE, Death.SIGKILL, 0),
        (Persistence.RDB, Death.SIGTERM, 2),
        (Persistence.RDB, Death.SIGKILL, 1),
        (Persistence.AOF_ALWAYS, Death.SIGKILL, 2),
        (Persistence.AOF_EVERYSEC, Death.SIGKILL, 2),
        (Persistence.AOF_EVERYSEC, Death.SIGTERM, 2),
        (Persistence.AOF_NO, Death.SIGKILL, 2),
        (Persistence.AOF_NO, Death.SIGTERM, 2),
    ],
)
def test_what_a_death_of_redis_leaves(
    embedded: EmbeddedStack, persistence: Persistence, death: Death, kept: int
) -> None:
    """R5 and R6: one key is written before a snapshot (where there are any), one after it."""
    client = redis_client(embedded.renew(persistence).direct_redis_url)
    client.set("before", 1)
    if persistence is Persistence.RDB:
        client.save()
    client.set("after", 1)
    while int(client.info("persistence").get("aof_buffer_length", 0)):
        time.sleep(0.01)  # the write waits for a sync under way: rule B10, not of this test
    embedded.strike(RedisDeath(death=death, down_s=1.0)).heal()
    assert client.dbsize() == kept
    client.close()


def test_overlapping_deaths_heal_with_the_last(embedded: EmbeddedStack) -> None:
    """A server that two faults want down is up when both have healed, whichever is first."""
    port = direct_port(embedded, Target.REDIS)
    first = embedded.strike(RedisDeath(death=Death.SIGKILL, down_s=1.0))
    second = embedded.strike(RedisDeath(death=Death.SIGTERM, down_s=1.0))
    pause = embedded.strike(StorePause(target=Target.REDIS, duration_s=1.0))
    assert (second.detail, pause.struck) == ("was down already; persistence none", False)
    first.heal()
    pause.heal()
    assert greet(Target.REDIS, port) == "refused"
    second.heal()
    assert greet(Target.REDIS, port) == "answers"


def test_a_kill_reaches_a_paused_server(embedded: EmbeddedStack) -> None:
    """SIGKILL ends a stopped process; the pause that heals later finds nothing to wake."""
    pause = embedded.strike(StorePause(target=Target.DATABASE, duration_s=1.0))
    kill = embedded.strike(DatabaseRestart(down_s=1.0, death=Death.SIGKILL))
    pause.heal()
    assert greet(Target.DATABASE, direct_port(embedded, Target.DATABASE)) == "refused"
    kill.heal()
    embedded.check()


@pytest.mark.parametrize("target", [Target.REDIS, Target.DATABASE])
def test_a_server_that_dies_by_itself_is_told(embedded: EmbeddedStack, target: Target) -> None:
    """Neither the check nor a fault takes it for a fault of ours; the message has its log."""
    server = embedded.redis if target is Target.REDIS else embedded.database
    server.child.kill()
    name = "redis" if target is Target.REDIS else "postgres"
    with pytest.raises(StackBroken, match=rf"^{name}: is not running \(exit status -9\); its log"):
        embedded.check()
    with pytest.raises(StackBroken, match=rf"^{name}: is not running"):
        embedded.strike(StorePause(target=target, duration_s=1.0))
    server.start()
