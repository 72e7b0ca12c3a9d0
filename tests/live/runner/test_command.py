"""`holdfast live` as a user calls it: its document, its mistakes, and what it leaves behind."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack
from holdfast.cli import app, live
from model.history_file import read_history
from model.live.timescale import DEFAULT_FACTOR

ROOT = Path(__file__).parents[3]
PATIENCE_S = 120.0

TINY = """
[sale]
capacity = 10
[arrivals]
kind = "steady"
buyers = 8
duration_s = 10.0
[buyers]
party_sizes = { 1 = 1.0 }
think_median_s = 1.0
abandon = 0.3
checkout_median_s = 3.0
last_minute = 0.0
[payment]
challenged = 0.0
plain_s = 2.0
[hold]
ttl_s = 120.0
[sweeper]
period_s = 5.0
[servers]
workers = 10
[options.redis-hold-recheck]
doubtful_after_s = 20.0
[plans.request]
faults = [{ fault = "lost-replies", crossing = "redis request EVALSHA" }]
"""


@pytest.fixture
def tiny(tmp_path: Path, servers: None) -> Path:
    """A scenario file of a sale that is over in two seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def command(*arguments: object) -> list[str]:
    """A command line of `holdfast live`, on one strategy without persistence."""
    given = [str(argument) for argument in arguments]
    return [sys.executable, "-m", "holdfast", "live", *given]


