"""What the strategies rely on, told once and asked of the simulated Redis and of real ones."""

from typing import Any

import pytest

from tests.conformance.arms import RedisArm, Refusal, Wire
from tests.conformance.differential import said

NOT_LUA = "Error compiling script (new function): user_script:1:"


@pytest.fixture
def wire(arm: RedisArm) -> Wire:
    """One connection to an empty server."""
    return Wire(arm.client())


@pytest.fixture
def other(arm: RedisArm) -> Wire:
    """Another connection to it."""
    return Wire(arm.client())


def test_set_nx_px_takes_once_and_frees_at_its_end(arm: RedisArm, wire: Wire) -> None:
    """A seat is taken by the first, refused to the second, and free again when its time is up."""
    assert wire.send("SET", "seat", "a", "NX", "PX", 80) == b"OK"
    assert wire.send("SET", "seat", "b", "NX", "PX", 80) is None
    assert wire.send("GET", "seat") == b"a"
    arm.wait(0.1)
    assert wire.send("GET", "seat") is None
    assert wire.send("SET", "seat", "b", "NX", "EX", 10) == b"OK"


@pytest.mark.parametrize(
    ("command", "ms"),
    [
        (("SET", "k", "v", "PX", 900), 900),
        (("SET", "k", "v", "EX", 10), 10_000),
        (("SETEX", "k", 10, "v"), 10_000),
        (("PSETEX", "k", 10_700, "v"), 10_700),
        (("GETEX", "s", "PX", 10_700), 10_700),
    ],
)
def test_a_deadline_is_as_long_as_asked(wire: Wire, command: tuple[Any, ...], ms: int) -> None:
    """To the millisecond, whatever the fraction of the second it was set in."""
    wire.send("SET", "s", "v")
    wire.send(*command)
    assert ms - 50 <= wire.send("PTTL", command[1]) <= ms


@pytest.mark.parametrize(("ms", "seconds"), [(10_750, 11), (10_250, 10), (100_000, 100)])
def test_ttl_rounds_to_the_nearest_second(wire: Wire, ms: int, seconds: int) -> None:
    """TTL adds half a second and cuts; PTTL tells milliseconds; -1 and -2 mean none and no key."""
    wire.send("SET", "k", "v", "PX", ms)
    assert wire.send("TTL", "k") == seconds
    assert wire.send("PERSIST", "k") == 1
    assert wire.send("TTL", "k") == wire.send("PTTL", "k") == -1
    assert wire.send("TTL", "nobody") == wire.send("PTTL", "nobody") == -2


def test_expiry_is_exact_for_readers(arm: RedisArm, wire: Wire) -> None:
    """No command sees a key, a hash or a sorted set after its deadline, nor counts it."""
    wire.send("HSET", "h", "f", "1")
    wire.send("ZADD", "z", 1, "m")
    wire.send("SET", "n", "7")
    for key in ("h", "z", "n"):
        assert wire.send("PEXPIRE", key, 60) == 1
    arm.wait(0.08)
    assert wire.send("HGET", "h", "f") is None
    assert wire.send("ZCARD", "z") == 0
    assert wire.send("EXISTS", "h", "z", "n") == 0
    assert wire.send("KEYS", "*") == []
    assert wire.send("INCR", "n") == 1
    assert wire.send("PTTL", "n") == -1, "a new key does not inherit the old deadline"


def test_set_drops_the_deadline_unless_told_to_keep_it(wire: Wire) -> None:
    """SET clears a TTL, KEEPTTL keeps it; arithmetic keeps it too."""
    wire.send("SET", "k", "1", "PX", 60_000)
    wire.send("INCRBY", "k", 4)
    wire.send("SET", "k", "2", "KEEPTTL")
    assert 59_000 < wire.send("PTTL", "k") <= 60_000
    wire.send("SET", "k", "3")
    assert wire.send("PTTL", "k") == -1


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("EXPIRE", "k", 0), 1),
        (("PEXPIRE", "k", -1), 1),
        (("PEXPIREAT", "k", 1), 1),
        (("EXPIREAT", "k", 1), 1),
        (("SET", "k", "v", "EXAT", 1), b"OK"),
        (("SET", "k", "v", "PXAT", 1), b"OK"),
    ],
)
def test_a_deadline_in_the_past_deletes(
    wire: Wire, command: tuple[Any, ...], answer: object
) -> None:
    """What should have ended already ends now."""
    wire.send("SET", "k", "v")
    assert wire.send(*command) == answer
    assert wire.send("EXISTS", "k") == 0


