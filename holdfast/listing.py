"""`holdfast list`: every strategy, fault, invariant and scenario there is, with one line each."""

from enum import StrEnum
from typing import Any

from chaos.plans import describe
from holdfast.choices import plain
from model.scenario_file import bundled
from properties.judge import INVARIANTS
from reservation.api import StrategyInfo
from reservation.catalogue import STRATEGIES


class Shelf(StrEnum):
    """What can be listed."""

    STRATEGIES = "strategies"
    FAULTS = "faults"
    INVARIANTS = "invariants"
    SCENARIOS = "scenarios"


def entries(shelf: Shelf) -> list[dict[str, Any]]:
    """Return the entries of a shelf as JSON-ready values; each has a name and a summary."""
    if shelf is Shelf.STRATEGIES:
        return [_strategy(info) for info in STRATEGIES.values()]
    pairs = {
        Shelf.FAULTS: describe,
        Shelf.INVARIANTS: lambda: [(each.name, each.summary) for each in INVARIANTS.values()],
        Shelf.SCENARIOS: bundled,
    }
    return [{"name": name, "summary": summary} for name, summary in pairs[shelf]()]


def _strategy(info: StrategyInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "summary": info.summary,
        "uses_redis": info.uses_redis,
        "admits": sorted(kind.value for kind in info.admits),
        "known_bad": info.known_bad,
        "options": {
            name: {"default": default, "choices": list(info.choices.get(name, ()))}
            for name, default in info.defaults.items()
        },
    }


def notes(entry: dict[str, Any]) -> list[str]:
    """Return the lines that stand below an entry's summary."""
    lines = []
    if entry.get("known_bad"):
        lines.append(f"known bad: {entry['known_bad']}")
    options = [_option(name, each) for name, each in entry.get("options", {}).items()]
    if options:
        lines.append(f"options: {', '.join(options)}")
    return lines


def _option(name: str, option: dict[str, Any]) -> str:
    others = [plain(choice) for choice in option["choices"] if choice != option["default"]]
    told = f"{name}={plain(option['default'])}"
    return f"{told} (or {', '.join(others)})" if others else told
