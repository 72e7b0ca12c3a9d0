"""The command's manners: lists, versions, one message for each mistake, no traceback."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.plans import PLAN_NAMES
from holdfast import __version__
from holdfast.cli import app
from model.scenario_file import BUNDLED
from properties.judge import INVARIANTS
from reservation.catalogue import STRATEGIES
from tests.holdfast.made_up import Command, clean_environment

MISTAKES = {
    "compare nowhere": ("nowhere", "on-sale"),
    "compare --strategies redis-hol": ("redis-hol", "did you mean 'redis-hold'", "db-cart"),
    "compare --strategies db-cart:give_back=half": ("give_back", "half", "atomic, split"),
    "compare --strategies db-cart:giveback=split": ("giveback", "did you mean 'give_back'"),
    "compare --strategies ,": ("--strategies", "empty name"),
    "compare --faults redis-kil": ("--faults", "redis-kil", "did you mean 'redis-kill'"),
    "compare --faults none,none": ("--faults", "'none' is named twice"),
    "compare --persistence aof": ("--persistence", "'aof'", "aof-always"),
    "compare --runs 0": ("--runs", "0 is not 1 or more"),
    "compare --runs many": ("--runs", "'many' is not a whole number"),
    "compare --seed x": ("--seed", "'x' is not a whole number"),
    "compare --jobs 0": ("--jobs", "0 is not 1 or more"),
    "compare --budget -1": ("--budget", "'-1'"),
    "compare --db mysql": ("--db", "mysql", "sqlite"),
    "compare --set capacity=0": ("capacity = 0", "at least 1"),
    "compare --set arrivals.buyers=-5": ("arrivals.buyers", "-5"),
    "compare --set nonsense=1": ("nonsense",),
    "compare --set capacity": ("--set", "'capacity' is not key=value"),
    "compare --format xml": ("'--format': 'xml' is not one of text, json",),
    "compare --require no-overbook": ("--require", "did you mean 'no-overbooking'"),
    "compare seats --strategies redis-hold": ("redis-hold", "seats", "seat-setnx"),
    "compare --colour": ("--colour",),
    "compare bad.toml": ("bad.toml", "line 2"),
    "compare wrong.toml": ("wrong.toml", "sale.capacity", "0", "at least 1"),
    "compare trace.toml": ("arrivals.csv", "line 3"),
    "replay nowhere.jsonl": ("nowhere.jsonl", "No such file"),
    "replay bad.toml": ("bad.toml", "not a Holdfast history"),
    "replay bad.toml --only-buyers x": ("--only-buyers", "'x'"),
    "judge nowhere.jsonl": ("nowhere.jsonl", "No such file"),
    "list things": ("'WHAT': 'things' is not one of strategies, faults",),
    "frobnicate": ("frobnicate",),
}


@pytest.fixture
def bad_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with one mistake each, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text('name = "x"\n[sale\n', encoding="utf-8")
    Path("wrong.toml").write_text('name = "x"\n[sale]\ncapacity = 0\n', encoding="utf-8")
    Path("trace.toml").write_text(
        'name = "x"\n[arrivals]\nkind = "trace"\ntrace = "arrivals.csv"\n', encoding="utf-8"
    )
    Path("arrivals.csv").write_text("arrival_s\n1.0\nsoon\n", encoding="utf-8")


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_message_and_status_2(words: str) -> None:
    """It names the place, the value and what is allowed; nothing goes to standard output."""
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for part in MISTAKES[words]:
        assert part in " ".join(done.stderr.split()), done.stderr


def test_a_mistake_leaves_nothing_on_disk(holdfast: Command, tmp_path: Path) -> None:
    """Choices are checked before the output folder is made."""
    done = holdfast("compare", "--strategies", "nobody")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_is_a_mistake(holdfast: Command, tmp_path: Path) -> None:
    """The folder is tried before the first run."""
    (tmp_path / "file").touch()
    done = holdfast("compare", "small", "--runs", "1", "--out", "file")
    assert done.returncode == 2
    assert done.stderr.startswith("holdfast: --out: file cannot be written")


@pytest.mark.parametrize(
    ("shelf", "names"),
    [
        ("strategies", list(STRATEGIES)),
        ("faults", list(PLAN_NAMES)),
        ("invariants", list(INVARIANTS)),
        ("scenarios", list(BUNDLED)),
    ],
)
def test_lists_name_everything(shelf: str, names: list[str]) -> None:
    """Text and JSON have the same names in the same order, each with a summary."""
    text = CliRunner().invoke(app, ["list", shelf])
    assert text.exit_code == 0
    heads = [line.split()[0] for line in text.stdout.splitlines() if not line.startswith(" ")]
    assert heads == names
    document = json.loads(CliRunner().invoke(app, ["list", shelf, "--format", "json"]).stdout)
    assert [entry["name"] for entry in document[shelf]] == names
    assert all(entry["summary"] for entry in document[shelf])


def test_a_strategy_shows_its_options_and_what_is_wrong_with_it() -> None:
    """What `--strategies` accepts can be read off the list."""
    text = " ".join(CliRunner().invoke(app, ["list", "strategies"]).stdout.split())
    assert "give_back=atomic (or split)" in text
    assert "known bad: " in text


def test_a_fault_shows_which_arm_can_do_it_and_what_it_needs() -> None:
    """What only real servers suffer says so, and names what they need beside themselves."""
    text = " ".join(CliRunner().invoke(app, ["list", "faults"]).stdout.split())
    assert "db-pause the database stops (SIGSTOP) for 5 s and goes on only live db-" in text
    assert "its effect has happened only live, with Toxiproxy" in text
    document = json.loads(CliRunner().invoke(app, ["list", "faults", "--format", "json"]).stdout)
    entries = {entry["name"]: entry for entry in document["faults"]}
    needs = {name: (each["simulated"], each["live_needs"]) for name, each in entries.items()}
    assert needs["redis-kill"] == (True, [])
    assert needs["slow-fsync"] == (True, ["a C compiler"])
    assert needs["redis-partition"] == (True, ["Toxiproxy"])
    assert needs["redis-reset"] == (False, ["Toxiproxy"])


def test_a_simulated_run_refuses_what_only_real_servers_suffer(holdfast: Command) -> None:
    """Before the first run, with the arm that can do it."""
    done = holdfast("compare", "small", "--faults", "redis-pause", "--runs", "1")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert said.startswith("holdfast: redis-pause: redis pause: a stopped store takes")
    assert said.endswith("use `holdfast live`")


def test_the_version_is_that_of_the_package() -> None:
    """pyproject.toml and the module say the same."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == __version__
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"holdfast {__version__}\n")