ONE = ("--strategies", "redis-hold-recheck", "--persistence", "none", "--time-factor", "100")


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@pytest.fixture
def long_sale(tmp_path: Path, servers: None) -> Iterator[subprocess.Popen[str]]:
    """A sale of minutes, under way: buyers are being served."""
    with subprocess.Popen(
        command("small", "--faults", "none", *ONE, "--time-factor", "20", "--runs", "1"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            await_that(lambda: has_asked_a_store(process))
            time.sleep(1.0)  # and has been answered, on a busy machine too
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def has_asked_a_store(process: subprocess.Popen[str]) -> bool:
    """Whether an application server has opened a connection, which the first buyer makes it do."""
    children = psutil.Process(process.pid).children(recursive=True)
    return any(connected(child) for child in children if "model.live.nursery" in told(child))


def connected(process: psutil.Process) -> bool:
    """Whether a process has a connection over TCP."""
    try:
        return any(each.raddr for each in process.net_connections(kind="tcp"))
    except psutil.Error:
        return False


def told(process: psutil.Process) -> list[str]:
    """A process's command line; nothing when it has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def await_that(holds: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.05)


def all_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The process and everything it has started."""
    own = psutil.Process(process.pid)
    return [own, *own.children(recursive=True)]


def ended(processes: list[psutil.Process]) -> bool:
    """Whether none of them is left (a zombie is nobody)."""
    return not [
        one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_quiet_tiny_sale_agrees_with_its_simulation(tiny: Path, database: str) -> None:
    """The document has the contract's shape, and nothing but latency differs without a fault."""
    agree = ("--agree", "--agree-db", database, "--format", "json")
    done = run(tiny.parent, tiny, "--faults", "none", *ONE, "--runs", 3, *agree)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["command"] == "live"
    assert document["stack"] == "embedded"
    assert document["repeatable"] is False
    (cell,) = document["cells"]
    assert cell["verdicts"]["hold-honoured"]["status"] == "holds"
    (agreement,) = document["agreement"]
    assert agreement["database"] == database
    assert agreement["measured_ms"]["commit"]["median"] > 0.0
    for name in ("overbooked_tickets", "broken_promises", "leaked_tickets", "sold_tickets"):
        assert agreement["numbers"][name]["disagrees"] is False, agreement["numbers"]
        assert agreement["numbers"][name]["difference"]["runs"] == 3
    (path, *_) = (tiny.parent / "holdfast-out" / "histories").glob("live-*.jsonl")
    assert read_history(path).meta["arm"] == "live"
    again = CliRunner().invoke(app, ["replay", str(path)])
    assert again.exit_code == 2
    assert "cannot be run again" in again.stderr


def test_a_sale_on_servers_of_the_users_own(tiny: Path, embedded: EmbeddedStack) -> None:
    """By URL, with faults that need no server of ours; both servers are still there after it.

    Its Redis cannot be given another persistence: its own is the default, others are refused.
    """
    kept = "aof-always"
    embedded.renew(Persistence(kept))
    given = (
        "--stack=external",
        f"--redis-url={embedded.endpoints.direct_redis_url}",
        f"--database-url={embedded.endpoints.direct_database_url.replace('+psycopg', '')}",
        "--allow-destructive",
        "--strategies=redis-hold-recheck",
        "--time-factor=100",
    )
    done = run(tiny.parent, tiny, "--runs", 1, *given, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["stack"] == "external"
    assert [cell["fault"] for cell in document["cells"]] == ["none", "lost-replies"]
    assert document["cells"][0]["verdicts"]["hold-honoured"]["status"] == "holds"
    assert [cell["persistence"] for cell in document["cells"]] == [kept, kept]
    embedded.check()
    out = tiny.parent / "none"
    done = run(tiny.parent, tiny, *given, "--persistence", "aof-always,none", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"keeps its data by {kept}, not " in done.stderr
    assert not out.exists(), "it is told before the first run"


def test_the_default_factor_is_the_one_that_is_explained() -> None:
    """The command line repeats a number, so that `--help` need not import the live arm."""
    assert inspect.signature(live).parameters["time_factor"].default == DEFAULT_FACTOR


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--stack", "internal"), "--stack: 'internal' is unknown"),
        (("--stack", "external"), "--stack external: needs --redis-url"),
        (
            ("--stack", "external", "--redis-url", "redis://x", "--database-url", "y"),
            "say --allow-destructive if they may be erased",
        ),
        (
            (
                "--stack=external",
                "--redis-url=http://x",
                "--database-url=y",
                "--allow-destructive",
            ),
            "--stack external: ",
        ),
        (("--agree-db", "postgres"), "--agree-db: goes with --agree"),
        (("--agree", "--agree-db", "oracle"), "--agree-db: 'oracle' is unknown"),
        (("--redis-url", "redis://127.0.0.1:1"), "--redis-url: goes with --stack external"),
        (("--time-factor", "2000"), "2000 is more than 300"),
        (("--require", "luck"), "--require: 'luck' is unknown"),
        (("--faults", "request"), "request: redis lost replies: a reply is lost on the reply leg"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(
    tiny: Path, arguments: tuple[str, ...], says: str
) -> None:
    """One message that names the option or the fault, exit status 2, and no run."""
    out = tiny.parent / "out"
    given = ["live", str(tiny), *ONE, *arguments, "--out", str(out)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert not out.exists()


def test_ctrl_c_leaves_a_readable_history_and_nothing_running(
    long_sale: subprocess.Popen[str], tmp_path: Path
) -> None:
    """The servers are healed and stopped, the history so far is on disk, the status is 130."""
    processes = all_of(long_sale)
    assert len(processes) > 5  # a Redis, a PostgreSQL, a nursery, two servers and the runner
    long_sale.send_signal(signal.SIGINT)
    report, _ = long_sale.communicate(timeout=PATIENCE_S)
    assert long_sale.returncode == 130
    await_that(lambda: ended(processes))
    (path,) = (tmp_path / "holdfast-out" / "histories").glob("live-*.jsonl")
    assert f"is in holdfast-out/histories/{path.name}." in " ".join(report.split())
    history = read_history(path)
    assert not history.problems
    assert [op for op in history.operations if op.kind == "hold"]
    assert history.audit is None


def test_a_server_that_dies_by_itself_ends_the_run(
    long_sale: subprocess.Popen[str], tmp_path: Path
) -> None:
    """Redis is killed from outside: status 3, the component is named, nothing is left running."""
    processes = all_of(long_sale)
    (redis,) = [one for one in processes if one.name() == "redis-server"]
    redis.kill()
    report, errors = long_sale.communicate(timeout=PATIENCE_S)
    assert long_sale.returncode == 3, errors
    assert "redis: is not running" in errors
    assert "the history so far is in" in errors
    assert "its log ends:\n" in errors
    assert "PARTIAL: redis: is not running" in report
    assert "log ends" not in report  # once is enough
    await_that(lambda: ended(processes))
    (path,) = (tmp_path / "holdfast-out" / "histories").glob("live-*.jsonl")
    assert read_history(path).operations
