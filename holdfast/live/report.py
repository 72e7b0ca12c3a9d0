"""The text and the JSON of a live comparison: those of `holdfast compare`, without replays."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from holdfast.json_output import compare_as_dict
from holdfast.live.agreement import CellAgreement, agreement_as_dicts, agreement_lines
from holdfast.live.experiment import LiveResult
from holdfast.report import print_comparison
from holdfast.terminal import put, width


def print_live(
    live: LiveResult, console: Console, agreements: Sequence[CellAgreement] | None
) -> None:
    """Print everything, in the order in which it is read."""
    print_comparison(live.result, console, preface=_preface(live), repeatable=False)
    if agreements is not None:
        put(console)
        put(console, Text("Agreement: simulated and live, per run (mean)", style="bold underline"))
        for line in agreement_lines(agreements, width(console)):
            put(console, line)


def _preface(live: LiveResult) -> Iterator[str]:
    yield (
        f"Live on real servers (stack {live.stack}), {live.factor:g} times as fast as the "
        "scenario. Live runs are not repeatable."
    )
    yield from live.notes


def live_as_dict(live: LiveResult, agreements: Sequence[CellAgreement] | None) -> dict[str, Any]:
    """Return the document of `compare` with what is different: no replays, but histories."""
    document = compare_as_dict(live.result)
    for cell, result in zip(document["cells"], live.result.cells, strict=True):
        del cell["trace_hashes"]
        for name, verdict in cell["verdicts"].items():
            path = result.histories.get(name)
            verdict["replay"] = None
            verdict["history"] = None if path is None else path.as_posix()
    for told, story in zip(document["stories"], live.result.stories, strict=True):
        told["replay"] = None
        told["history"] = story.path.as_posix()
    return {
        **document,
        "command": "live",
        "stack": live.stack,
        "time_factor": live.factor,
        "repeatable": False,
        "notes": list(live.notes),
        "agreement": None if agreements is None else agreement_as_dicts(agreements),
    }
