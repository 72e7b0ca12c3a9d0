"""`holdfast list`: every strategy, fault, invariant and scenario there is, with one line each."""

from enum import StrEnum
from typing import Any

from chaos.needs import components, only_live
from chaos.plans import describe, faults_of
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
    if shelf is Shelf.FAULTS:
        return [_fault(name, summary) for name, summary in describe()]
    pairs = {
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


def _fault(name: str, summary: str) -> dict[str, Any]:
    faults = faults_of(name)
    return {
        "name": name,
        "summary": summary,
        "simulated": not any(only_live(fault) for fault in faults),
        "live_needs": sorted({str(each) for fault in faults for each in components(fault)}),
    }


def notes(entry: dict[str, Any]) -> list[str]:
    """Return the lines that stand below an entry's summary."""
    lines = []
    if entry.get("known_bad"):
        lines.append(f"known bad: {entry['known_bad']}")
    if entry.get("simulated") is False:
        needs = entry["live_needs"]
        lines.append(f"only live{', with ' + ' and '.join(needs) if needs else ''}")
    options = [_option(name, each) for name, each in entry.get("options", {}).items()]
    if options:
        lines.append(f"options: {', '.join(options)}")
    return lines


def _option(name: str, option: dict[str, Any]) -> str:
    others = [plain(choice) for choice in option["choices"] if choice != option["default"]]
    told = f"{name}={plain(option['default'])}"
    return f"{told} (or {', '.join(others)})" if others else told
