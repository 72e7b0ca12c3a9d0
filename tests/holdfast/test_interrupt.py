"""Ctrl-C, a time limit's SIGTERM and a killed parent: results stay, processes do not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.holdfast.made_up import clean_environment

LONG = ("compare", "small", "--runs", "100000", "--strategies", "db-cart,redis-hold")
PATIENCE_S = 60.0

NOTICE = "holdfast: finishing the run that is under way; once more to stop at once\n"


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.05)


def alive(group: int) -> bool:
    """Say whether any process of the group is left (zombies of init do not count)."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, owner = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it ended while we looked
        if int(owner) == group and state != "Z":
            return True
    return False


@pytest.fixture
def running(tmp_path: Path, jobs: str) -> Iterator[subprocess.Popen[str]]:
    """A long comparison in a process group of its own, as in a terminal, after some runs."""
    command = subprocess.Popen(
        [sys.executable, "-m", "holdfast", *LONG, "--jobs", jobs],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        results = tmp_path / "holdfast-out" / "results.jsonl"
        wait_until(
            lambda: results.exists() and len(results.read_bytes().splitlines()) > 6, "some runs"
        )
        yield command
    finally:
        if alive(command.pid):
            os.killpg(command.pid, signal.SIGKILL)
        command.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc (Linux)")
@pytest.mark.parametrize(
    ("how", "jobs"), [(signal.SIGINT, "2"), (signal.SIGTERM, "2"), (signal.SIGINT, "1")]
)
def test_what_was_finished_is_printed_and_kept(
    running: subprocess.Popen[str], tmp_path: Path, how: signal.Signals
) -> None:
    """The table is marked partial, the status is 130, every line on disk is whole."""
    if how is signal.SIGINT:
        os.killpg(running.pid, how)  # a terminal sends it to the whole group
    else:
        running.send_signal(how)
    out, errors = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert "PARTIAL: interrupted" in out
    assert (
        errors.strip().removeprefix(NOTICE)
        == "holdfast: interrupted; finished runs are in holdfast-out/results.jsonl"
    )
    wait_until(lambda: not alive(running.pid), "every process to end")
    lines = (tmp_path / "holdfast-out" / "results.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert all(record["verdicts"] for record in records[1:])
    assert f"{len(records) - 1} of 500000 runs" in out.replace("\n", " ")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc (Linux)")
@pytest.mark.parametrize("jobs", ["2"])
def test_workers_end_with_a_killed_parent(running: subprocess.Popen[str]) -> None:
    """A parent that cannot clean up (SIGKILL) takes its workers along all the same."""
    running.kill()
    wait_until(lambda: not alive(running.pid), "every process to end")


EXPLORE = (
    "explore", "redis-hold-recheck", "--buyers", "3", "--faults", "redis-kill",
    "--persistence", "aof-always", "--search", "exhaustive", "--budget", "900",
)  # fmt: skip


def in_group(group: int) -> int:
    """Count the processes of a group."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            found += int(status.read_text().rpartition(")")[2].split()[2]) == group
        except OSError:
            continue  # it ended while we looked
    return found


def processor_s(process: int) -> float:
    """How long a process has worked so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc (Linux)")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_search_tells_what_it_covered(tmp_path: Path, jobs: str) -> None:
    """Ctrl-C in the middle of an exhaustive search: the part is printed, exit 3, nobody is left."""
    search = subprocess.Popen(
        [sys.executable, "-m", "holdfast", *EXPLORE, "--jobs", jobs],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if jobs == "2":  # itself, two workers, and the two processes that start and tidy them
            wait_until(lambda: in_group(search.pid) == 5, "the workers")
        else:
            wait_until(lambda: processor_s(search.pid) > 2.5, "the middle of the search")
        os.killpg(search.pid, signal.SIGINT)  # a terminal sends it to the whole group
        out, errors = search.communicate(timeout=PATIENCE_S)
        assert search.returncode == 3, errors
        assert not errors
        assert "CUT" in out
        assert "cut: interrupted; what follows is no proof" in out
        assert int(out.partition(" schedules")[0].split()[-1]) > 0
        assert "no-overbooking   INCONCLUSIVE" in out
        wait_until(lambda: not alive(search.pid), "every process to end")
    finally:
        if alive(search.pid):
            os.killpg(search.pid, signal.SIGKILL)
        search.communicate()
