"""Checkers are tested on histories known to be good and bad, stored as a run stores them."""

from pathlib import Path

import pytest

from model.history_file import read_history
from properties.judge import INVARIANTS, judge
from properties.verdicts import Status
from tests.properties.recordings import FOLDER, RECORDINGS

FILES = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_history_gets_its_expected_verdicts(path: Path) -> None:
    """Each stored history gets, for all invariants, the verdict its first line expects."""
    history = read_history(path)
    assert history.problems == []
    judged = judge(history)
    assert {name: verdict.status.value for name, verdict in judged.items()} == (
        history.meta["expect"]
    ), {name: (verdict.reason, verdict.violations) for name, verdict in judged.items()}


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_recording_is_what_the_builder_tells(name: str) -> None:
    """Each told sale is on disk, unchanged (run `python -m tests.properties.recordings` if not)."""
    assert read_history(FOLDER / f"{name}.jsonl") == RECORDINGS[name]()


@pytest.mark.parametrize("name", list(INVARIANTS))
@pytest.mark.parametrize("status", list(Status))
def test_every_verdict_of_every_invariant_is_recorded(name: str, status: Status) -> None:
    """Some stored history holds, some violates and some leaves open each invariant."""
    expected = {tell().meta["expect"][name] for tell in RECORDINGS.values()}
    assert status.value in expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_violations_point_into_the_history(path: Path) -> None:
    """Every violation names operations and actors that exist, in order of invocation, once each."""
    history = read_history(path)
    by_id = {op.op_id: op for op in history.operations}
    for verdict in judge(history).values():
        for violation in verdict.violations:
            told = [by_id[op_id] for op_id in violation.op_ids]
            assert len(set(violation.op_ids)) == len(told)
            assert told == sorted(told, key=lambda op: op.invoked_s)
            assert set(violation.actors) <= {op.actor for op in history.operations}
            assert violation.amount >= 1
            assert any(character.isdigit() for character in violation.message)
