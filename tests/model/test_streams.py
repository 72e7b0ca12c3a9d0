"""Named random streams."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.streams import fraction, stream

ROOT = Path(__file__).parents[2]


def test_a_path_always_gives_the_same_numbers() -> None:
    """Asking again starts the stream again."""
    assert stream(1, "arrival", 12).random() == stream(1, "arrival", 12).random()
    assert fraction(1, "arrival", 12) == fraction(1, "arrival", 12)


def test_the_numbers_are_pinned() -> None:
    """A change of the hashing would make every old seed mean something else."""
    assert stream(1, "arrival", 12).random() == 0.14300892384179664
    assert fraction(1, "arrival", 12) == 0.8177013384057682


def test_every_part_of_a_path_matters() -> None:
    """Seed, purpose and number each give another stream."""
    paths: list[tuple[int, tuple[str | int, ...]]] = [
        (1, ("a", 1)),
        (2, ("a", 1)),
        (1, ("b", 1)),
        (1, ("a", 2)),
        (1, ("a",)),
        (1, ("a", 1, 1)),
        (12, ("a",)),
    ]
    assert len({stream(seed, *names).random() for seed, names in paths}) == len(paths)
    assert len({fraction(seed, *names) for seed, names in paths}) == len(paths)


def test_paths_cannot_be_confused_by_their_separators() -> None:
    """A name that contains the separator or the escape is not two names."""
    paths = [("a|b",), ("a", "b"), ("a\\", "b"), ("a\\|b",), ("a\\", "|b"), ("", "a"), ("a", "")]
    assert len({stream(1, *path).random() for path in paths}) == len(paths)


def test_a_stream_needs_a_name() -> None:
    """The bare seed is refused: it would be everybody's stream."""
    with pytest.raises(ValueError, match="needs a name"):
        stream(1)
    with pytest.raises(ValueError, match="needs a name"):
        fraction(1)


def test_fractions_are_spread_evenly() -> None:
    """All of [0, 1) is reached, a tenth of the draws in each tenth."""
    counts = [0] * 10
    for number in range(20_000):
        counts[int(fraction(1, "spread", number) * 10)] += 1
    assert all(1_800 < count < 2_200 for count in counts)


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_other_processes_and_hash_seeds_agree(hash_seed: str) -> None:
    """Nothing of a stream comes from Python's randomised `hash()`."""
    code = "from model.streams import *; print(stream(1, 'é', 2).random(), fraction(1, 'é', 2))"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == [str(stream(1, "é", 2).random()), str(fraction(1, "é", 2))]
