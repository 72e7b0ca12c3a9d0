"""Containers killed, stopped and frozen: what the client sees, what the volume keeps."""

import time

import docker
import psutil
import psycopg
import pytest

from chaos.faults import (
    ClockStep,
    DatabaseRestart,
    Death,
    Fault,
    LostReplies,
    Partition,
    ProxyDown,
    RedisDeath,
    SlowFsync,
    StorePause,
    Target,
    Toxic,
    UnsupportedFault,
)
from chaos.persistence import Persistence
from chaos.stacks.compose import ComposeStack
from chaos.stacks.contract import StackBroken
from chaos.toxics import Direction, ToxicKind
from tests.live.asking import FAILURES, asker, connect, greet, port_of, redis_client

WRITTEN = 200
KILL = RedisDeath(death=Death.SIGKILL, down_s=1.0)
STOP = RedisDeath(death=Death.SIGTERM, down_s=1.0)
SURVIVORS = [
    (Persistence.NONE, KILL, 0),
    (Persistence.NONE, STOP, 0),
    (Persistence.RDB, KILL, 0),
    (Persistence.RDB, STOP, WRITTEN),
    (Persistence.AOF_NO, KILL, WRITTEN),
    (Persistence.AOF_EVERYSEC, KILL, WRITTEN),
    (Persistence.AOF_ALWAYS, KILL, WRITTEN),
]


@pytest.mark.parametrize(("persistence", "death", "kept"), SURVIVORS)
def test_the_volume_keeps_what_the_persistence_promises(
    stack: ComposeStack, persistence: Persistence, death: RedisDeath, kept: int
) -> None:
    """The table of the design, in a container: `none` forgets all, an append-only file nothing."""
    endpoints = stack.renew(persistence)
    with redis_client(endpoints.redis_url) as client:
        for number in range(WRITTEN):
            client.set(f"hold:{number}", "acknowledged")
        while int(client.info("persistence").get("aof_buffer_length", 0)):
            time.sleep(0.01)  # the write waits for a sync under way: rule B10, not of this test
    breakage = stack.strike(death)
    breakage.heal()
    with redis_client(endpoints.direct_redis_url) as client:
        assert client.dbsize() == kept
    stack.check()


def test_a_killed_container_is_gone_and_its_volume_is_not(
    stack: ComposeStack, engine: docker.DockerClient
) -> None:
    """A positive control: the process ends, calls fail at once, and Docker says 137."""
    endpoints = stack.renew(Persistence.AOF_ALWAYS)
    pid = stack.redis.child.pid
    assert psutil.pid_exists(pid)
    client = asker(Target.REDIS, endpoints)
    client.write()
    breakage = stack.strike(KILL)
    assert breakage.struck
    assert breakage.detail == f"killed (pid {pid}); persistence aof-always"
    assert not psutil.pid_exists(pid)
    assert engine.containers.get(stack.redis.child.id).attrs["State"]["ExitCode"] == 137
    with pytest.raises(FAILURES):
        client.write()
    assert greet(Target.REDIS, port_of(endpoints.redis_url)) == "closed"
    with pytest.raises(StackBroken, match=r"redis: its container is not running \(exit status 137"):
        stack.check()
    assert f"{stack.project}_redis-data" in {each.name for each in engine.volumes.list()}
    breakage.heal()
    breakage.heal()
    client.close()
    again = asker(Target.REDIS, endpoints)
    assert again.written() == 1
    again.close()


