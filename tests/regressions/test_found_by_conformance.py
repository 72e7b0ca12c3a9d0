"""Where the simulated Redis answered otherwise than a real one: found by `tests/conformance`."""

from typing import Any

import pytest
import redis

from chaos.injectors.disk import Disk
from chaos.servers.binaries import Program, redis_server
from model.redis.refusals import UnsupportedCommand
from tests.model.driving import SmallWorld


@pytest.fixture
def client() -> Any:
    """A client of a simulated Redis, a little after the beginning of a second."""
    world = SmallWorld()
    world.run(until_s=1000.75)
    return world.client()


def told(client: Any, *command: Any) -> str:
    """The error a command is answered with."""
    with pytest.raises(redis.ResponseError) as caught:
        client.execute_command(*command)
    return str(caught.value)


def test_setex_kept_only_whole_seconds(client: Any) -> None:
    """A key of SETEX, PSETEX or GETEX ended up to a second early: half a second was none."""
    client.execute_command("PSETEX", "short", 500, "v")
    assert client.pttl("short") == 500
    client.execute_command("SETEX", "long", 10, "v")
    assert client.pttl("long") == 10_000
    client.getex("long", px=700)
    assert client.pttl("long") == 700


def test_the_smallest_amount_was_taken_away(client: Any) -> None:
    """DECRBY by -2**63 was applied, and left a number that Redis cannot hold."""
    client.set("n", 1)
    assert told(client, "DECRBY", "n", -(2**63)) == "decrement would overflow"
    assert client.get("n") == b"1"


@pytest.mark.parametrize("command", [("EXPIRE", 10**17), ("PEXPIRE", 2**63 - 1)])
def test_a_deadline_beyond_all_time_was_accepted(client: Any, command: tuple[str, int]) -> None:
    """EXPIRE took seconds that do not fit in 64 bits of milliseconds."""
    client.set("k", "v")
    name, amount = command
    assert told(client, name, "k", amount) == f"invalid expire time in '{name.lower()}' command"
    assert client.ttl("k") == -1


def test_expire_of_nothing_left_the_key_for_a_moment(client: Any) -> None:
    """EXPIRE 0 deleted only when the clock had moved on."""
    client.set("k", "v")
    assert client.expire("k", 0)
    assert not client.exists("k")


def test_half_a_second_was_rounded_to_the_even_one(client: Any) -> None:
    """TTL of 10.5 s is 11; it was 10."""
    client.set("k", "v", px=10_500)
    assert client.ttl("k") == 11


def test_getex_of_no_key_looked_at_the_time(client: Any) -> None:
    """GETEX of a missing key is nothing, also with a time that no key could have."""
    assert client.execute_command("GETEX", "nobody", "PX", -1) is None


def test_a_watched_key_could_end_unseen() -> None:
    """EXEC ran although the key it was watching had expired meanwhile."""
    world = SmallWorld()
    client = world.client()
    client.set("k", "v", px=500)
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("k")
        world.run(until_s=1.0)
        pipe.multi()
        pipe.set("other", 1)
        with pytest.raises(redis.WatchError):
            pipe.execute()


def test_one_script_with_a_global_broke_all_later_ones(client: Any) -> None:
    """After `x = 1` every script was refused for setting x, on every connection, for ever."""
    assert "Attempt to modify a readonly table" in told(client, "EVAL", "x = 1", 0)
    assert client.eval("return 1", 0) == 1
    assert "nonexistent global variable 'x'" in told(client, "EVAL", "return x", 0)


def test_a_text_that_is_not_lua_was_loaded(client: Any) -> None:
    """SCRIPT LOAD answered with a hash whatever it was given."""
    assert told(client, "SCRIPT", "LOAD", "no lua").startswith("Error compiling script")


def test_lua_answered_numbers_beyond_64_bits(client: Any) -> None:
    """2**63 left a script as it was; a real server's cast makes it the smallest integer."""
    assert client.eval("return 9223372036854775807", 0) == -(2**63)


def test_an_unknown_command_was_not_told_as_redis_does(client: Any) -> None:
    """Its name was lowered and its arguments were left out."""
    said = "unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
    assert told(client, "NOSUCH", "a", "b") == said


@pytest.mark.parametrize("command", [("TOUCH", "k"), ("OBJECT", "ENCODING", "k"), ("INFO",)])
def test_what_fakeredis_lacks_was_called_unknown(client: Any, command: tuple[str, ...]) -> None:
    """A command that every real Redis knows is refused by name, not denied."""
    with pytest.raises(UnsupportedCommand, match=command[0]):
        client.execute_command(*command)


@pytest.mark.parametrize("script", ["return math.random(9)", "return bit.band(1, 3)"])
def test_lua_that_differs_is_refused_by_name(client: Any, script: str) -> None:
    """Random numbers came from the process, and Redis's libraries were missing in silence."""
    with pytest.raises(UnsupportedCommand, match="in scripts"):
        client.eval(script, 0)


def test_a_server_behind_a_link_of_another_name_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Debian's redis-server is a link to redis-check-rdb, which tells another version."""
    real = tmp_path / "redis-check-rdb"
    real.write_text('#!/bin/sh\ncase "$0" in *server) echo "Redis server v=99.1.2";; esac\n')
    real.chmod(0o755)
    (tmp_path / "redis-server").symlink_to(real)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    redis_server.cache_clear()
    try:
        assert redis_server() == Program(path=tmp_path / "redis-server", version=(99, 1, 2))
    finally:
        redis_server.cache_clear()


def test_a_loss_of_power_leaves_the_names_of_files(tmp_path: Any) -> None:
    """Redis 7 names its append-only files in a manifest; one that was gone stopped its start."""
    room, data = tmp_path / "room", tmp_path / "data"
    room.mkdir()
    data.mkdir()
    (data / "appendonly.aof.1.incr.aof").write_bytes(b"never synced")
    disk = Disk(room)
    disk.lose_power(data)
    disk.close()
    assert [file.stat().st_size for file in data.iterdir()] == [0]
