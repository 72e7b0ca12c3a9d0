"""The seam through which fakeredis gets virtual time, in its private modules."""

import time
from pathlib import Path

import fakeredis
import pytest

from model.kernel import EPOCH_S
from model.redis.fakeredis_clock import CLOCK, install
from tests.model.driving import SmallWorld


def test_every_module_of_fakeredis_that_reads_time_has_the_stand_in() -> None:
    """A new fakeredis that reads `time.time()` somewhere else fails here, not in a wrong result."""
    reading = {
        path
        for path in Path(fakeredis.__file__).parent.rglob("*.py")
        if "time.time()" in path.read_text() and "aioredis" not in path.name
    }
    patched = {Path(*name.split(".")[1:]).with_suffix(".py") for name in install()}
    folder = Path(fakeredis.__file__).parent
    assert {path.relative_to(folder) for path in reading} <= patched


def test_the_server_reads_virtual_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wall clock forbidden, TTLs still run, exactly, in virtual time."""

    def forbidden() -> float:
        raise AssertionError("a simulated server read the wall clock")

    world = SmallWorld()
    client = world.client()
    client.set("warm", 1)
    monkeypatch.setattr(time, "time", forbidden)
    world.at(0.0, "set", lambda: client.set("hold", "A", px=900_000, nx=True))
    world.at(899.0, "still there", lambda: client.get("hold"))
    world.at(899.5, "ttl", lambda: client.pttl("hold"))
    world.at(900.1, "gone", lambda: client.get("hold"))
    world.at(901.0, "time", client.time)
    world.run()
    monkeypatch.undo()
    assert world.results["still there"] == b"A"
    assert 500 <= world.results["ttl"] <= 501
    assert world.results["gone"] is None
    seconds, micros = world.results["time"]
    assert seconds + micros / 1e6 == pytest.approx(EPOCH_S + 901.0, abs=0.001)


def test_another_fakeredis_in_the_process_keeps_the_real_clock() -> None:
    """The stand-in answers virtual time only while a simulated command runs."""
    world = SmallWorld()
    world.at(0.0, "set", lambda: world.client().set("a", 1))
    world.run()
    assert CLOCK.at is None
    seconds, _micros = fakeredis.FakeRedis().time()
    assert abs(seconds - time.time()) < 5
