"""README tells the truth: every command in it is run, and prints what stands under it.

A line `...` in README stands for any lines. After a deliberate change, `python -m
tests.test_readme` writes the new outputs into README: read the difference before you commit it.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n\$ (holdfast [^\n]*)\n(.*?)```", README, flags=re.DOTALL)


def run(command: str, folder: Path) -> str:
    """What a reader would see at 100 columns, without colours."""
    _name, *arguments = shlex.split(command)
    result = subprocess.run(
        [sys.executable, "-m", "holdfast", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as promised; a line `...` stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*?".join(parts), printed) is not None


def write_scenario(folder: Path) -> None:
    """The TOML file README shows, under the name its first line gives."""
    (toml,) = re.findall(r"```toml\n# (my-sale\.toml)(.*?)```", README, flags=re.DOTALL)
    (folder / toml[0]).write_text("#" + toml[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all commands: a replay finds what the comparison before it wrote."""
    made = tmp_path_factory.mktemp("reader")
    write_scenario(made)
    return made


@pytest.mark.xdist_group("readme")
def test_every_command_prints_what_readme_says(folder: Path) -> None:
    """In README's order, in one folder."""
    assert len(BLOCKS) >= 5
    for command, expected in BLOCKS:
        printed = run(command, folder)
        assert expected.strip(), f"README shows nothing under `{command}`; it prints\n{printed}"
        assert matches(expected, printed), f"`{command}` prints\n{printed}"


def test_the_scenario_in_readme_is_valid(folder: Path) -> None:
    """The TOML of README runs, with the plan it defines."""
    printed = run(
        "holdfast compare my-sale.toml --strategies redis-hold --faults bad-night --runs 1"
        " --persistence none --set buyers=40",
        folder,
    )
    assert "bad-night" in printed


def test_the_python_in_readme_runs(folder: Path) -> None:
    """The example of the Python API prints a line for each cell."""
    (program,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(answer.stdout.splitlines()) == 2
    assert "redis-kill, none violated" in answer.stdout


def test_a_changed_output_would_be_noticed() -> None:
    """The matcher's own control: one letter, one line more or less."""
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert matches("a\nb\n", "a\nb\n")
    assert not matches("a\nb\n", "a\nc\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a\n...\nz\n", "a\nb\n")


def fill(folder: Path) -> str:
    """README with every block's real output, long ones shortened with a line `...`."""

    def block(match: re.Match[str]) -> str:
        lines = run(match[1], folder).splitlines()
        keep = 12 if "replay" in match[1] else 20
        if ("replay" in match[1] or "json" in match[1]) and len(lines) > 2 * keep:
            lines = [*lines[:keep], "...", *lines[-keep:]]
        return "```console\n$ " + match[1] + "\n" + "\n".join(lines) + "\n```"

    return re.sub(r"```console\n\$ (holdfast [^\n]*)\n(.*?)```", block, README, flags=re.DOTALL)


if __name__ == "__main__":  # python -m tests.test_readme: writes the outputs into README
    with tempfile.TemporaryDirectory() as scratch:
        write_scenario(Path(scratch))
        (ROOT / "README.md").write_text(fill(Path(scratch)))
