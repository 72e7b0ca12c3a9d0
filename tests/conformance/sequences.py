"""Random sequences of steps: commands on few keys, strategies' calls, time, deaths and restarts."""

import hashlib
from typing import Any

from hypothesis import strategies as st

from chaos.faults import Death
from chaos.persistence import Persistence
from tests.conformance.differential import Command, Restart, Snapshot, Step, Wait
from tests.conformance.ledger_calls import calls

GRID_MS = 125  # an eighth of a second is exact as a float and in whole milliseconds
SHORT_MS = 64
LONG_MS = 100_000
EPOCH_2100_MS = 4_102_444_800_000

_any_keys = st.sampled_from(["s", "n", "h", "z", "l", "t", "other"])
_wires = st.sampled_from([0, 0, 0, 1])
_texts = st.sampled_from(["1", "7", "-3", "abc", "", "2.5", "10000000000000000000"])
_numbers = st.sampled_from(["1", "2", "-5", "9223372036854775807", "x", "3.0"])
_fields = st.sampled_from(["f", "g", "i"])
_members = st.sampled_from(["a", "b", "c", "d"])
_scores = st.sampled_from(["1", "2", "3.5", "-1", "1767225600123", "+inf", "nan", "x"])
_edges = st.sampled_from(["-inf", "+inf", "1", "(1", "2", "(3.5", "1767225600123", "x"])
_ranks = st.sampled_from(["0", "1", "-1", "-2", "5"])
_ttl_ms = st.sampled_from([SHORT_MS, LONG_MS, LONG_MS + 301, 0, -1])
_ttl_s = st.sampled_from([100, 200, 0, -1])


def _own(key: str) -> st.SearchStrategy[str]:
    """The key that mostly has the right type, now and then another one."""
    return st.sampled_from([key] * 9 + ["other"])


