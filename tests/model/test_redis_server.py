"""The simulated Redis: what it keeps after each kind of death, and what its clients see of one."""

from typing import Any

import pytest
import redis

from chaos.faults import Death
from chaos.persistence import Persistence
from model.redis.refusals import UnsupportedCommand
from tests.model.driving import SmallWorld


def holds_after(
    persistence: Persistence,
    death: Death,
    *,
    die_at_s: float = 20.25,
    fsync_s: float = 0.002,
    **redis_settings: Any,
) -> tuple[list[int], list[int]]:
    """Set one key each 100 ms for 20 s, die, restart; returns (acknowledged, survived) numbers."""
    world = SmallWorld(persistence, fsync_s=fsync_s, **redis_settings)
    client = world.client()

    def holder(number: int) -> Any:
        return client.set(f"hold:{number}", number, px=900_000)

    for number in range(200):
        world.at(0.1 * number, f"set {number}", lambda number=number: holder(number))
    world.do(die_at_s, lambda: world.redis.die(death))
    world.do(die_at_s + 2.0, world.redis.start)
    world.run(until_s=die_at_s + 60.0)
    acknowledged = [n for n in range(200) if world.results.get(f"set {n}") is True]
    survived = [n for n in range(200) if client.exists(f"hold:{n}")]
    return acknowledged, survived


@pytest.mark.parametrize(
    ("persistence", "death", "lost_at_most_s"),
    [
        (Persistence.NONE, Death.SIGTERM, None),
        (Persistence.NONE, Death.SIGKILL, None),
        (Persistence.NONE, Death.POWER_LOSS, None),
        (Persistence.RDB, Death.SIGTERM, 0.0),
        (Persistence.AOF_EVERYSEC, Death.SIGTERM, 0.0),
        (Persistence.AOF_EVERYSEC, Death.SIGKILL, 0.0),
        (Persistence.AOF_EVERYSEC, Death.POWER_LOSS, 1.1),
        (Persistence.AOF_ALWAYS, Death.SIGKILL, 0.0),
        (Persistence.AOF_ALWAYS, Death.POWER_LOSS, 0.0),
        (Persistence.AOF_NO, Death.SIGKILL, 0.0),
        (Persistence.AOF_NO, Death.POWER_LOSS, 30.0),
    ],
)
def test_what_the_disk_keeps(
    persistence: Persistence, death: Death, lost_at_most_s: float | None
) -> None:
    """The table of the design: a prefix survives, and no more is lost than that mode may lose."""
    acknowledged, survived = holds_after(persistence, death, die_at_s=19.85)
    assert survived == list(range(len(survived))), "a prefix, in order"
    if lost_at_most_s is None:
        assert survived == []
        return
    lost = [n for n in acknowledged if n not in survived]
    assert len(lost) <= lost_at_most_s / 0.1
    if lost_at_most_s:
        assert lost, "this death loses the tail, or the fault does nothing"


def test_slow_fsync_postpones_the_write_so_that_a_kill_loses_acknowledged_holds() -> None:
    """Under everysec with a 1.5 s fsync: SIGKILL loses what a healthy disk keeps (R6)."""
    lost: list[int] = []
    for step in range(8):
        acknowledged, survived = holds_after(
            Persistence.AOF_EVERYSEC, Death.SIGKILL, die_at_s=15.0 + 0.23 * step, fsync_s=1.5
        )
        missing = [n for n in acknowledged if n not in survived]
        assert len(missing) <= 21, "never more than the 2 s of the postponement rule"
        lost.extend(missing)
    assert lost


def test_always_answers_only_after_the_fsync() -> None:
    """A slow disk slows every write down under `always`, and nothing acknowledged is lost."""
    world = SmallWorld(Persistence.AOF_ALWAYS, fsync_s=0.5)
    client = world.client()
    client.ping()

    def timed() -> float:
        started_s = world.env.now
        client.set("a", 1)
        return world.env.now - started_s

    world.at(1.0, "write", timed)
    assert world.run(until_s=10.0)["write"] == pytest.approx(0.501, abs=0.002)


def test_rdb_keeps_the_last_completed_snapshot() -> None:
    """With a save point of 60 s and 50 changes, a kill at 80 s keeps what was there at 60 s."""
    world = SmallWorld(Persistence.RDB, save_points=((60, 50),), snapshot_s=0.5)
    client = world.client()
    for number in range(78):
        world.at(number + 0.5, f"{number}", lambda number=number: client.set(str(number), 1))
    world.do(80.0, lambda: world.redis.die(Death.SIGKILL))
    world.do(82.0, world.redis.start)
    world.run(until_s=90.0)
    assert sorted(int(key) for key in client.scan_iter()) == list(range(60))


