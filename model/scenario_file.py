"""Loads scenarios: bundled ones by name, others from TOML files, with `--set` on top.

Whatever is wrong, the answer is one `ScenarioError` that names the file, the key, the value and
what is allowed; several wrong keys are told together.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from model.scenario import Arrivals, Scenario
from model.scenario_checks import check_scenario
from model.scenario_options import check_options
from model.scenario_plans import check_plans
from model.scenario_problems import (
    NO_VALUE,
    Problem,
    ScenarioError,
    Setting,
    explain,
    lookup,
    nearest,
)
from model.scenario_schema import InvalidTables, validate
from model.trace_csv import read_trace

__all__ = ["BUNDLED", "ScenarioError", "bundled", "load_scenario"]

BUNDLED = ("on-sale", "steady", "seats", "small")
"""The names of the bundled scenarios, the default first."""

SHORT_NAMES = {
    "buyers": ("arrivals", "buyers"),
    "capacity": ("sale", "capacity"),
    "ttl_s": ("hold", "ttl_s"),
}
"""What `--set` accepts in short. `buyers` alone is a number; the table is `buyers.abandon` etc."""

TRACE_PATH = ("arrivals", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A scenario's text: what to call it in messages, and the folder its paths start from."""

    label: str
    name: str
    text: str
    folder: Path


def bundled() -> list[tuple[str, str]]:
    """Return the name and the summary of every bundled scenario, the default first."""
    return [(name, load_scenario(name).summary) for name in BUNDLED]


def load_scenario(name_or_path: str, overrides: Mapping[str, str] | None = None) -> Scenario:
    """Load a bundled scenario by name, or a TOML file, and set single keys on top of it.

    `overrides` are the command line's `--set key=value`: dotted keys (`arrivals.buyers`; also
    `buyers`, `capacity` and `ttl_s` in short), and values as in TOML, where what is no TOML value
    is text. A trace is looked for beside the scenario file, or, when it was set on the command
    line, from the current folder. Its arrivals and quantities are read into the scenario, and
    `arrivals.buyers` becomes their number.

    Raises:
        ScenarioError: the file cannot be read, or anything in it, in the trace or in the overrides
            is wrong.
    """
    source = _source(name_or_path)
    data = _parse(source)
    data.setdefault("name", source.name)
    settings = [_set(data, key, text) for key, text in (overrides or {}).items()]
    try:
        scenario = validate(data)
    except InvalidTables as error:
        raise ScenarioError(explain(source.label, error.problems, settings)) from None
    if scenario.arrivals.kind == "trace":
        scenario = _with_trace(scenario, data, source, settings)
    problems = check_scenario(scenario)
    if not problems:  # plans are placed by numbers that must make sense first
        problems = [*check_plans(scenario), *check_options(scenario)]
    if problems:
        raise ScenarioError(explain(source.label, problems, settings))
    return scenario


def _source(name_or_path: str) -> _Source:
    if name_or_path in BUNDLED:
        text = (files("model") / "scenarios" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        label = f"scenario {name_or_path}"
        return _Source(label=label, name=name_or_path, text=text, folder=Path())
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.exists():
        raise ScenarioError(
            f"unknown scenario {name_or_path!r}; {nearest(name_or_path, BUNDLED)}"
            f"bundled: {', '.join(BUNDLED)}; or give the path of a TOML file"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ScenarioError(f"{name_or_path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ScenarioError(f"{name_or_path}, line {line}: is not text in UTF-8") from error
    return _Source(label=name_or_path, name=path.stem, text=text, folder=path.parent)


def _parse(source: _Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        lines = source.text.splitlines()
        number = int(found[1]) if found else max(len(lines), 1)
        line = lines[number - 1].strip() if number <= len(lines) else ""
        raise ScenarioError(
            f"{source.label}, line {number}: TOML syntax error in `{line}`: {error}"
        ) from error


def _set(data: dict[str, Any], key: str, text: str) -> Setting:
    """Put one override into the tables."""
    path = SHORT_NAMES.get(key, tuple(key.split(".")))
    if not all(path):
        raise ScenarioError(
            f"--set {key}={text}: the key must be names joined by dots, such as arrivals.buyers"
        )
    table = data
    for depth, part in enumerate(path[:-1], start=1):
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ScenarioError(f"--set {key}={text}: {'.'.join(path[:depth])} is not a table")
        table = inner
    table[path[-1]] = _value(text)
    return Setting(key=key, path=path)


def _value(text: str) -> Any:
    """Read a value as TOML does; what is no TOML value is text, so that names need no quotes."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if list(read) == ["value"] else text


def _with_trace(
    scenario: Scenario, data: dict[str, Any], source: _Source, settings: list[Setting]
) -> Scenario:
    """Read the arrivals of a trace into the scenario."""
    by_command_line = any(setting.path == TRACE_PATH for setting in settings)
    path = (Path() if by_command_line else source.folder) / str(scenario.arrivals.trace)
    if not path.is_file():
        problem = Problem(
            path=TRACE_PATH,
            value=scenario.arrivals.trace,
            says=f"must be a CSV file; there is none at {path}",
        )
        raise ScenarioError(explain(source.label, [problem], settings))
    trace = read_trace(path, most_quantity=scenario.sale.capacity)
    given = lookup(data, ("arrivals", "buyers"))
    beside = not by_command_line or any(s.path == ("arrivals", "buyers") for s in settings)
    if beside and given not in (NO_VALUE, len(trace.arrivals_s)):
        problem = Problem(
            path=("arrivals", "buyers"),
            value=given,
            says=f"the trace has {len(trace.arrivals_s)} arrivals; leave the key out",
        )
        raise ScenarioError(explain(source.label, [problem], settings))
    arrivals = Arrivals.model_validate(
        {**scenario.arrivals.model_dump(), "buyers": len(trace.arrivals_s)}
    )
    return scenario.model_copy(
        update={
            "arrivals": arrivals,
            "trace_arrivals_s": trace.arrivals_s,
            "trace_quantities": trace.quantities,
        }
    )