def _words(*parts: Any) -> st.SearchStrategy[tuple[str, ...]]:
    """A command of fixed words and drawn ones; a drawn tuple is more than one word."""
    drawn = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]

    def flatten(values: tuple[Any, ...]) -> tuple[str, ...]:
        flat: list[str] = []
        for value in values:
            flat += [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
        return tuple(flat)

    return st.tuples(*drawn).map(flatten)


_NONE: st.SearchStrategy[tuple[Any, ...]] = st.just(())
_expiry = st.one_of(
    _NONE,
    st.tuples(st.just("PX"), _ttl_ms),
    st.tuples(st.just("EX"), _ttl_s),
    st.just(("KEEPTTL",)),
    st.just(("PXAT", EPOCH_2100_MS)),
    st.just(("EXAT", 1)),
)
_when = st.sampled_from([(), ("NX",), ("XX",), ("GET",), ("XX", "GET")])
_strings = st.one_of(
    _words("SET", _own("s"), _texts),
    _words("SET", _own("s"), _texts, _when, _expiry),
    _words("SET", _own("s"), _texts, ("NX",), st.tuples(st.just("PX"), _ttl_ms)),
    _words("SET", _own("n"), _numbers),
    _words(st.sampled_from(["GET", "GETDEL", "STRLEN", "INCR", "DECR"]), _own("n")),
    _words(st.sampled_from(["GET", "GETDEL"]), _own("s")),
    _words(st.sampled_from(["DECRBY", "INCRBY"]), _own("n"), _numbers),
    _words(st.sampled_from(["GETSET", "SETNX", "APPEND"]), _own("s"), _texts),
    _words("SETEX", _own("s"), _ttl_s, _texts),
    _words("PSETEX", _own("s"), _ttl_ms, _texts),
    _words("GETEX", _own("s"), st.one_of(_NONE, st.just(("PERSIST",)), _words("PX", _ttl_ms))),
    _words("MGET", _any_keys, _any_keys),
    _words("MSET", _own("s"), _texts, _own("n"), _numbers),
    _words("MSETNX", _own("s"), _texts, "n", _numbers),
    _words("GETRANGE", _own("s"), _ranks, _ranks),
)
_keys_at_large = st.one_of(
    _words(st.sampled_from(["DEL", "UNLINK", "EXISTS"]), _any_keys, st.one_of(_NONE, _any_keys)),
    _words(st.sampled_from(["TTL", "PTTL", "TYPE", "PERSIST"]), _any_keys),
    _words("EXPIRE", _any_keys, _ttl_s),
    _words("PEXPIRE", _any_keys, _ttl_ms),
    _words("EXPIREAT", _any_keys, st.sampled_from(["1", "4102444800", "x", "99999999999999999"])),
    _words("PEXPIREAT", _any_keys, st.sampled_from(["1", str(EPOCH_2100_MS)])),
    _words(st.sampled_from(["RENAME", "RENAMENX"]), _any_keys, _any_keys),
    _words("COPY", _any_keys, _any_keys, st.sampled_from([(), ("REPLACE",)])),
)
_hashes = st.one_of(
    _words("HSET", _own("h"), _fields, _texts),
    _words("HSET", _own("h"), _fields, _texts, _fields, _numbers),
    _words(st.sampled_from(["HGET", "HEXISTS", "HDEL", "HSTRLEN"]), _own("h"), _fields),
    _words(st.sampled_from(["HMGET", "HDEL"]), _own("h"), _fields, _fields),
    _words(st.sampled_from(["HGETALL", "HKEYS", "HVALS", "HLEN"]), _own("h")),
    _words("HINCRBY", _own("h"), _fields, _numbers),
    _words("HSETNX", _own("h"), _fields, _texts),
)
_conditions = st.sampled_from([(), ("NX",), ("XX",), ("GT",), ("LT",), ("XX", "CH"), ("NX", "XX")])
_limit = st.one_of(_NONE, _words("LIMIT", _ranks, _ranks))
_sorted_sets = st.one_of(
    _words("ZADD", _own("z"), _conditions, _scores, _members),
    _words("ZADD", _own("z"), _scores, _members, _scores, _members),
    _words(st.sampled_from(["ZSCORE", "ZRANK", "ZREVRANK"]), _own("z"), _members),
    _words("ZREM", _own("z"), _members, st.one_of(_NONE, _members)),
    _words(st.sampled_from(["ZCOUNT", "ZREMRANGEBYSCORE"]), _own("z"), _edges, _edges),
    _words("ZRANGEBYSCORE", _own("z"), _edges, _edges, _limit),
    _words("ZRANGEBYSCORE", _own("z"), _edges, _edges, "WITHSCORES", _limit),
    _words("ZRANGE", _own("z"), _ranks, _ranks, st.sampled_from([(), ("WITHSCORES",), ("REV",)])),
    _words("ZINCRBY", _own("z"), _scores, _members),
    _words("ZCARD", _own("z")),
    _words("ZPOPMIN", _own("z")),
)
_others = st.one_of(
    _words(st.sampled_from(["LPUSH", "RPUSH"]), _own("l"), _texts, _texts),
    _words(st.sampled_from(["LPOP", "RPOP", "LLEN"]), _own("l")),
    _words("LRANGE", _own("l"), _ranks, _ranks),
    _words(st.sampled_from(["SADD", "SREM", "SISMEMBER"]), _own("t"), _members),
    _words(st.sampled_from(["SCARD", "SMEMBERS"]), _own("t")),
)
_mistakes = st.sampled_from(
    [("GET",), ("SET", "s"), ("NOSUCH", "a"), ("SET", "s", "1", "PX"), ("HSET", "h", "f"),
     ("DECRBY", "n"), ("ZADD", "z", "1"), ("EVAL", "return 1"), ("PTTL", "a", "b")]
)  # fmt: skip
_transactions = st.sampled_from(
    [("MULTI",), ("EXEC",), ("EXEC",), ("DISCARD",), ("UNWATCH",), ("WATCH", "n"), ("WATCH", "s")]
)
SCRIPTS = (
    "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', 100000) return redis.call('PTTL', KEYS[1]) > 0",
    "redis.call('SET', KEYS[1], 'half') return redis.call('INCR', KEYS[1])",
    "local r = redis.pcall('HGET', KEYS[1], 'f') return type(r) == 'table' and r['err'] or r",
    "return {KEYS[1], ARGV[1], redis.call('TYPE', KEYS[1]), redis.call('EXISTS', KEYS[1]), false}",
    "return math.min(tonumber(ARGV[1]), 1767225600123)",
)


def _sha(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_texts_of_scripts = st.sampled_from(SCRIPTS)
_lua = st.one_of(
    _words("EVAL", _texts_of_scripts, "1", _any_keys, _numbers),
    _words("EVALSHA", _texts_of_scripts.map(_sha), "1", _any_keys, _numbers),
    _words("SCRIPT", "LOAD", _texts_of_scripts),
    _words("SCRIPT", "EXISTS", _texts_of_scripts.map(_sha)),
)


def _command(words: tuple[str, ...], wire: int) -> Command:
    return Command(tuple(word.encode() for word in words), wire)


def _one_of(weights: list[tuple[int, st.SearchStrategy[Any]]]) -> st.SearchStrategy[Any]:
    """One of several, by weight (`st.one_of` flattens what it is given, and drops repetitions)."""
    each = [strategy for weight, strategy in weights for _ in range(weight)]
    return st.sampled_from(range(len(each))).flatmap(lambda number: each[number])


_commands = st.builds(
    _command,
    _one_of(
        [
            (4, _strings),
            (3, _keys_at_large),
            (2, _hashes),
            (3, _sorted_sets),
            (2, _lua),
            (2, _transactions),
            (1, _others),
            (1, _mistakes),
        ]
    ),
    _wires,
)

_deaths = st.sampled_from([Death.SIGKILL, Death.SIGTERM])
_restarts = st.builds(Restart, _deaths, st.sampled_from([0, 0, GRID_MS, LONG_MS]))


def _said(*words: str, wire: int = 0) -> Command:
    return _command(words, wire)


def _in_a_transaction(first: Step, second: Step) -> list[Step]:
    return [_said("MULTI"), first, second, _said("EXEC")]


def _watched(key: str, wire: int, then: Step) -> list[Step]:
    write = _said("INCR", key, wire=wire)
    return [_said("WATCH", key), write, _said("MULTI"), then, _said("EXEC")]


def _written_again(key: str, ttl_ms: int, then: tuple[str, ...]) -> list[Step]:
    return [_said("SET", key, "1", "PX", str(ttl_ms)), _said(*then), _said("PTTL", key)]


def _script_over_a_restart(text: str, restart: Restart) -> list[Step]:
    arguments = ("1", "n", "2")
    return [_said("EVAL", text, *arguments), restart, _said("EVALSHA", _sha(text), *arguments)]


_STORIES: list[tuple[int, st.SearchStrategy[list[Step]]]] = [
    # What single commands, drawn one by one, would seldom tell.
    (1, st.builds(_in_a_transaction, _commands, _commands)),
    (1, st.builds(_watched, st.sampled_from(["n", "s"]), st.sampled_from([0, 1]), _commands)),
    (1, st.builds(_written_again, st.just("s"), st.sampled_from([SHORT_MS, LONG_MS]), _strings)),
    (1, st.builds(_script_over_a_restart, _texts_of_scripts, _restarts)),
]


def sequences(persistence: Persistence) -> st.SearchStrategy[list[Step]]:
    """Some 20 steps for a server with this persistence, at most 80."""
    step = _one_of(
        [
            (24, _commands),
            (6, calls()),
            (2, _restarts),
            (1, st.builds(Wait, st.sampled_from([GRID_MS, 4 * GRID_MS, 300 * GRID_MS, LONG_MS]))),
            (1 if persistence is Persistence.RDB else 0, st.builds(Snapshot)),
        ]
    )
    bursts = st.lists(_one_of([(6, st.lists(step, max_size=8)), *_STORIES]), max_size=10)
    return bursts.map(lambda nested: [step for burst in nested for step in burst])
