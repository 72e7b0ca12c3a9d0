"""What is wrong with a scenario: which key, which value, what is allowed, in one message."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

Path = tuple[str | int, ...]
NO_VALUE = object()  # for what is wrong with a key as such
MOST_SHOWN = 60


class ScenarioError(Exception):
    """A scenario cannot be used; one message names the file, the key, the value and the repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: the path of its key, the value found, and what is allowed."""

    path: Path
    says: str
    value: object = NO_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One `--set key=value` of the command line: the key as it was typed, the path it sets."""

    key: str
    path: Path


def spell(path: Path) -> str:
    """Write a path as people do: `arrivals.buyers`, `plans.mine.faults[0].at_s`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, names: Sequence[str]) -> str:
    """Return `did you mean ...?` when a name is close to an allowed one, else nothing."""
    near = get_close_matches(name, names, n=1)
    return f"did you mean `{near[0]}`? " if near else ""


def show(value: object) -> str:
    """Write a value as in the file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 4] + " ..."


def explain(label: str, problems: Sequence[Problem], settings: Sequence[Setting] = ()) -> str:
    """Return one message for all problems of a scenario; those of `--set` are named as typed."""
    lines = [_line(problem, settings) for problem in problems]
    if len(lines) == 1:
        return f"{label}: {lines[0]}"
    return "\n".join([f"{label}: {len(lines)} things are wrong:", *(f"  {line}" for line in lines)])


def _line(problem: Problem, settings: Sequence[Setting]) -> str:
    place = spell(problem.path)
    for setting in settings:
        if problem.path and problem.path[: len(setting.path)] == setting.path:
            place = f"--set {place}" if place == setting.key else f"--set {setting.key}: {place}"
            break
    shown = "" if problem.value is NO_VALUE else f" = {show(problem.value)}"
    return f"{place}{shown}: {problem.says}" if place else problem.says


def lookup(data: Any, path: Path) -> object:
    """Return what stands at a path of nested tables and lists, or NO_VALUE."""
    for part in path:
        try:
            data = data[part]  # a string or a number inside is as wrong a turn as a missing key
        except (LookupError, TypeError):
            return NO_VALUE
    return data