def test_help_does_not_wait_for_heavy_libraries() -> None:
    """`holdfast --help` imports neither the stores nor the simulation."""
    code = (
        "import sys; from holdfast.cli import app; "
        "print([m for m in ('sqlalchemy', 'simpy', 'fakeredis', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal (Unix)")
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals(variables: dict[str, str], *, coloured: bool) -> None:
    """A terminal gets colour, unless NO_COLOR is set; a pipe never does (see test_compare)."""
    import pty

    here, there = pty.openpty()
    history = Path(__file__).parents[1] / "histories" / "bad-held-twice.jsonl"
    subprocess.run(
        [sys.executable, "-m", "holdfast", "judge", str(history)],
        stdout=there,
        env=clean_environment() | {"TERM": "xterm"} | variables,
        check=True,
    )
    os.close(there)
    shown = os.read(here, 100_000)
    os.close(here)
    assert b"VIOLATED" in shown
    assert (b"\x1b[" in shown) == coloured


def test_a_reader_that_leaves_changes_nothing(tmp_path: Path) -> None:
    """`holdfast list strategies | head -1` ends quietly, with the command's own status."""
    command = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "list", "strategies"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=clean_environment(),
    )
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    errors = command.stderr.read()
    command.stderr.close()
    assert command.wait(timeout=60) == 0
    assert errors == b""


def test_a_full_disk_behind_standard_output_is_a_wrong_command(tmp_path: Path) -> None:
    """Status 1 means a violated invariant; a full disk is one message and status 2."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here; Linux has one")
    command = [sys.executable, "-m", "holdfast", "list", "faults"]
    with full.open("w") as nowhere:
        ended = subprocess.run(
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False
        )
    assert ended.returncode == 2
    assert "standard output cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "small", "--out", ""], "is no folder"),
        (["compare", "small", "--set", "hold.ttl_s=1e308"], "must be at most 604800"),
        (["compare", "small", "--set", "sweeper.period_s=0.001"], "must be at least 1"),
    ],
)
def test_what_would_never_end_or_land_anywhere_is_refused(arguments: list[str], says: str) -> None:
    """A time of many years, a sweep each millisecond, and no folder: one message each."""
    ended = subprocess.run(
        [sys.executable, "-m", "holdfast", *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert not ended.stdout