def test_deadlines_run_on_while_the_server_is_down() -> None:
    """TTLs are absolute: a 3 s key is gone after 5 s of downtime, a 30 s key has 25 s less (R3)."""
    world = SmallWorld(Persistence.AOF_ALWAYS)
    client = world.client()
    world.at(0.0, "short", lambda: client.set("short", 1, px=3_000))
    world.at(0.0, "long", lambda: client.set("long", 1, px=30_000))
    world.do(1.0, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(6.0, world.redis.start)
    world.run(until_s=10.0)
    assert client.get("short") is None
    assert 19_900 <= client.pttl("long") <= 20_100


def test_a_transaction_survives_whole_or_not_at_all() -> None:
    """MULTI is one unit of the journal: both its writes are kept or both lost (R7)."""
    world = SmallWorld(Persistence.AOF_EVERYSEC)
    client = world.client()

    def hold(number: int) -> None:
        with client.pipeline(transaction=True) as pipe:
            pipe.decr("stock")
            pipe.set(f"hold:{number}", 1)
            pipe.execute()

    for number in range(50):
        world.at(number * 0.1, str(number), lambda number=number: hold(number))
    world.do(4.55, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(5.0, world.redis.start)
    world.run(until_s=4.99)
    world.run(until_s=5.5)
    kept = len(client.keys("hold:*"))
    assert 0 < kept < 50
    assert int(client.get("stock")) == -kept


def test_scripts_are_forgotten_by_a_restart_and_replayed_from_the_journal() -> None:
    """A restarted server answers NOSCRIPT, while a script's journalled effect is there."""
    world = SmallWorld(Persistence.AOF_EVERYSEC)
    client = world.client()
    sha = client.script_load("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    for number in range(30):
        world.at(number * 0.1, str(number), lambda: client.evalsha(sha, 1, "sum", 2))
    world.do(2.85, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(2.87, world.redis.start)
    world.run(until_s=2.88)
    kept = int(client.get("sum"))
    assert 0 < kept < 60
    with pytest.raises(redis.exceptions.NoScriptError):
        client.evalsha(sha, 1, "sum", 2)


def test_checkpoints_bound_the_journal_and_change_nothing() -> None:
    """After thousands of writes the journal is short and a power loss still keeps a prefix."""
    world = SmallWorld(Persistence.AOF_EVERYSEC)
    client = world.client()
    for number in range(6000):
        world.at(
            number * 0.01, str(number), lambda number=number: client.set(f"k{number % 50}", number)
        )
    world.do(59.55, lambda: world.redis.die(Death.POWER_LOSS))
    world.do(59.551, world.redis.start)
    world.run(until_s=59.555)
    assert len(world.redis._journal) < 2500
    newest = max(int(value) for value in client.mget([f"k{i}" for i in range(50)]))
    assert sorted(int(v) for v in client.mget([f"k{i}" for i in range(50)])) == list(
        range(newest - 49, newest + 1)
    )
    assert 5800 < newest < 5960


def test_a_client_sees_refused_then_reconnects_by_itself() -> None:
    """While Redis is down calls fail at once; afterwards the pooled connection is replaced."""
    world = SmallWorld()
    client = world.client()
    world.at(0.0, "before", lambda: client.set("a", 1))
    world.do(1.0, lambda: world.redis.die(Death.SIGKILL))
    world.at(2.0, "during", lambda: client.set("a", 2))
    world.do(3.0, world.redis.start)
    world.at(4.0, "after", lambda: client.set("a", 3))
    results = world.run()
    assert results["before"] is True
    assert isinstance(results["during"], redis.ConnectionError)
    assert results["after"] is True


def test_a_lost_reply_is_resent_by_redis_py_and_applied_twice() -> None:
    """R13: with retries a DECR whose reply is lost happens twice; without, once and unknown."""
    for retries, expected in ((0, 9), (1, 8)):
        world = SmallWorld()
        client = world.client(retries=retries)
        client.set("stock", 10)
        world.redis_link.loss = 1.0
        world.at(0.0, "decr", lambda client=client: client.decr("stock"))
        world.do(0.0009, lambda: None)
        world.env.timeout(0.005).callbacks.append(
            lambda _e, world=world: setattr(world.redis_link, "loss", 0.0)
        )
        world.run()
        assert int(client.get("stock")) == expected, retries


def test_a_partition_costs_the_timeout_and_applies_nothing() -> None:
    """The caller waits 2 s, and the command never reached the server."""
    world = SmallWorld()
    client = world.client()
    client.set("a", 1)
    world.redis_link.cut = True

    def timed() -> float:
        started_s = world.env.now
        with pytest.raises(redis.TimeoutError):
            client.set("a", 2)
        return world.env.now - started_s

    world.at(0.0, "write", timed)
    assert world.run()["write"] == pytest.approx(2.0)
    assert client.get("a") == b"1"


@pytest.mark.parametrize("command", [("BLPOP", "q", 1), ("SPOP", "s"), ("CONFIG", "GET", "save")])
def test_what_cannot_be_honoured_is_refused_by_name(command: tuple[Any, ...]) -> None:
    """Blocking, random and deployment commands end the run with their name and the reason."""
    world = SmallWorld()
    client = world.client()
    world.at(0.0, "call", lambda: client.execute_command(*command))
    error = world.run()["call"]
    assert isinstance(error, UnsupportedCommand)
    assert str(command[0]) in str(error)


def test_pubsub_is_refused() -> None:
    """Expiry events come late on a real server; a subscriber here would be told lies."""
    client = SmallWorld().client()
    with pytest.raises(UnsupportedCommand, match="SUBSCRIBE"):
        client.pubsub().subscribe("__keyevent@0__:expired")
