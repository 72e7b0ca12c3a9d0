"""Histories on disk."""

import json
from pathlib import Path

import pytest

from model.history import (
    Audit,
    FaultSpan,
    History,
    Operation,
    OrderRow,
    Outcome,
    PaymentRow,
    StockRow,
)
from model.history_file import MOST_PROBLEMS, HistoryError, read_history, write_history


def an_audit() -> Audit:
    """Return an audit with one row of each kind."""
    return Audit(
        at_s=2000.0,
        quiet_s=900.0,
        stock=(
            StockRow(event_id=1, capacity=60, remaining_ticket=58, sellable=58, held=0, sold=2),
        ),
        orders=(
            OrderRow(
                order_id=7,
                key="k1",
                hold_id="h1",
                customer_id="c1",
                event_id=1,
                quantity=2,
                seats=("A1", "A2"),
            ),
        ),
        payments=(PaymentRow(key="k1", amount_cents=10_000, captured_s=6.5, refunded_s=None),),
    )


def a_history() -> History:
    """Return a history with every kind of record, and floats that need all their digits."""
    return History(
        meta={"strategy": "redis-hold", "seed": 1, "trace_hash": "é|ü", "options": {"a": [1, 2]}},
        capacity={1: 60, 2: 5},
        ttl_s=900.0,
        sweep_bound_s=0.1 + 0.2,
        operations=[
            Operation(
                op_id=1,
                actor="buyer-1",
                kind="hold",
                invoked_s=1 / 3,
                hold_id="h1",
                quantity=2,
                seats=("A1", "A2"),
                completed_s=1e-17,
                outcome=Outcome.OK,
                expires_s=900.3333333333334,
            ),
            Operation(op_id=2, actor="sweeper-app-0", kind="sweep", invoked_s=2.0, returned=3),
            Operation(
                op_id=3,
                actor="buyer-1",
                kind="checkout",
                invoked_s=5.0,
                key="k1",
                outcome=Outcome.REFUSED,
                reason="OrderRefused",
                captured_s=6.5,
                order_id=7,
            ),
        ],
        faults=[
            FaultSpan(fault="redis-kill", started_s=3.0, ended_s=5.0, detail="all lost"),
            FaultSpan(fault="sweeper-stopped", started_s=0.0, ended_s=None),
        ],
        audit=an_audit(),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a written history."""
    path = tmp_path / "run.jsonl"
    write_history(a_history(), path)
    return path


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file."""
    return path.read_text(encoding="utf-8").splitlines()


def edit(path: Path, line: int, text: str) -> None:
    """Put another text on a line, counted from 1."""
    lines = lines_of(path)
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_history_comes_back_exactly(path: Path) -> None:
    """Every field and every digit of every float survives."""
    assert read_history(path) == a_history()


def test_an_empty_history_comes_back(tmp_path: Path) -> None:
    """No operations, no faults, no audit is a history too."""
    write_history(History(), tmp_path / "empty.jsonl")
    assert read_history(tmp_path / "empty.jsonl") == History()


def test_equal_histories_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    """Nothing of the time or the process gets into the file."""
    write_history(read_history(path), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()


def test_the_first_line_says_what_the_file_is(path: Path) -> None:
    """Anybody can see with `head -1` what a file is and how to run it again."""
    first = json.loads(lines_of(path)[0])
    assert first["kind"] == "history"
    assert first["holdfast"]
    assert first["meta"]["seed"] == 1


def test_defaults_are_left_out(path: Path) -> None:
    """Lines stay short: a sweep carries no hold, key or seats."""
    assert json.loads(lines_of(path)[4]) == {
        "record": "operation",
        "op_id": 2,
        "actor": "sweeper-app-0",
        "kind": "sweep",
        "invoked_s": 2.0,
        "returned": 3,
    }


def test_a_failed_write_leaves_the_old_file_alone(path: Path) -> None:
    """A reader sees the whole file or the old one, and no scrap stays behind."""
    broken = a_history()
    broken.meta["not JSON"] = object()
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_history(broken, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Writing into nowhere is an error that says where."""
    nowhere = tmp_path / "no" / "run.jsonl"
    with pytest.raises(HistoryError, match="cannot be written: No such file"):
        write_history(a_history(), nowhere)


def test_a_line_cut_in_the_middle_is_reported_and_the_rest_kept(path: Path) -> None:
    """The file ends within line 5, as after a full disk: one problem, four whole lines."""
    whole = path.read_bytes()
    cut = whole.index(b"sweeper-app-0")
    path.write_bytes(whole[:cut])
    history = read_history(path)
    assert [problem.split(":")[0] for problem in history.problems] == ["line 5"]
    assert "cut in the middle" in history.problems[0]
    assert history.operations == a_history().operations[:1]
    assert history.faults == a_history().faults
    assert history.audit is None


@pytest.mark.parametrize("kept", [1, 2, 4, 6, 7])
def test_a_file_cut_between_lines_is_reported(path: Path, kept: int) -> None:
    """Even when every line is whole, a missing end is noticed, with the line where it ends."""
    path.write_text("\n".join(lines_of(path)[:kept]) + "\n", encoding="utf-8")
    assert read_history(path).problems == [
        f"line {kept + 1}: the file ends before its `end` record; the rest is lost"
    ]


def test_every_cut_is_reported(path: Path) -> None:
    """Wherever the file is cut, it is either no history at all or has a problem; never silence."""
    whole = path.read_bytes()
    first = whole.index(b"\n")
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        if length < first:
            with pytest.raises(HistoryError):
                read_history(path)
        else:
            assert read_history(path).problems, length


def test_a_damaged_line_costs_only_itself(path: Path) -> None:
    """What is not JSON is named by its line; everything around it is kept."""
    edit(path, 5, '{"record":"operation","op_id":2,')
    history = read_history(path)
    assert len(history.problems) == 1
    assert history.problems[0].startswith("line 5: is damaged, not a JSON object: ")
    assert [operation.op_id for operation in history.operations] == [1, 3]
    assert history.audit == a_history().audit


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"record":"song"}', 'record = "song": must be fault, operation, audit or end'),
        ("[1]", "must be a JSON object, is [1]"),
        (
            '{"record":"operation","actor":"b","kind":"hold","invoked_s":1}',
            "op_id: is missing from this Operation",
        ),
        (
            '{"record":"operation","op_id":"2","actor":"b","kind":"hold","invoked_s":1}',
            'op_id = "2": must be a whole number',
        ),
        (
            '{"record":"operation","op_id":2,"actor":"b","kind":"hold","invoked_s":NaN}',
            "invoked_s = NaN: must be a finite number",
        ),
        (
            '{"record":"operation","op_id":2,"actor":"b","kind":"hold","invoked_s":true}',
            "invoked_s = true: must be a finite number",
        ),
        (
            '{"record":"operation","op_id":2,"actor":"b","kind":"hold","invoked_s":1,"outcome":"?"}',
            'outcome = "?": must be one of ok, refused, not-applied, unknown',
        ),
        (
            '{"record":"operation","op_id":2,"actor":"b","kind":"hold","invoked_s":1,"seats":"A1"}',
            'seats = "A1": must be a list',
        ),
        (
            '{"record":"operation","op_id":2,"actor":"b","kind":"hold","invoked_s":1,"x":"red"}',
            "x: is no field of Operation",
        ),
        (
            '{"record":"audit","at_s":1,"quiet_s":1,"stock":[{}],"orders":[],"payments":[]}',
            "stock = [{}]: event_id: is missing from this StockRow",
        ),
    ],
)
def test_a_record_that_makes_no_sense_is_reported(path: Path, text: str, problem: str) -> None:
    """A value of the wrong kind is named with its line, its field and what is allowed."""
    edit(path, 5, text)
    history = read_history(path)
    assert history.problems == [f"line 5: {problem}"]
    assert [operation.op_id for operation in history.operations] == [1, 3]


def test_bytes_that_are_no_text_are_reported(path: Path) -> None:
    """A flipped bit that breaks UTF-8 costs one line."""
    path.write_bytes(path.read_bytes().replace(b"sweeper-app-0", b"sweeper-\xff\xfe-0"))
    problems = read_history(path).problems
    assert [problem.split(":")[0] for problem in problems] == ["line 5"]


def test_a_missing_line_is_reported(path: Path) -> None:
    """The last line counts the others, so a line that vanished whole is noticed."""
    lines = lines_of(path)
    path.write_text("\n".join([*lines[:4], *lines[5:]]) + "\n", encoding="utf-8")
    assert "lines are missing" in read_history(path).problems[0]


def test_two_histories_in_one_file_are_reported(path: Path) -> None:
    """What stands after the end is not read as if it belonged to this run."""
    path.write_bytes(path.read_bytes() * 2)
    history = read_history(path)
    assert len(history.operations) == 3
    assert "stands after the `end` record" in history.problems[0]


def test_many_problems_are_counted(path: Path) -> None:
    """A file of rubbish does not flood the reader."""
    first = lines_of(path)[0]
    path.write_text(first + "\n" + "rubbish\n" * 1_000, encoding="utf-8")
    problems = read_history(path).problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1] == "and 981 more"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"PK\x03\x04", b"{}", b"[1, 2]", b'{"kind": "song"}', b"[" * 100_000]
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, content: bytes) -> None:
    """Anything else than a history is one clear error."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="is not a Holdfast history: line 1 must be"):
        read_history(path)


def test_a_newer_format_is_refused(path: Path) -> None:
    """A history of a later Holdfast says so, instead of being misread."""
    edit(path, 1, '{"holdfast":"9.0","kind":"history","format":2}')
    with pytest.raises(HistoryError, match=r"is of format 2, written by Holdfast 9\.0; this"):
        read_history(path)


def test_a_damaged_first_line_is_refused(path: Path) -> None:
    """Without the bounds of the first line nothing can be judged."""
    edit(path, 1, '{"kind":"history","format":1,"ttl_s":"long","sweep_bound_s":1}')
    with pytest.raises(HistoryError, match="line 1 is damaged: must be a finite number"):
        read_history(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are errors, not tracebacks."""
    with pytest.raises(HistoryError, match="cannot be read: No such file"):
        read_history(tmp_path / "none.jsonl")
    with pytest.raises(HistoryError, match="cannot be read: Is a directory"):
        read_history(tmp_path)


def test_what_is_cut_off_in_its_first_line_or_no_history_is_told_so(tmp_path: Path) -> None:
    """A message never asks for what stands there: it says that the line is cut, or what it is."""
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b'{"holdfast":"0.1.0","kind":"history","form')
    with pytest.raises(HistoryError, match="is cut off in line 1"):
        read_history(cut)
    results = tmp_path / "results.jsonl"
    results.write_bytes(b'{"holdfast":"0.1.0","kind":"results"}\n')
    with pytest.raises(HistoryError, match="holds the results of runs, not a history"):
        read_history(results)
