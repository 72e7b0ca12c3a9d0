"""`holdfast explore --db postgres` as a user meets it: stories, replays, wrong input, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="no psycopg: pip install 'holdfast[postgres]'")

import psycopg

from holdfast.crew import ProcessCrew
from model.database import DatabaseUnavailable, prepare
from model.exploring.small_world import SmallWorld
from model.postgres import address, stock
from properties.exploration.ahead import Walker
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Search
from properties.exploration.finding import SWEPT_ALONG
from tests.holdfast.made_up import Command, clean_environment
from tests.holdfast.test_interrupt import PATIENCE_S, alive, wait_until
from tests.holdfast.test_postgres import _processes_of, _sockets_of, url
from tests.properties.exploration.crews import everything

DERIVED = ("db-derived", "--visits", "leave,leave", "--db", "postgres")


def test_a_good_strategy_is_searched_wholly(inside: Command) -> None:
    """Complete and holding on the real server; nothing of the answer says SQLite."""
    done = inside(
        "explore", "db-cart", "--db", "postgres", "--format", "json",
        "--require", "no-overbooking",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["complete"]
    assert answer["world"]["database"] == "postgres"
    assert answer["invariants"]["no-overbooking"]["status"] == "holds"
    assert answer["states"] > 50  # every statement is a move of its own here


@pytest.mark.parametrize("place", ["private", "url"])
def test_two_processes_find_what_one_finds(place: str) -> None:
    """Each has a database of its own, on the one server of the command; none of them is left."""
    database = "postgres" if place == "private" else url()
    small = SmallWorld(strategy="db-cart-naive", visits=("leave", "leave"), database=database)
    prepare(database)
    alone = Search(small).run()
    crew = ProcessCrew(2, Walker, small=small, reduce=True, histories=False)
    wait_until(crew.ready, "the workers")
    together = Search(small, crew=lambda: crew, alone_s=0.0).run()
    assert everything(together) == everything(alone)
    assert together.breaches
    stock.close_all()
    with psycopg.connect(address.address_of("postgres").conninfo) as admin:
        names = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'holdfast_%'")
        made = {name for (name,) in names if str(os.getpid()) not in name}
    assert place == "private" or not made  # a private server goes with all it has


def test_a_counterexample_is_replayed_byte_for_byte(inside: Command) -> None:
    """The naive cart is caught; the replay command of its story executes it again."""
    done = inside(
        "explore", "db-cart-naive", "--db", "postgres", "--visits", "leave,leave",
        "--require", "no-overhold",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "database postgres" in done.stdout
    commands = [line for line in done.stdout.splitlines() if line.startswith("holdfast replay")]
    again = inside(*commands[0].split()[1:])
    assert again.returncode == 0, again.stderr
    assert "reproduced byte for byte" in again.stdout


def test_a_level_is_searched_told_and_replayed(inside: Command) -> None:
    """REPEATABLE READ sells too much where READ COMMITTED does not; the trace keeps the level."""
    words = ("explore", *DERIVED, "--require", "no-overhold")
    assert inside(*words).returncode == 0
    done = inside(*words, "--isolation", "repeatable-read")
    assert done.returncode == 1
    assert "database postgres (repeatable-read)" in " ".join(done.stdout.split())
    assert "waits for A" in done.stdout or "waits for B" in done.stdout
    trace = Path("holdfast-out/explored/db-derived-no-overhold.json")
    assert json.loads(trace.read_text())["world"]["isolation"] == "repeatable-read"
    assert inside("replay", str(trace)).returncode == 0


def test_a_deadlock_is_among_what_was_reached(inside: Command) -> None:
    """Two carts that share a key and each want it alone: nothing is oversold, but it is told."""
    done = inside(
        "explore", "db-cart-row-lock:event_lock=update", "--db", "postgres", "--visits",
        "leave,leave", "--require", "no-overbooking", "--format", "json",
    )  # fmt: skip
    assert "deadlock" in json.loads(done.stdout)["sometimes"]


def test_samples_on_two_processes(inside: Command) -> None:
    """Each process has a database of its own; the race is found."""
    done = inside(
        "explore", "db-cart-naive", "--db", "postgres", "--search", "random", "--budget", "6",
        "--jobs", "2", "--visits", "leave,leave", "--format", "json", "--require", "no-overhold",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert not answer["complete"]
    assert answer["schedules"] >= 20


def test_a_server_of_ones_own(inside: Command) -> None:
    """The same search at a URL, whose processes are not stopped: it leaves schedules out."""
    done = inside(
        "explore", "db-cart", "--db", url(), "--require", "no-overbooking", "--format", "json"
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert answer["search"] == "exhaustive", "samples would leave them out too"
    assert answer["cut"] == SWEPT_ALONG
    assert answer["invariants"]["no-overbooking"]["status"] == "inconclusive"


def test_a_server_of_ones_own_on_which_nobody_waits(inside: Command) -> None:
    """Nothing is left out: the search is complete there as well."""
    done = inside(
        "explore", "redis-hold", "--visits", "leave,leave", "--db", url(), "--format", "json"
    )
    answer = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert answer["complete"]
    assert answer["states"] > 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--db", "mysql"), "--db: 'mysql' is unknown (allowed: sqlite, postgres"),
        (("--db", "postgresql://me:secret@127.0.0.1:1/shop"), "@127.0.0.1:1/shop: no connection"),
        (("--isolation", "serializable"), "explore it with --db postgres"),
        (("--db", "postgres", "--isolation", "serialisable"), "did you mean 'serializable'"),
    ],
)
def test_wrong_input_is_one_message(inside: Command, words: tuple[str, ...], said: str) -> None:
    """Exit 2; the place, the value and the repair; no secret, nothing on standard output."""
    done = inside("explore", "db-cart", *words)
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_missing_extra_names_the_remedy(inside: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the replay of a trace that needs it."""
    inside("explore", *DERIVED, "--isolation", "repeatable-read")
    real = address.find_spec
    monkeypatch.setattr(
        address, "find_spec", lambda name: None if name == "psycopg" else real(name)
    )
    monkeypatch.setattr(address, "_known", {})
    for words in (
        ("explore", *DERIVED),
        ("replay", "holdfast-out/explored/db-derived-no-overhold.json"),
    ):
        done = inside(*words)
        assert done.returncode == 2
        assert "pip install 'holdfast[postgres]'" in done.stderr


