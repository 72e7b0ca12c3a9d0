"""The text and the JSON of a live comparison: those of `holdfast compare`, without replays."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console

from holdfast.json_output import compare_as_dict
from holdfast.live.experiment import LiveResult
from holdfast.report import print_comparison


def print_live(live: LiveResult, console: Console) -> None:
    """Print everything, in the order in which it is read."""
    print_comparison(live.result, console, preface=_preface(live), repeatable=False)


def _preface(live: LiveResult) -> Iterator[str]:
    yield (
        f"Live on real servers (stack {live.stack}), {live.factor:g} times as fast as the "
        "scenario. Live runs are not repeatable."
    )
    yield from live.notes


def live_as_dict(live: LiveResult) -> dict[str, Any]:
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
    }
