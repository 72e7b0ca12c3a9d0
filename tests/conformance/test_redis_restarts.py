"""What is left after a death and a restart, told once and asked of both arms."""

import hashlib
from collections.abc import Callable

import pytest
import redis

from chaos.faults import Death
from chaos.persistence import Persistence
from tests.conformance.arms import RedisArm, Wire

Make = Callable[[Persistence], RedisArm]
KEPT = {
    (Persistence.NONE, Death.SIGTERM): b"",
    (Persistence.NONE, Death.SIGKILL): b"",
    (Persistence.RDB, Death.SIGTERM): b"after",
    (Persistence.RDB, Death.SIGKILL): b"before",
    (Persistence.AOF_NO, Death.SIGTERM): b"after",
    (Persistence.AOF_NO, Death.SIGKILL): b"after",
    (Persistence.AOF_EVERYSEC, Death.SIGTERM): b"after",
    (Persistence.AOF_EVERYSEC, Death.SIGKILL): b"after",
    (Persistence.AOF_ALWAYS, Death.SIGTERM): b"after",
    (Persistence.AOF_ALWAYS, Death.SIGKILL): b"after",
}


@pytest.mark.parametrize(("persistence", "death"), KEPT)
def test_what_a_healthy_disk_keeps(arm_with: Make, persistence: Persistence, death: Death) -> None:
    """The first column of the design's table; `before` is what a snapshot in between kept."""
    arm = arm_with(persistence)
    wire = Wire(arm.client())
    wire.send("SET", "k", "before")
    if persistence is Persistence.RDB:
        arm.snapshot()
    wire.send("SET", "k", "after")
    wire.close()
    arm.die(death)
    arm.start()
    assert (Wire(arm.client()).send("GET", "k") or b"") == KEPT[persistence, death]


@pytest.mark.parametrize("persistence", [Persistence.RDB, Persistence.AOF_EVERYSEC])
def test_deadlines_run_on_while_the_server_is_down(
    arm_with: Make, persistence: Persistence
) -> None:
    """TTLs are instants: 3 s are over after 3.125 s of downtime, of 30 s there are 26.875 left."""
    arm = arm_with(persistence)
    wire = Wire(arm.client())
    wire.send("SET", "short", "1", "PX", 3_000)
    wire.send("SET", "long", "1", "PX", 30_000)
    wire.send("HSET", "hash", "f", "1")
    wire.send("EXPIRE", "hash", 30)
    wire.close()
    arm.die(Death.SIGTERM)
    arm.wait(3.125)
    arm.start()
    wire = Wire(arm.client())
    assert wire.send("GET", "short") is None
    assert wire.send("PTTL", "long") == wire.send("PTTL", "hash") == 26_875


@pytest.mark.parametrize("persistence", [Persistence.NONE, Persistence.AOF_ALWAYS])
def test_a_restart_forgets_scripts_and_eval_teaches_them_again(
    arm_with: Make, persistence: Persistence
) -> None:
    """NOSCRIPT after each restart, whatever was kept; what a script had written is there."""
    arm = arm_with(persistence)
    script = "return redis.call('INCR', KEYS[1])"
    sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    for life in range(3):
        client = arm.client()
        if life:
            with pytest.raises(redis.exceptions.NoScriptError):
                client.evalsha(sha, 1, "n")
        kept = persistence is not Persistence.NONE
        assert client.eval(script, 1, "n") == 1 + (2 * life if kept else 0)
        assert client.evalsha(sha, 1, "n") == 2 + (2 * life if kept else 0)
        client.connection_pool.disconnect()
        arm.die(Death.SIGKILL)
        arm.start()


def test_only_redis_6_keeps_a_loaded_script(arm_with: Make) -> None:
    """6.2 writes SCRIPT LOAD to its append-only file; 7.0, and the simulated one, do not."""
    arm = arm_with(Persistence.AOF_ALWAYS)
    sha = arm.client().script_load("return 7")
    arm.client().set("k", "1")
    arm.client().connection_pool.disconnect()
    arm.die(Death.SIGKILL)
    arm.start()
    assert arm.client().script_exists(sha) == [arm.version < (7,)]


def test_connections_break_and_transactions_end_with_the_server(arm_with: Make) -> None:
    """A queued MULTI dies with its connection; a new one begins with nothing queued or watched."""
    arm = arm_with(Persistence.AOF_ALWAYS)
    wire = Wire(arm.client())
    wire.send("SET", "k", "1")
    wire.send("MULTI")
    wire.send("SET", "k", "2")
    arm.die(Death.SIGKILL)
    with pytest.raises(redis.ConnectionError):
        wire.send("EXEC")
    arm.start()
    wire = Wire(arm.client())
    assert wire.send("GET", "k") == b"1"
    assert str(wire.send("EXEC")) == "EXEC without MULTI"