def test_redis_writes_to_a_named_volume_and_listens_on_loopback_only(
    stack: ComposeStack, engine: docker.DockerClient
) -> None:
    """As docker-compose.yml promises: no anonymous volume, no port on another address."""
    servers = (stack.redis.child, stack.database.child, stack.toxiproxy)
    details = [engine.api.inspect_container(each.id) for each in servers]
    named = [each["Name"] for detail in details for each in detail["Mounts"] if each.get("Name")]
    assert named == [f"{stack.project}_redis-data", f"{stack.project}_postgres-data"]
    published = [
        binding
        for detail in details
        for bindings in (detail["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert len(published) == 5
    assert {each["HostIp"] for each in published} == {"127.0.0.1"}


@pytest.mark.parametrize("death", [Death.SIGTERM, Death.SIGKILL])
def test_the_database_keeps_what_was_committed(stack: ComposeStack, death: Death) -> None:
    """Killed or stopped, it rolls back the open transaction and recovers the commits."""
    endpoints = stack.renew(None)
    client = asker(Target.DATABASE, endpoints)
    client.write()
    open_transaction = psycopg.connect(endpoints.database_url.replace("+psycopg", ""))
    open_transaction.execute("UPDATE counter SET n = 100")
    breakage = stack.strike(DatabaseRestart(down_s=1.0, death=death))
    with pytest.raises(psycopg.Error):
        open_transaction.execute("SELECT 1")
    open_transaction.close()
    client.close()
    breakage.heal()
    stack.check()
    again = asker(Target.DATABASE, endpoints)
    assert again.written() == 1
    again.close()


@pytest.mark.parametrize("target", [Target.REDIS, Target.DATABASE])
def test_a_frozen_container_is_silent_and_goes_on(stack: ComposeStack, target: Target) -> None:
    """Its connections live on; what was asked meanwhile is answered after it."""
    endpoints = stack.renew(Persistence.NONE)
    client = asker(target, endpoints)
    redis = target is Target.REDIS
    port = port_of(endpoints.redis_url if redis else endpoints.database_url)
    assert greet(target, port) == "answers"
    breakage = stack.strike(StorePause(target=target, duration_s=1.0))
    assert greet(target, port) == "silent"
    breakage.heal()
    client.write()
    assert client.written() == 1
    client.close()


def test_a_frozen_container_can_be_killed(stack: ComposeStack) -> None:
    """Two faults at once: the last to heal brings it back, running."""
    pause = stack.strike(StorePause(target=Target.REDIS, duration_s=1.0))
    kill = stack.strike(KILL)
    assert not stack.redis.child.running
    kill.heal()
    pause.heal()
    stack.check()


def test_the_proxies_break_the_network_and_heal(stack: ComposeStack) -> None:
    """A partition is silence through the proxy only; a proxy that is down refuses."""
    endpoints = stack.endpoints
    near, direct = port_of(endpoints.redis_url), port_of(endpoints.direct_redis_url)
    breakage = stack.strike(Partition(target=Target.REDIS, duration_s=1.0))
    assert (greet(Target.REDIS, near), greet(Target.REDIS, direct)) == ("silent", "answers")
    with pytest.raises(StackBroken, match="still has"):
        stack.check()
    breakage.heal()
    breakage = stack.strike(ProxyDown(target=Target.DATABASE, duration_s=1.0))
    assert greet(Target.DATABASE, port_of(endpoints.database_url)) in {"refused", "closed"}
    breakage.heal()
    stack.check()
    assert greet(Target.DATABASE, port_of(endpoints.database_url)) == "answers"


@pytest.mark.parametrize("target", [Target.REDIS, Target.DATABASE])
def test_a_reply_is_lost_after_the_effect(stack: ComposeStack, target: Target) -> None:
    """The client gets an error, and the server has done it all the same."""
    client = asker(target, stack.renew(Persistence.NONE))
    client.write()
    lost = Toxic(
        target=target,
        kind=ToxicKind.RESET_PEER,
        direction=Direction.DOWNSTREAM,
        attributes=(("timeout", 0.0),),
        duration_s=1.0,
    )
    breakage = stack.strike(lost)
    with pytest.raises(FAILURES):
        client.write()
    breakage.heal()
    assert client.written() == 2
    client.close()


def test_renewing_empties_both_and_sets_the_persistence(stack: ComposeStack) -> None:
    """Also when something is still broken, and when clients are connected."""
    endpoints = stack.renew(Persistence.AOF_ALWAYS)
    clients = [asker(target, endpoints) for target in (Target.REDIS, Target.DATABASE)]
    for client in clients:
        client.write()
    stack.strike(StorePause(target=Target.DATABASE, duration_s=1.0))
    stack.strike(KILL)
    stack.strike(Partition(target=Target.REDIS, duration_s=1.0))
    assert stack.renew(Persistence.RDB) == endpoints
    stack.check()
    with redis_client(endpoints.redis_url) as redis:
        assert redis.dbsize() == 0
        assert redis.config_get("appendonly") == {"appendonly": "no"}
        assert redis.config_get("save")["save"] == "3600 1 300 100 60 10000"
    with connect(endpoints.database_url) as database:
        found = database.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
        assert found.fetchall() == []
    for client in clients:
        client.close()


REFUSED: list[tuple[Fault, str]] = [
    (SlowFsync(fsync_s=1.0, duration_s=1.0), "--stack embedded"),
    (RedisDeath(death=Death.POWER_LOSS, down_s=1.0), "--stack embedded"),
    (LostReplies(target=Target.REDIS, probability=0.1, duration_s=1.0), "redis-reset"),
    (ClockStep(target=Target.REDIS, step_s=1.0), "only the simulated arm"),
]


@pytest.mark.parametrize(("fault", "remedy"), REFUSED)
def test_what_containers_cannot_do_is_refused(
    stack: ComposeStack, fault: Fault, remedy: str
) -> None:
    """By name, with the reason and what would do it; never a milder fault instead."""
    refusal = stack.refuses(fault)
    assert refusal is not None
    assert refusal.startswith(type(fault).__name__)
    assert remedy in refusal
    with pytest.raises(UnsupportedFault, match=type(fault).__name__):
        stack.strike(fault)
    stack.check()
