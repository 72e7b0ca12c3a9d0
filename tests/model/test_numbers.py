"""The table of grounded defaults, docs/numbers.md, against the defaults of the code."""

import json
import tomllib
from pathlib import Path
from typing import Any

from model.scenario import Scenario

NUMBERS = Path(__file__).parents[2] / "docs" / "numbers.md"
NOT_A_DEFAULT = {
    "name",
    "summary",
    "plans",
    "options",
    "arrivals.trace",
    "trace_arrivals_s",
    "trace_quantities",
}  # what a scenario says about itself has no ground


def documented() -> dict[str, Any]:
    """Return the defaults of the table, by key."""
    section = NUMBERS.read_text(encoding="utf-8").split("## Defaults")[1].split("## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return {row[1].strip(" `"): tomllib.loads(f"v = {row[2].strip(' `')}")["v"] for row in rows}


def grounds() -> list[str]:
    """Return the last column of the table."""
    section = NUMBERS.read_text(encoding="utf-8").split("## Defaults")[1].split("## ")[0]
    return [line.split("|")[3].strip() for line in section.splitlines() if line.startswith("| `")]


def defaults(table: Any, prefix: str = "") -> dict[str, Any]:
    """Return the defaults of the code, by dotted key, as JSON would have them."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if path in NOT_A_DEFAULT:
            continue
        is_table = isinstance(value, dict) and path != "buyers.party_sizes"
        found |= defaults(value, f"{path}.") if is_table else {path: value}
    return found


def test_every_default_is_documented_and_equal() -> None:
    """No default without a ground, no ground for a default that is another one."""
    in_code = defaults(json.loads(Scenario(name="x").model_dump_json()))
    assert documented() == in_code


def test_every_default_has_a_ground() -> None:
    """The last column is never empty."""
    assert grounds()
    assert all(grounds())
