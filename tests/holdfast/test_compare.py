"""`holdfast compare` from end to end: the JSON contract, determinism, stories that replay."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import holdfast.comparison
import holdfast.judged
from holdfast import compare
from holdfast.cli import app
from holdfast.errors import WrongCommand
from holdfast.experiment import plan_experiment
from holdfast.json_output import compare_as_dict
from holdfast.out_folder import OutFolder
from model.scenario_file import load_scenario
from model.spec import RunResult, RunSpec
from properties.judge import INVARIANTS
from tests.holdfast.made_up import Command, clean_environment

LOSING = ("small", "--strategies", "db-cart,redis-hold", "--runs", "2")


def test_json_is_one_document_and_nothing_else(holdfast: Command) -> None:
    """Standard output is the contract's document; no progress, no colour, no other line."""
    done = holdfast("compare", *LOSING, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["command"] == "compare"
    assert (document["seed"], document["database"], document["complete"]) == (1, "sqlite", True)
    assert document["scenario"]["name"] == "small"
    assert [(c["strategy"], c["fault"], c["persistence"]) for c in document["cells"]] == [
        ("db-cart", "none", None),
        ("db-cart", "redis-kill", None),
        ("redis-hold", "none", "none"),
        ("redis-hold", "redis-kill", "none"),
        ("redis-hold", "redis-kill", "aof-everysec"),
    ]
    for cell in document["cells"]:
        check_cell(cell)


def check_cell(cell: dict[str, Any]) -> None:
    """Assert that a cell has what the contract promises."""
    assert cell["runs"] == 2
    assert cell["seeds"] == [1_000_003, 1_000_004]
    assert list(cell["verdicts"]) == list(INVARIANTS)
    for verdict in cell["verdicts"].values():
        assert verdict["status"] in {"holds", "violated", "inconclusive"}
        assert verdict["runs"] == 2
        assert (verdict["status"] == "violated") == (verdict["violated_runs"] > 0)
        assert (verdict["replay"] is not None) == (verdict["status"] == "violated")
        assert verdict["status"] != "holds" or verdict["examined"] > 0
    for name in (
        "overbooked_tickets",
        "broken_promises",
        "leaked_tickets",
        "sold_tickets",
        "hold_latency_ms_p99",
        "db_statements_per_buyer",
    ):
        metric = cell["metrics"][name]
        if metric["runs"] > 1:
            low, high = metric["ci95"]
            assert low <= metric["mean"] <= high


def test_every_replay_command_reproduces_its_run(inside: Command, holdfast: Command) -> None:
    """Each command that a report prints is run: the trace hash is the stored one."""
    document = json.loads(inside("compare", *LOSING, "--jobs", "1", "--format", "json").stdout)
    commands = {
        verdict["replay"]
        for cell in document["cells"]
        for verdict in cell["verdicts"].values()
        if verdict["replay"]
    } | {story["replay"] for story in document["stories"]}
    assert len(commands) >= 2
    for command in sorted(commands):
        program, *words = shlex.split(command)
        assert program == "holdfast"
        done = inside(*words)
        assert done.returncode == 0, done.stderr
        assert "reproduced exactly: trace hash" in done.stdout
    assert holdfast(*words).stdout == done.stdout, "in another process"


def test_the_result_does_not_depend_on_the_number_of_processes(holdfast: Command) -> None:
    """One process or three: byte for byte the same document, trace hashes included."""
    one, three = (
        holdfast("compare", *LOSING, "--format", "json", "--jobs", jobs) for jobs in ("1", "3")
    )
    assert one.stdout == three.stdout
    assert one.stdout


def test_another_hash_seed_changes_nothing_and_another_seed_does(holdfast: Command) -> None:
    """Determinism is of the code, not of one lucky process."""
    words = ("compare", "small", "--strategies", "redis-hold", "--runs", "2", "--format", "json")
    first, second = (holdfast(*words, "--jobs", "1", PYTHONHASHSEED=s) for s in ("1", "2"))
    other = holdfast(*words, "--jobs", "1", "--seed", "2")
    assert first.stdout == second.stdout
    hashes = [
        tuple(tuple(cell["trace_hashes"]) for cell in json.loads(run.stdout)["cells"])
        for run in (first, other)
    ]
    assert not set(hashes[0]) & set(hashes[1])


@pytest.mark.parametrize("columns", ["80", "120"])
def test_piped_text_is_plain_and_fits(holdfast: Command, columns: str) -> None:
    """No escape codes, no line wider than asked for, except commands that must stay whole."""
    done = holdfast("compare", *LOSING, COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "VIOLATED by redis-hold under redis-kill" in done.stdout
    for line in done.stdout.splitlines():
        assert len(line) <= int(columns) or line.startswith("  holdfast replay "), line


@pytest.mark.parametrize(
    ("required", "status"),
    [
        (["no-leak"], 0),
        (["hold-honoured"], 1),
        (["hold-honoured", "seat-sold-once"], 1),
        (["seat-sold-once"], 3),
    ],
)
def test_required_invariants_set_the_exit_status(
    tmp_path: Path, required: list[str], status: int
) -> None:
    """0 when it holds, 1 when it is violated, 3 when nothing could be told."""
    words = ["compare", *LOSING, "--faults", "redis-kill", "--persistence", "none", "--jobs", "1"]
    words += ["--out", str(tmp_path)]
    for name in required:
        words += ["--require", name]
    assert CliRunner().invoke(app, words).exit_code == status


def test_each_finished_run_is_on_disk(inside: Command, tmp_path: Path) -> None:
    """results.jsonl has a header and a line a run; only histories that are referred to stay."""
    document = json.loads(
        inside("compare", *LOSING, "--format", "json", "--jobs", "1", "--out", "there").stdout
    )
    lines = (tmp_path / "there" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    header, *runs = map(json.loads, lines)
    assert (header["kind"], header["runs"], len(runs)) == ("results", 2, 10)
    named = {
        shlex.split(verdict["replay"])[-1]
        for cell in document["cells"]
        for verdict in cell["verdicts"].values()
        if verdict["replay"]
    }
    kept = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("there/histories/*")}
    assert kept == named


def test_a_budget_cuts_runs_and_says_so(holdfast: Command) -> None:
    """A cell that got fewer runs says how many; what never ran is inconclusive."""
    words = ("compare", "small", "--strategies", "db-cart", "--runs", "1000", "--jobs", "1")
    done = holdfast(*words, "--budget", "0.5", "--format", "json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["complete"], document["runs"]) == (False, 1000)
    assert document["cut_short"] == "the budget of 0.5 s is spent"
    runs = [cell["runs"] for cell in document["cells"]]
    assert min(runs) > 0
    assert max(runs) - min(runs) <= 1, "cut short, but balanced"
    assert max(runs) < 1000
    told = holdfast(*words, "--budget", "0.5").stdout
    assert "PARTIAL: the budget of 0.5 s is spent" in told


def test_options_of_a_strategy_are_in_its_cell(inside: Command) -> None:
    """Two variants of a strategy are two rows, told apart by their options."""
    done = inside(
        "compare", "small", "--strategies", "db-cart,db-cart:give_back=split", "--faults", "none",
        "--runs", "1", "--jobs", "1", "--format", "json",
    )  # fmt: skip
    assert [(c["strategy"], c["options"]) for c in json.loads(done.stdout)["cells"]] == [
        ("db-cart", {}),
        ("db-cart", {"give_back": "split"}),
    ]


def test_python_gets_the_same_result(tmp_path: Path) -> None:
    """A researcher's `compare(...)` is the command without its printing."""
    result = compare(
        "small", strategies=["redis-hold"], faults=["redis-kill"], persistence=["none"], runs=2,
        jobs=1, out=tmp_path, overrides={"buyers": "8"},
    )  # fmt: skip
    (cell,) = result.cells
    assert cell.verdicts["hold-honoured"].violated_runs == 2
    assert result.experiment.scenario.arrivals.buyers == 8
    assert compare_as_dict(result)["cells"][0]["verdicts"]["hold-honoured"]["replay"]
    with pytest.raises(WrongCommand, match="overrides"):
        compare(result.experiment.scenario, overrides={"buyers": "3"}, out=tmp_path)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"strategies": "db-cart"}, r"strategies: 'db-cart' is one text; .*: \['db-cart'\]"),
        ({"faults": "none"}, r"faults: 'none' is one text"),
        ({"persistence": "none"}, r"persistence: 'none' is one text"),
        ({"persistence": ["aof"]}, r"'aof' is unknown.*aof-always"),
        ({"faults": []}, r"--faults: '' has an empty name"),
        ({"faults": ["none", "none"]}, r"--faults: 'none' is named twice"),
        ({"jobs": 0}, r"jobs: 0 is less than 1"),
    ],
)
def test_python_is_refused_what_the_command_line_is(
    given: dict[str, Any], told: str, tmp_path: Path
) -> None:
    """And what only Python can say: a text for a list, no worker at all."""
    with pytest.raises(WrongCommand, match=told):
        compare("small", **given, out=tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_crash_of_the_code_under_test_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that breaks is reported and inconclusive; the others count."""
    simulate = holdfast.judged.simulate

    def break_the_second(spec: RunSpec) -> RunResult:
        if spec.seed == 1_000_004:
            raise KeyError("a defect")
        return simulate(spec)

    monkeypatch.setattr(holdfast.judged, "simulate", break_the_second)
    result = compare("small", strategies=["db-cart"], faults=["none"], runs=3, jobs=1, out=tmp_path)
    (cell,) = result.cells
    assert [run.run for run in cell.crashes] == [1]
    assert "KeyError: 'a defect'" in cell.crashes[0].crash
    assert cell.verdicts["no-overbooking"].inconclusive_runs == 1
    assert compare_as_dict(result)["cells"][0]["crashed_runs"] == 1


def test_a_command_whose_every_run_crashed_is_inconclusive(
    inside: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was judged, so nothing is done: status 3 also when no invariant is required."""

    def break_down(_spec: RunSpec) -> RunResult:
        raise KeyError("a defect")

    monkeypatch.setattr(holdfast.judged, "simulate", break_down)
    words = ("compare", "small", "--strategies", "db-cart", "--faults", "none", "--jobs", "1")
    told = inside(*words, "--runs", "2")
    assert told.returncode == 3
    assert "2 runs crashed" in told.stderr


def test_the_same_story_is_told_once(inside: Command) -> None:
    """A broken promise breaks two invariants by one run: its events stand under the first."""
    told = inside(
        "compare", "small", "--strategies", "redis-hold", "--faults", "redis-kill",
        "--persistence", "none", "--runs", "3",
    ).stdout.split("Stories: ")[1]  # fmt: skip
    linearizable = told.split("linearizable VIOLATED")[1]
    assert "told above, under hold-honoured" in linearizable
    assert "strikes" not in linearizable
    assert "holdfast replay" in linearizable
    assert "pay for 2 tickets: refused: HoldExpired" in told.split("linearizable VIOLATED")[0]


def test_a_fault_that_never_strikes_is_said(inside: Command, tmp_path: Path) -> None:
    """A crossing that no code makes, or a time after the end, is no evidence and no secret."""
    (tmp_path / "late.toml").write_text(
        "[plans.late]\nfaults = [{ fault = 'app-kill', crossing = 'database reply COMIT' }]\n"
    )
    told = inside(
        "compare", "late.toml", "--strategies", "db-cart", "--faults", "late", "--runs", "1",
        "--set", "arrivals.buyers=5",
    )  # fmt: skip
    assert "late struck in 0 of 1 run:" in told.stdout


def test_results_that_cannot_be_written_are_one_message(inside: Command, tmp_path: Path) -> None:
    """A disk that is full from the first line on is a wrong --out, not a violated invariant."""
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "results.jsonl").symlink_to("/dev/full")
    told = inside("compare", "small", "--runs", "1", "--out", str(folder))
    assert told.returncode == 2
    assert "results.jsonl cannot be written: No space left on device" in told.stderr
    assert "Traceback" not in told.stderr


