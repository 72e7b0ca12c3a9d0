"""README and docs/ tell the truth: every command in them is run, and prints what stands under it.

A line `...` in a page stands for any lines. Commands of one page run in its order, in one folder of
their own. After a deliberate change, `python -m tests.test_readme [PAGE...]` writes the new outputs
into the pages: read the difference before you commit it.
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
PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BLOCK = re.compile(r"```console\n\$ (holdfast [^\n]*)\n(.*?)```", flags=re.DOTALL)
BLOCKS = {name: BLOCK.findall(path.read_text()) for name, path in PAGES.items()}
README = PAGES["README.md"].read_text()


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
    # A page may show a violation (1) or an inconclusive result (3), never a wrong command.
    assert result.returncode in {0, 1, 3}, result.stderr
    return result.stdout


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as promised; a line `...` stands for any lines."""
    parts = [re.escape(part) for part in re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)]
    return re.fullmatch("(?:.*\n)*?".join(parts), printed) is not None


def write_scenario(folder: Path) -> None:
    """The TOML file README shows, under the name its first line gives."""
    (toml,) = re.findall(r"```toml\n# (my-sale\.toml)(.*?)```", README, flags=re.DOTALL)
    (folder / toml[0]).write_text("#" + toml[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder, with the scenario of README in it."""
    write_scenario(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [name for name, blocks in BLOCKS.items() if blocks])
def test_every_command_prints_what_its_page_says(page: str, folder: Path) -> None:
    """In the page's order, in one folder: a replay finds what the comparison before it wrote."""
    for command, expected in BLOCKS[page]:
        printed = run(command, folder)
        assert expected.strip(), f"{page} shows nothing under `{command}`; it prints\n{printed}"
        assert matches(expected, printed), f"{page}: `{command}` prints\n{printed}"


def test_readme_has_its_commands() -> None:
    """An empty walk would pass the test above."""
    assert len(BLOCKS["README.md"]) >= 5


def test_every_page_is_linked_from_readme() -> None:
    """A page nobody can find is not documentation."""
    assert not [name for name in PAGES if name != "README.md" and f"docs/{name}" not in README]


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


def test_the_property_test_in_the_docs_passes(folder: Path) -> None:
    """The example of docs/explore.md is a test; it is run as one."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGES["explore.md"].read_text(), re.DOTALL)
    (folder / "test_example.py").write_text(program)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in answer.stdout, answer.stdout


def test_no_program_in_the_pages_is_left_out() -> None:
    """Those that the tests above run are all there are."""
    found = {name: path.read_text().count("```python") for name, path in PAGES.items()}
    assert {name: count for name, count in found.items() if count} == {
        "README.md": 1,
        "explore.md": 1,
    }


def test_a_changed_output_would_be_noticed() -> None:
    """The matcher's own control: one letter, one line more or less."""
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert matches("a\nb\n", "a\nb\n")
    assert not matches("a\nb\n", "a\nc\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a\n...\nz\n", "a\nb\n")


def fill(page: Path, folder: Path) -> str:
    """A page with every block's real output, long ones shortened with a line `...`."""

    def block(match: re.Match[str]) -> str:
        lines = run(match[1], folder).splitlines()
        keep = 12 if "replay" in match[1] else 20
        if ("replay" in match[1] or "json" in match[1]) and len(lines) > 2 * keep:
            lines = [*lines[:keep], "...", *lines[-keep:]]
        return "```console\n$ " + match[1] + "\n" + "\n".join(lines) + "\n```"

    return BLOCK.sub(block, page.read_text())


if __name__ == "__main__":  # python -m tests.test_readme: writes the outputs into the pages
    for name in sys.argv[1:] or PAGES:
        with tempfile.TemporaryDirectory() as scratch:
            write_scenario(Path(scratch))
            PAGES[name].write_text(fill(PAGES[name], Path(scratch)))
