"""`tests/README.md` keeps its promises: what it names is there, and what is there is named."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
README = (TESTS / "README.md").read_text(encoding="utf-8")

CATALOGUE = re.findall(
    r"\w+",
    """
    A01 A02 A04 A05 A06 A07 A08 A09 A10 A11 A12 A13 A14 A15 A17 A18 A20 A21
    B01 B02 B03 B05 B06 B07 B08 B09 B10 B11 B12 B13 B14 B15 B16 B17 B18 B20 B21 B22 B23 B25
    B28 B29 B30 B31 B32 B33
    C01 C02 C03 C04 C05 C07 C08
    """,
)


def _tests_in(folder: Path) -> set[str]:
    return {
        node.name
        for path in folder.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_named_in_the_readme_exists() -> None:
    """A name that leads nowhere is a promise that nobody executes."""
    named = set(re.findall(r"`(test_\w+)`", README))
    assert named
    assert named <= _tests_in(TESTS)


def test_every_file_named_in_the_readme_exists() -> None:
    """Paths in backticks are relative to tests/."""
    named = set(re.findall(r"`([\w/]+\.py)`", README))
    assert "test_architecture.py" in named
    assert not [name for name in named if not list(TESTS.rglob(name))]


def test_every_anomaly_test_is_in_the_readme() -> None:
    """The track record leaves nothing out."""
    here = {name for name in _tests_in(Path(__file__).parent) if re.match(r"test_[abc]\d\d_", name)}
    assert here
    assert not here - set(re.findall(r"`(test_\w+)`", README))


def test_every_anomaly_of_the_catalogue_has_a_row() -> None:
    """Covered or not, each id begins a row of exactly one of the two tables."""
    covered, missing = README.split("## Not covered yet")
    rows = r"^\| ((?:[ABC]\d\d(?:, )?)+) \|"
    ids = [
        {one for row in re.findall(rows, part, re.MULTILINE) for one in row.split(", ")}
        for part in (covered, missing)
    ]
    assert sorted(ids[0] | ids[1]) == CATALOGUE
    assert not ids[0] & ids[1]


def test_every_folder_has_a_line() -> None:
    """Where does my test go: every folder of tests/ is told about."""
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and path.name[0] not in "._"}
    told = set(re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE))
    assert told == {name for name in folders if any((TESTS / name).iterdir())} - {"__pycache__"}
