"""Scripts compiled once answer what fakeredis answers; where Redis differs, see conformance."""

from typing import Any

import fakeredis
import pytest
import redis

from tests.model.driving import SmallWorld

SCRIPTS: dict[str, tuple[str, list[str], list[Any]]] = {
    "integer": ("return 1 + tonumber(ARGV[1])", [], [41]),
    "nil is false": ("return redis.call('GET', KEYS[1])", ["nothing"], []),
    "float is cut": ("return 3.99", [], []),
    "table": ("return {1, 'two', {3}, false}", [], []),
    "status": ("return redis.status_reply('FINE')", [], []),
    "error reply": ("return redis.error_reply('MINE wrong')", [], []),
    "command error": (
        "redis.call('SET', KEYS[1], 'x') return redis.call('INCR', KEYS[1])",
        ["k"],
        [],
    ),
    "pcall": (
        "local r = redis.pcall('INCR', KEYS[1], 'too', 'many') return r['err'] ~= nil",
        ["k"],
        [],
    ),
    "sorted set": (
        "redis.call('ZADD', KEYS[1], 3, 'c', 1, 'a') return redis.call('ZRANGE', KEYS[1], 0, -1)",
        ["z"],
        [],
    ),
}


def outcomes(client: Any, name: str) -> list[Any]:
    """The script's answer or error text, three times: compiled, cached, cached."""
    text, keys, arguments = SCRIPTS[name]
    seen: list[Any] = []
    for _ in range(3):
        try:
            seen.append(client.eval(text, len(keys), *keys, *arguments))
        except redis.ResponseError as error:
            seen.append(str(error).split(" script")[0])
    return seen


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_cached_script_answers_as_fakeredis_does(name: str) -> None:
    """The second and third call take our path; the answers are the stock ones."""
    stock = fakeredis.FakeRedis(server=fakeredis.FakeServer(version=(7, 2)), protocol=2)
    assert outcomes(SmallWorld().client(), name) == outcomes(stock, name)


def test_a_script_sees_its_own_keys_and_arguments() -> None:
    """Nothing of one call is left for the next."""
    client = SmallWorld().client()
    text = "return {KEYS[1], KEYS[2], ARGV[1], ARGV[2]}"
    assert client.eval(text, 2, "a", "b", "c", "d") == [b"a", b"b", b"c", b"d"]
    assert client.eval(text, 1, "e") == [b"e"]
    assert client.eval(text, 1, "e", "f") == [b"e"]


def test_wrong_key_counts_are_refused() -> None:
    """The check for the number of keys holds for cached scripts too."""
    client = SmallWorld().client()
    assert client.eval("return 1", 0) == 1
    with pytest.raises(redis.ResponseError, match="Number of keys"):
        client.eval("return 1", 3, "a")