def test_getdel_and_decrby(arm: RedisArm, wire: Wire) -> None:
    """GETDEL takes away what it returns; DECRBY goes below zero and starts at zero."""
    assert wire.send("DECRBY", "stock", 3) == -3
    assert wire.send("GETDEL", "stock") == b"-3"
    assert wire.send("GETDEL", "stock") is None
    if arm.version >= (7,):  # 6.2 wraps around
        assert said(wire.send("DECRBY", "stock", "-9223372036854775808")) == "would overflow"
        assert wire.send("EXISTS", "stock") == 0, "a refused command changes nothing"


def test_sorted_sets_of_deadlines(wire: Wire) -> None:
    """As the hold ledgers use them: scores in epoch milliseconds, open and closed ends."""
    deadlines = {"a": 1_767_225_600_000, "b": 1_767_225_600_123, "c": 1_767_225_600_456}
    for member, deadline in deadlines.items():
        assert wire.send("ZADD", "z", deadline, member) == 1
    assert wire.send("ZADD", "z", "NX", 5, "a") == 0
    assert wire.send("ZSCORE", "z", "b") == b"1767225600123"
    assert wire.send("ZCOUNT", "z", "-inf", f"({deadlines['c']}") == 2
    assert wire.send("ZRANGEBYSCORE", "z", "-inf", deadlines["b"]) == [b"a", b"b"]
    assert wire.send("ZRANGEBYSCORE", "z", f"({deadlines['a']}", "+inf", "LIMIT", 0, 1) == [b"b"]
    assert wire.send("ZREMRANGEBYSCORE", "z", "-inf", f"({deadlines['b']}") == 1
    assert wire.send("ZREM", "z", "b", "nobody") == 1
    assert wire.send("ZRANGE", "z", 0, -1, "WITHSCORES") == [b"c", b"1767225600456"]
    assert wire.send("ZREM", "z", "c") == 1
    assert wire.send("EXISTS", "z") == 0, "an empty set is no key"


