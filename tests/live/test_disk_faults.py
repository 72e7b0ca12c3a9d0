"""The disk under Redis: slow fsyncs, and what a loss of power leaves."""

import threading
import time
from collections.abc import Callable

import pytest

from chaos.faults import Death, RedisDeath, SlowFsync
from chaos.persistence import Persistence
from chaos.stacks.contract import StackBroken
from chaos.stacks.embedded import EmbeddedStack
from tests.live.asking import FAILURES, redis_client, seconds

pytestmark = pytest.mark.usefixtures("watched_disk")

POWER_LOSS = RedisDeath(death=Death.POWER_LOSS, down_s=1.0)
KILL = RedisDeath(death=Death.SIGKILL, down_s=1.0)


class Writer:
    """Writes keys without a pause until it is told to stop or Redis is gone."""

    def __init__(self, url: str) -> None:
        self.acknowledged: list[str] = []
        self._client = redis_client(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for the last answer."""
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _write(self) -> None:
        try:
            while not self._stop.is_set():
                key = f"key-{len(self.acknowledged)}"
                self._client.set(key, 1)
                self.acknowledged.append(key)
        except FAILURES:
            return


def await_unwritten(url: str, enough: Callable[[int], bool]) -> None:
    """Wait until Redis holds back so many bytes of acknowledged writes from its file.

    A few are there in passing, between a command and the end of its loop.
    """
    client = redis_client(url)
    deadline_s = time.monotonic() + 20.0
    while not enough(client.info("persistence")["aof_buffer_length"]):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    client.close()


def lost(embedded: EmbeddedStack, acknowledged: list[str]) -> list[str]:
    """The acknowledged keys that the server does not have."""
    client = redis_client(embedded.endpoints.direct_redis_url)
    missing = [
        key for key, value in zip(acknowledged, client.mget(acknowledged), strict=True) if not value
    ]
    client.close()
    return missing


def run(
    embedded: EmbeddedStack, persistence: Persistence, death: RedisDeath, *, slow_s: float = 0.0
) -> tuple[list[str], list[str], str]:
    """Write, strike amid it, come back: what was acknowledged, what of it is lost, the detail."""
    embedded._renew_redis(persistence)
    url = embedded.endpoints.direct_redis_url
    disk = embedded.strike(SlowFsync(fsync_s=slow_s, duration_s=1.0)) if slow_s else None
    writer = Writer(url)
    time.sleep(max(0.3, 2.0 * slow_s))
    if disk is not None and persistence is Persistence.AOF_EVERYSEC:
        await_unwritten(url, lambda held_back: held_back > 1000)
    breakage = embedded.strike(death)
    writer.stop()
    breakage.heal()
    if disk is not None:
        disk.heal()
    assert writer.acknowledged
    return writer.acknowledged, lost(embedded, writer.acknowledged), breakage.detail


def kill_at_rest(embedded: EmbeddedStack) -> list[str]:
    """Kill a Redis with `everysec` that has written all it acknowledged; what is lost."""
    embedded._renew_redis(Persistence.AOF_EVERYSEC)
    url = embedded.endpoints.direct_redis_url
    writer = Writer(url)
    time.sleep(0.2)
    writer.stop()
    await_unwritten(url, lambda held_back: not held_back)  # this machine's own disk may be slow
    embedded.strike(KILL).heal()
    assert writer.acknowledged
    return lost(embedded, writer.acknowledged)


@pytest.mark.parametrize("slow_s", [0.0, 0.1])
def test_always_loses_nothing(embedded: EmbeddedStack, slow_s: float) -> None:
    """R6: under `always` no acknowledged write is lost to a loss of power, slow disk or not."""
    acknowledged, missing, _ = run(embedded, Persistence.AOF_ALWAYS, POWER_LOSS, slow_s=slow_s)
    assert not missing
    if slow_s:
        assert len(acknowledged) <= 3  # each waited for its fsync: the disk was slow indeed


def test_everysec_under_three_troubles_gives_three_results(embedded: EmbeddedStack) -> None:
    """R6: a kill loses nothing, a kill with a slow fsync some, a loss of power the last second.

    What is lost is always the end of what was written, never its middle.
    """
    mode = Persistence.AOF_EVERYSEC
    assert kill_at_rest(embedded) == []
    slow_killed, some, _ = run(embedded, mode, KILL, slow_s=0.7)
    assert 0 < len(some) < len(slow_killed)
    assert some == slow_killed[-len(some) :]
    cut, last, detail = run(embedded, mode, POWER_LOSS)
    assert last
    assert last == cut[-len(last) :]
    assert "persistence aof-everysec, the disk lost" in detail


def test_no_loses_what_was_never_synced(embedded: EmbeddedStack) -> None:
    """R6: `no` keeps everything over a kill, and over a loss of power nothing of a short run."""
    _, killed, _ = run(embedded, Persistence.AOF_NO, KILL)
    cut, missing, detail = run(embedded, Persistence.AOF_NO, POWER_LOSS)
    assert not killed
    assert missing == cut
    assert "the disk lost" in detail


def test_a_snapshot_that_completed_survives_a_loss_of_power(embedded: EmbeddedStack) -> None:
    """R5: with snapshots alone, what is left is the last completed one."""
    client = redis_client(embedded.renew(Persistence.RDB).direct_redis_url)
    client.set("before", 1)
    began = client.lastsave()
    client.bgsave()
    while client.info("persistence")["rdb_bgsave_in_progress"] or client.lastsave() < began:
        time.sleep(0.01)
    client.set("after", 1)
    embedded.strike(POWER_LOSS).heal()
    assert [client.exists(key) for key in ("before", "after")] == [1, 0]
    client.close()


def test_nothing_survives_without_persistence(embedded: EmbeddedStack) -> None:
    """R5: a loss of power leaves an empty server."""
    acknowledged, missing, detail = run(embedded, Persistence.NONE, POWER_LOSS)
    assert missing == acknowledged
    assert detail.endswith("persistence none, nothing on the disk")


def test_synced_data_survive_a_rewrite_of_the_file(embedded: EmbeddedStack) -> None:
    """A rewritten AOF is another file (another inode); what was synced in it is kept all the same.

    Redis 6 replaces its one file, Redis 7 its base and increment and the manifest that names them.
    """
    client = redis_client(embedded.renew(Persistence.AOF_ALWAYS).direct_redis_url)
    for number in range(50):
        client.set(f"before-{number}", number)
    client.bgrewriteaof()
    time.sleep(0.05)
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)
    for number in range(50):
        client.set(f"after-{number}", number)
    embedded.strike(POWER_LOSS).heal()
    assert client.dbsize() == 100
    client.close()


def test_a_slow_fsync_is_seen_and_heals_at_once(embedded: EmbeddedStack) -> None:
    """Under `always` each write takes as long as the slowest fsync; healing ends the wait."""
    client = redis_client(embedded.renew(Persistence.AOF_ALWAYS).direct_redis_url)
    slow = embedded.strike(SlowFsync(fsync_s=0.1, duration_s=1.0))
    slower = embedded.strike(SlowFsync(fsync_s=0.2, duration_s=1.0))
    assert seconds(lambda: client.set("a", 1)) >= 0.2
    with pytest.raises(StackBroken, match=r"^redis: each fsync still takes 0.2 s longer$"):
        embedded.check()
    slower.heal()
    assert 0.1 <= seconds(lambda: client.set("a", 1)) < 0.2
    slow.heal()
    slow.heal()
    embedded.check()
    assert seconds(lambda: client.set("a", 1)) < 0.1
    forever = embedded.strike(SlowFsync(fsync_s=600.0, duration_s=1.0))
    timer = threading.Timer(0.1, forever.heal)
    timer.start()
    assert 0.05 < seconds(lambda: client.set("a", 1)) < 3.0
    timer.join()
    client.close()


@pytest.mark.parametrize("persistence", [Persistence.NONE, Persistence.RDB])
def test_without_an_append_only_file_nothing_is_struck(
    embedded: EmbeddedStack, persistence: Persistence
) -> None:
    """A run under such a fault would look like proof that it is harmless: it says so."""
    embedded.renew(persistence)
    breakage = embedded.strike(SlowFsync(fsync_s=1.0, duration_s=1.0))
    assert not breakage.struck
    assert breakage.detail == "no append-only file here"
    embedded.check()