def test_two_commands_do_not_write_one_folder(inside: Command, tmp_path: Path) -> None:
    """The second would empty the first one's results; when the first has ended it may."""
    out = tmp_path / "results"
    with OutFolder(out, plan_experiment(load_scenario("small"))):
        before = (out / "results.jsonl").read_text()
        done = inside("compare", *LOSING, "--out", str(out))
        assert (done.returncode, done.stdout) == (2, "")
        assert "is being written by another command; name another folder" in done.stderr
        assert (out / "results.jsonl").read_text() == before
    assert inside("compare", *LOSING, "--out", str(out)).returncode == 0


def test_an_interrupt_amid_stories_says_what_was_not_told(
    monkeypatch: pytest.MonkeyPatch, inside: Command
) -> None:
    """The runs are finished, their verdicts stand; what has no story is named."""

    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(holdfast.comparison, "_in_order", interrupted)
    done = inside("compare", *LOSING)
    assert done.returncode == 130
    assert "hold-honoured: no story: cut short before one was found" in done.stdout


def test_whoever_reads_messages_may_leave_too(tmp_path: Path) -> None:
    """A closed standard error changes no exit status."""
    command = f"{shlex.quote(sys.executable)} -m holdfast compare nosuch"
    told = f"( {command}; echo $? > status ) 2>&1 | true"
    subprocess.run(["/bin/sh", "-c", told], cwd=tmp_path, env=clean_environment(), check=True)
    assert (tmp_path / "status").read_text().strip() == "2"
