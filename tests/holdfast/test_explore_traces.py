"""Traces of `holdfast explore`: stored, replayed, outliving a change of the code, damaged."""

import json
import shlex
from pathlib import Path

import pytest

from tests.holdfast.test_explore import call


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored counterexample: Redis is killed between hold and payment."""
    out = tmp_path_factory.mktemp("explored")
    code, _, _ = call(
        "explore",
        "redis-hold",
        "--visits",
        "pay,leave",
        "--faults",
        "redis-kill",
        "--out",
        str(out),
    )
    assert code == 0
    return out / "explored" / "redis-hold-no-overhold.json"


def test_a_trace_is_replayed_byte_for_byte(trace: Path) -> None:
    """The stored schedule goes the same way, and would be stored with the same bytes."""
    code, printed, _ = call("replay", str(trace))
    assert code == 0
    assert "reproduced byte for byte" in printed
    assert "no-overhold VIOLATED" in printed


def test_a_trace_outlives_a_change_of_the_code(trace: Path, tmp_path: Path) -> None:
    """A trace whose code has changed says where it first diverged; exit 3."""
    text = trace.read_text().replace('"redis GET hold:{1}:hold-A"', '"redis HGET hold:{1}:hold-A"')
    assert text != trace.read_text()
    changed = tmp_path / "changed.json"
    changed.write_text(text)
    code, _, complaint = call("replay", str(changed))
    assert code == 3
    assert "first diverged at turn" in complaint
    assert "stored: A | redis HGET" in complaint
    assert "now:    A | redis GET" in complaint


def test_a_damaged_trace_is_one_message(trace: Path, tmp_path: Path) -> None:
    """Truncated, of another format, or with turns missing: exit 2, and the repair."""
    whole = trace.read_text()
    for text, repair in (
        (whole[: len(whole) // 2], "explore again"),
        (whole.replace('"format": 1', '"format": 9'), "with that version, or explore again"),
        (whole.replace('"count": ', '"count": 9'), "turns are missing"),
        (whole.replace('"invariant": "', '"invariant": ["no-leak"], "x": "'), "is unknown"),
    ):
        damaged = tmp_path / "damaged.json"
        damaged.write_text(text)
        code, _, complaint = call("replay", str(damaged))
        assert code == 2
        assert repair in complaint.replace("\n", " ")


def test_a_trace_written_otherwise_is_the_same_trace(trace: Path, tmp_path: Path) -> None:
    """On one line, as tools write JSON; `judge` says where traces belong."""
    compact = tmp_path / "compact.json"
    compact.write_text(json.dumps(json.loads(trace.read_text()), separators=(",", ":")))
    code, printed, complaint = call("replay", str(compact))
    assert code == 0, complaint
    assert "reproduced" in printed
    code, _, complaint = call("judge", str(trace))
    assert code == 2
    assert "`holdfast replay` judges it" in complaint


def test_what_a_trace_asks_for_is_refused_by_its_name(trace: Path, tmp_path: Path) -> None:
    """A key alone would say of no file which it is."""
    damaged = tmp_path / "damaged.json"
    damaged.write_text(trace.read_text().replace('"capacity": 1', '"capacity": "x"'))
    code, _, complaint = call("replay", str(damaged))
    assert code == 2
    assert complaint.startswith(f"holdfast: {damaged}: ")


def test_a_replay_command_can_be_pasted(tmp_path: Path) -> None:
    """Whatever the folder is called."""
    out = tmp_path / "a b;c"
    _, printed, _ = call("explore", "db-cart-naive", "--visits", "leave,leave", "--out", str(out))
    words = shlex.split(next(line for line in printed.splitlines() if "holdfast replay" in line))
    assert Path(words[2]).is_file()