def test_hashes_of_holds(wire: Wire) -> None:
    """As the counter keeps its holds."""
    assert wire.send("HSET", "h", "one", "1", "two", "2") == 2
    assert wire.send("HSET", "h", "one", "11") == 0
    assert wire.send("HMGET", "h", "one", "nobody") == [b"11", None]
    assert wire.send("HGETALL", "h") == [b"one", b"11", b"two", b"2"]
    assert wire.send("HEXISTS", "h", "two") == 1
    assert wire.send("HDEL", "h", "one", "two", "three") == 2
    assert wire.send("EXISTS", "h") == 0, "an empty hash is no key"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("GET",), "wrong number of arguments for 'get' command"),
        (("SET", "k"), "wrong number of arguments for 'set' command"),
        (("SET", "k", "v", "PX"), "syntax error"),
        (("SET", "k", "v", "NX", "XX"), "syntax error"),
        (("SET", "k", "v", "PX", "soon"), "value is not an integer or out of range"),
        (("SET", "k", "v", "PX", 0), "invalid expire time in set"),
        (("EXPIRE", "s", "99999999999999999"), "invalid expire time in expire"),
        (("INCR", "s"), "value is not an integer or out of range"),
        (("ZADD", "z", "high", "m"), "value is not a valid float"),
        (("ZCOUNT", "z", "a", "b"), "min or max is not a float"),
        (("HGET", "s", "f"), "WRONGTYPE Operation against a key holding the wrong kind of value"),
        (("NOSUCH", "a"), "unknown NOSUCH"),
        (("EVALSHA", "0" * 40, 0), "No matching script. Please use EVAL."),
        (("EVAL", "return 1", 2, "k"), "Number of keys can't be greater than number of args"),
        (("EVAL", "return 1", -1), "Number of keys can't be negative"),
        (("EVAL", "nonsense here", 0), f"{NOT_LUA} '=' expected near 'here'"),
        (("SCRIPT", "LOAD", "nonsense"), f"{NOT_LUA} '=' expected near '<eof>'"),
        (("EXEC",), "EXEC without MULTI"),
        (("DISCARD",), "DISCARD without MULTI"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_redis_words(
    wire: Wire, command: tuple[Any, ...], answer: str
) -> None:
    """The text of each error, but for what only the version decides (see `said`)."""
    wire.send("SET", "s", "text")
    reply = wire.send(*command)
    assert isinstance(reply, Refusal)
    assert said(reply) == answer


def test_multi_runs_everything_or_nothing_of_what_it_could_not_queue(wire: Wire) -> None:
    """A command that fails in EXEC leaves the others; one that cannot be queued undoes them all."""
    wire.send("SET", "text", "x")
    assert wire.send("MULTI") == b"OK"
    assert wire.send("SET", "k", "1") == b"QUEUED"
    assert wire.send("INCR", "text") == b"QUEUED"
    first, second = wire.send("EXEC")
    assert first == b"OK"
    assert second == Refusal("value is not an integer or out of range")
    assert wire.send("GET", "k") == b"1"
    wire.send("MULTI")
    wire.send("SET", "k", "2")
    assert isinstance(wire.send("SET", "k"), Refusal)
    refused = wire.send("EXEC")
    assert refused == Refusal("Transaction discarded because of previous errors.")
    assert wire.send("GET", "k") == b"1"


def test_watch_aborts_when_somebody_else_wrote(wire: Wire, other: Wire) -> None:
    """The optimistic lock of `redis-hold-racy:watch=pipeline`; a write of one's own counts too."""
    for writer, expected in ((other, None), (wire, None)):
        wire.send("WATCH", "held")
        writer.send("INCR", "held")
        wire.send("MULTI")
        wire.send("SET", "k", "1")
        assert wire.send("EXEC") == expected
    wire.send("WATCH", "held")
    other.send("INCR", "elsewhere")
    wire.send("MULTI")
    wire.send("SET", "k", "1")
    assert wire.send("EXEC") == [b"OK"]


def test_a_watched_key_that_expires_aborts(arm: RedisArm, wire: Wire) -> None:
    """The end of a deadline is a change like any other."""
    wire.send("SET", "k", "1", "PX", 60)
    wire.send("WATCH", "k")
    arm.wait(0.08)
    wire.send("MULTI")
    wire.send("PING")
    assert wire.send("EXEC") is None


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("return 3.99", 3),
        ("return -3.99", -3),
        ("return {1, 'two', {3}, false, nil, 5}", [1, b"two", [3], None]),
        ("return true", 1),
        ("return redis.status_reply('FINE')", b"FINE"),
        ("return redis.error_reply('MINE wrong')", Refusal("MINE wrong")),
        ("return {err = 'MINE wrong'}", Refusal("MINE wrong")),
        ("return redis.call('GET', KEYS[1])", None),
        ("return type(redis.call('GET', KEYS[1]))", b"boolean"),
        ("return redis.call('SET', KEYS[1], 'x').ok", b"OK"),
        ("return redis.pcall('INCR', KEYS[2]).err ~= nil", 1),
        ("return string.format('%.0f', 1767225600123)", b"1767225600123"),
        ("redis.call('SET', KEYS[1], 1767225600123) return redis.call('GET', KEYS[1])",
         b"1767225600123"),
        ("redis.call('SET', KEYS[1], 0.1) return redis.call('GET', KEYS[1])",
         b"0.10000000000000001"),
        ("return redis.call('ZADD', KEYS[1], 1767225600123, 'm')", 1),
        ("return redis.sha1hex('a')", b"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("return redis.call('INCR', KEYS[2])", Refusal("value is not an integer or out of range")),
        ("return redis.call('NOSUCH')", Refusal("Unknown Redis command called from script")),
        ("error('broken')", Refusal("user_script:1: broken")),
        ("leaked = 1", Refusal("user_script:1: Attempt to modify a readonly table")),
        ("return leaked", Refusal(
            "user_script:1: Script attempted to access nonexistent global variable 'leaked'")),
    ],
)  # fmt: skip
def test_what_lua_answers(arm: RedisArm, wire: Wire, script: str, answer: object) -> None:
    """Conversions both ways, errors, and a sealed sandbox; twice, as the second is compiled."""
    for _ in range(2):
        wire.send("DEL", "k")
        wire.send("SET", "text", "x")
        reply = wire.send("EVAL", script, 2, "k", "text")
        if isinstance(answer, Refusal):
            assert isinstance(reply, Refusal)
            assert said(reply) == answer
        else:
            assert reply == answer
            assert type(reply) is type(answer)


def test_a_script_is_all_or_nothing_of_what_it_reached(wire: Wire) -> None:
    """There is no rollback: what a failing script wrote before stays, on both arms."""
    reply = wire.send("EVAL", "redis.call('INCR', KEYS[1]) error('late')", 1, "n")
    assert isinstance(reply, Refusal)
    assert wire.send("GET", "n") == b"1"


def test_eval_and_load_teach_the_script(wire: Wire) -> None:
    """EVALSHA knows what EVAL ran and what SCRIPT LOAD loaded, until SCRIPT FLUSH."""
    sha = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
    assert said(wire.send("EVALSHA", sha, 0)).startswith("No matching script")
    assert wire.send("EVAL", "return 1", 0) == 1
    assert wire.send("EVALSHA", sha, 0) == 1
    assert wire.send("SCRIPT", "EXISTS", sha, "0" * 40) == [1, 0]
    wire.send("SCRIPT", "FLUSH")
    assert wire.send("SCRIPT", "EXISTS", sha) == [0]
    assert wire.send("SCRIPT", "LOAD", "return 1") == sha
    assert wire.send("EVALSHA", sha, 0) == 1
