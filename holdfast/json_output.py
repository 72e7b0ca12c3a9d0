"""The JSON contract: one document a command, the same words as everywhere else."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast import __version__
from holdfast.cells import CellResult
from holdfast.comparison import CompareResult
from holdfast.out_folder import cell_as_dict
from holdfast.stories import Story
from model.database import shown
from properties.statistics import Mean
from properties.verdicts import Verdict


def replay_command(path: Path) -> str:
    """Return the command that replays a stored history, ready for a shell."""
    return f"holdfast replay {shlex.quote(path.as_posix())}"


def compare_as_dict(result: CompareResult) -> dict[str, Any]:
    """Return a comparison as the CLI contract has it, with more fields beside."""
    experiment = result.experiment
    return {
        "holdfast": __version__,
        "command": "compare",
        "seed": experiment.seed,
        "database": shown(experiment.database),
        "runs": experiment.runs,
        "complete": not result.cut_short,
        "cut_short": result.cut_short or None,
        "scenario": experiment.scenario.model_dump(mode="json"),
        "cells": [_cell(cell, experiment.runs) for cell in result.cells],
        "stories": [_story(story, result) for story in result.stories],
        "untold": dict(result.untold),
    }


def _cell(result: CellResult, asked: int) -> dict[str, Any]:
    return {
        **cell_as_dict(result.cell),
        "runs": len(result.runs),
        "runs_asked": asked,
        "crashed_runs": len(result.crashes),
        "seeds": [run.seed for run in result.runs],
        "trace_hashes": [run.trace_hash for run in result.runs],
        "verdicts": {name: _verdict(name, result) for name in result.verdicts},
        "metrics": {name: mean_as_dict(mean) for name, mean in result.metrics.items()},
        "over_no_fault": {name: mean_as_dict(mean) for name, mean in result.over_no_fault.items()},
        "witnesses": dict(result.witnesses),
    }


def _verdict(name: str, result: CellResult) -> dict[str, Any]:
    verdict = result.verdicts[name]
    first = result.first_violation(name)
    path = result.histories.get(name)
    return {
        "status": verdict.status.value,
        "violated_runs": verdict.violated_runs,
        "inconclusive_runs": verdict.inconclusive_runs,
        "runs": verdict.runs,
        "examined": verdict.examined,
        "rate": verdict.rate,
        "ci95": None if verdict.ci95 is None else list(verdict.ci95),
        "upper_bound_95": verdict.upper_bound_95,
        "reason": verdict.reason or None,
        "example": None if first is None else {"run": first[0].run, "says": first[1].message},
        "replay": None if path is None else replay_command(path),
    }


def mean_as_dict(mean: Mean) -> dict[str, Any]:
    """Return a mean with its interval; `ci95` is null for a single run."""
    return {
        "mean": mean.mean,
        "ci95": None if mean.ci95 is None else list(mean.ci95),
        "runs": mean.n,
    }


def _story(story: Story, result: CompareResult) -> dict[str, Any]:
    return {
        "invariant": story.invariant,
        **cell_as_dict(result.cells[story.cell].cell),
        "seed": story.seed,
        "buyers": story.buyers,
        "capacity": story.capacity,
        "shrunk": story.small,
        "story": [
            {"at_s": line.at_s, "actor": line.actor or None, "what": line.text}
            for line in story.lines
        ],
        "operations_left_out": story.left_out,
        "says": story.conclusion,
        "replay": replay_command(story.path),
    }


def verdicts_as_dict(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """Return the verdicts on one history."""
    return {
        name: {
            "status": verdict.status.value,
            "examined": verdict.examined,
            "violations": [violation.message for violation in verdict.violations],
            "reason": verdict.reason or None,
        }
        for name, verdict in verdicts.items()
    }