def _sessions_in(folder: Path) -> int:
    """How many connections a command's database in this cluster has."""
    try:
        postmaster = (folder / "pg" / "data" / "postmaster.pid").read_text().split()[0]
    except (OSError, IndexError):
        return 0
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            mine = f"\nPPid:\t{postmaster}\n" in status.read_text()
            found += mine and "holdfast_" in (status.parent / "cmdline").read_text()
        except (OSError, UnicodeDecodeError):
            continue  # it ended while we looked
    return found


def _search_in(folder: Path, *options: str) -> tuple["subprocess.Popen[str]", Path]:
    """A search on a private server, in the middle of statements; and that server's folder."""
    scratch = folder / "t"
    scratch.mkdir()
    scratch.chmod(0o755)
    command = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "explore", "db-cart", "--buyers", "4", "--db",
         "postgres", "--budget", "500", *options],
        cwd=folder,
        env=clean_environment() | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip

    def folders() -> set[Path]:
        return set(scratch.glob("holdfast-live-*")) | _sockets_of(command.pid)

    try:
        # The monitor's, and those of two actors at least.
        wait_until(lambda: any(_sessions_in(each) > 2 for each in folders()), "a search")
        (found,) = folders()
    except BaseException:
        _kill(command)
        raise
    return command, found


def _kill(command: "subprocess.Popen[str]") -> None:
    if alive(command.pid):
        os.killpg(command.pid, signal.SIGKILL)
        command.communicate()


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc (Linux)")


@needs_proc
def test_ctrl_c_tells_what_was_covered_and_leaves_no_server(tmp_path: Path) -> None:
    """In the middle of statements, some of them blocked: exit 3, no process, no folder."""
    command, folder = _search_in(tmp_path)
    try:
        time.sleep(0.5)
        os.killpg(command.pid, signal.SIGINT)
        out, errors = command.communicate(timeout=PATIENCE_S)
    finally:
        _kill(command)
    assert command.returncode == 3
    assert errors == ""
    assert "CUT" in out
    assert "interrupted" in out
    wait_until(lambda: not folder.exists() and not _processes_of(folder), "the server's end")


@needs_proc
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_server_that_dies_amid_the_search_is_not_the_codes_doing(
    tmp_path: Path, jobs: str
) -> None:
    """One line, exit 2: not a schedule that "went two ways"."""
    command, folder = _search_in(tmp_path, "--jobs", jobs)
    try:
        time.sleep(0.5)
        postmaster = (folder / "pg" / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGQUIT)
        out, errors = command.communicate(timeout=PATIENCE_S)
    finally:
        _kill(command)
    assert (command.returncode, out) == (2, ""), errors
    assert errors.count("\n") == 1
    assert "--db postgres: the real server went away" in " ".join(errors.split())
    wait_until(lambda: not folder.exists() and not _processes_of(folder), "the server's end")


def test_a_monitor_that_dies_ends_the_search() -> None:
    """Whoever waits is not taken for somebody who was granted the lock."""
    small = SmallWorld(strategy="db-cart", visits=("leave", "leave"), database="postgres")
    executions = Executions(small)
    world = executions.fresh()
    while "UPDATE events" not in world.take("A").line:
        pass
    while "waits for A" not in world.take("B").line:
        pass
    monitor = stock.stock_of("postgres").monitor.info.backend_pid
    with psycopg.connect(address.address_of("postgres").conninfo) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [monitor])
    with pytest.raises(DatabaseUnavailable, match="the real server went away"):
        world.take("A")
    executions.close()  # B's statement is cancelled without the monitor
    stock.close_all()
