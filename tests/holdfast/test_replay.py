"""`holdfast replay` and `holdfast judge` on good, edited and damaged histories."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaos.persistence import Persistence
from model.history_file import write_history
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from tests.holdfast.made_up import Command

HISTORIES = Path(__file__).parents[1] / "histories"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A stored run in which a hold is lost."""
    spec = RunSpec(
        scenario=load_scenario("small"),
        strategy="redis-hold",
        seed=1_000_003,
        fault="redis-kill",
        persistence=Persistence.NONE,
    )
    path = tmp_path / "lost hold.jsonl"
    write_history(simulate(spec).history, path)
    return path


def edit(path: Path, line: int, **changes: Any) -> None:
    """Change fields of one line (the first is 0) of a stored history."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **changes})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_run_is_shown_operation_by_operation(inside: Command, stored: Path) -> None:
    """Who asked for what, when, and how it ended; the fault in its place; the verdicts."""
    done = inside("replay", str(stored))
    assert (done.returncode, done.stderr) == (0, "")
    assert "reproduced exactly: trace hash" in done.stdout
    assert "hold-honoured    VIOLATED" in done.stdout
    lines = done.stdout.splitlines()
    times = [float(line.split()[0]) for line in lines if line.startswith("   ") and ": " in line
             and line.split()[0].replace(".", "").isdigit()]  # fmt: skip
    assert len(times) > 20
    assert times == sorted(times)
    assert any("***" in line and "redis sigkill strikes" in line for line in lines)
    assert any("pay for" in line and "refused: HoldExpired" in line for line in lines)


def test_what_is_shown_can_be_narrowed(inside: Command, stored: Path) -> None:
    """Some buyers only, so many lines only; the verdicts stay those of the whole run."""
    whole = inside("replay", str(stored)).stdout
    two = inside("replay", str(stored), "--only-buyers", "1,2").stdout
    assert "buyer-1 " in two
    assert "buyer-2 " in two
    assert "buyer-3 " in whole
    assert "buyer-3 " not in two.split("\n\n")[1]
    assert whole.split("\n\n")[-1] == two.split("\n\n")[-1]
    short = inside("replay", str(stored), "--limit", "4").stdout.split("\n\n")[1]
    lines = short.splitlines()
    assert "more lines (--limit 4)" in lines[4]
    assert lines[5:] == [line for line in whole.splitlines() if line.startswith("left out: ")]


def test_sweeps_that_found_nothing_are_counted_not_shown(inside: Command, stored: Path) -> None:
    """They are most lines of a replay; `--sweeps` brings them back, and the count is theirs."""
    brief = inside("replay", str(stored)).stdout
    full = inside("replay", str(stored), "--sweeps").stdout
    idle = [line for line in full.splitlines() if "sweeper-" in line and line.endswith("): ok")]
    assert idle
    assert not [line for line in brief.splitlines() if "sweeper-" in line and "): ok" in line[-5:]]
    assert f"left out: {len(idle)} sweeps that found nothing (--sweeps shows them)" in brief
    assert "left out" not in full


def test_every_crossing_can_be_shown(inside: Command, stored: Path) -> None:
    """What crossed the boundary stands below the operation it belongs to."""
    shown = inside("replay", str(stored), "--crossings", "--only-buyers", "1").stdout.split("\n\n")[
        1
    ]
    assert "buyer-1           database SELECT events" in shown
    assert "buyer-1           redis EVAL" in shown
    plain = inside("replay", str(stored), "--only-buyers", "1").stdout.split("\n\n")[1]
    assert set(plain.splitlines()) < set(shown.splitlines())


def test_a_history_that_went_another_way_is_told(inside: Command, stored: Path) -> None:
    """The first operation that differs is named, and the exit status is 3."""
    lines = stored.read_text(encoding="utf-8").splitlines()
    number, found = next(
        (number, json.loads(line))
        for number, line in enumerate(lines)
        if json.loads(line).get("kind") == "hold"
    )
    edit(stored, number, quantity=found.get("quantity", 0) + 1)
    edit_meta(stored, trace_hash="0" * 32)
    done = inside("replay", str(stored))
    assert done.returncode == 3
    assert f"diverged at operation {found['op_id']}: stored {found['actor']} hold" in done.stderr
    assert "NOT REPRODUCED" in done.stdout


def edit_meta(path: Path, **changes: Any) -> None:
    """Change the meta data of a stored history."""
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    edit(path, 0, meta={**first["meta"], **changes})


def test_an_edited_operation_is_noticed_though_the_hash_is_right(
    inside: Command, stored: Path
) -> None:
    """The trace hash says the run is the same, so the file must be: it is compared too."""
    lines = stored.read_text(encoding="utf-8").splitlines()
    number = next(n for n, line in enumerate(lines) if json.loads(line).get("kind") == "hold")
    edit(stored, number, actor="somebody")
    done = inside("replay", str(stored))
    assert done.returncode == 3
    assert "stored somebody hold" in done.stderr


def test_a_damaged_history_is_reported_and_replayed(inside: Command, stored: Path) -> None:
    """A file cut in the middle of a line: its number is told, the rest compared and judged."""
    text = stored.read_bytes()
    stored.write_bytes(text[: int(len(text) * 0.6)])
    line = text[: int(len(text) * 0.6)].count(b"\n") + 1
    done = inside("replay", str(stored))
    assert done.returncode == 0
    assert f"line {line}: is cut in the middle" in done.stderr
    assert "reproduced exactly" in done.stdout
    judged = inside("judge", str(stored), "--require", "sale-goes-on")
    assert judged.returncode == 3
    assert f"line {line}: is cut in the middle" in judged.stderr
    assert "sale-goes-on" in judged.stdout


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"strategy": "redis-hole"}, "'redis-hole'"),
        ({"fault": "earthquake"}, "'earthquake'"),
        ({"options": {"stock_check": "oracle"}}, "'oracle'"),
        ({"persistence": "aof"}, "'aof' is not one of"),
        ({"scenario": {"name": "x", "sale": {"capacity": -1}}}, "scenario.sale.capacity"),
    ],
)
def test_a_description_that_cannot_run_is_wrong_input(
    inside: Command, stored: Path, changes: dict[str, Any], told: str
) -> None:
    """A history that asks for what is not there ends with one message and status 2."""
    edit_meta(stored, **changes)
    done = inside("replay", str(stored))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_recorded_histories_are_judged_again(inside: Command) -> None:
    """Stored histories need no run: good ones hold, bad ones are violated."""
    good, bad = HISTORIES / "good-sold-out.jsonl", HISTORIES / "bad-held-twice.jsonl"
    assert inside("judge", str(good), "--require", "no-overbooking").returncode == 0
    done = inside("judge", str(good), str(bad), "--format", "json", "--require", "no-overhold")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["command"] == "judge"
    statuses = [h["verdicts"]["no-overhold"]["status"] for h in document["histories"]]
    assert statuses == ["holds", "violated"]
    assert document["histories"][1]["verdicts"]["no-overhold"]["violations"]


def test_buyers_who_did_nothing_are_no_buyers_of_the_run(inside: Command, stored: Path) -> None:
    """An empty replay would look as if they had met nothing."""
    done = inside("replay", str(stored), "--only-buyers", "7777")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--only-buyers 7777: none of them did anything in this run" in done.stderr
