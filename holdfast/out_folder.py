"""What a comparison leaves on disk: each run's judgement as it finishes, and failing histories.

`results.jsonl` begins anew with each comparison and is readable at any moment, also after Ctrl-C.
Histories and stories are named after the scenario, the seed, the cell and the run, so that those of
another comparison stay; the same comparison writes the same names again.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from holdfast import __version__
from holdfast.errors import WrongCommand
from holdfast.experiment import Cell, Experiment
from holdfast.judged import JudgedRun
from model.database import shown

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

DEFAULT_OUT = Path("holdfast-out")


def _begun_anew(path: Path) -> TextIO:
    """Open a file for one command alone, and empty it.

    Raises:
        BlockingIOError: another command has it open.
    """
    file = path.open("a", encoding="utf-8")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when it is closed
        path.open("w").close()
    except OSError:
        file.close()
        raise
    return file


class OutFolder:
    """A context manager over the folder of one comparison.

    Raises:
        WrongCommand: on entering, when the folder cannot be made or written to.
    """

    def __init__(self, root: Path, experiment: Experiment, command: str = "compare") -> None:
        self.root = root
        self._command = command
        self._experiment = experiment
        self._results: TextIO | None = None

    def __enter__(self) -> Self:
        experiment = self._experiment
        try:
            for folder in (self.root / "histories", self.root / "stories"):
                folder.mkdir(parents=True, exist_ok=True)
            self._results = _begun_anew(self.root / "results.jsonl")
        except BlockingIOError as error:
            raise WrongCommand(
                f"--out: {self.root} is being written by another command; name another folder, or"
                " wait for its end"
            ) from error
        except OSError as error:
            raise WrongCommand(
                f"--out: {self.root} cannot be written: {error.strerror}; name another folder"
            ) from error
        self._write(
            {
                "holdfast": __version__,
                "kind": "results",
                "command": self._command,
                "seed": experiment.seed,
                "runs": experiment.runs,
                "database": shown(experiment.database),
                "scenario": experiment.scenario.model_dump(mode="json"),
            }
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._results is not None:
            self._results.close()

    def add(self, run: JudgedRun) -> None:
        """Write one run's judgement, at once."""
        cell = self._experiment.cells[run.cell]
        self._write(
            {
                **cell_as_dict(cell),
                "run": run.run,
                "seed": run.seed,
                "trace_hash": run.trace_hash,
                "verdicts": {
                    name: {
                        "status": verdict.status.value,
                        "examined": verdict.examined,
                        "violation": verdict.violations[0].message if verdict.violations else None,
                        "reason": verdict.reason,
                    }
                    for name, verdict in run.verdicts.items()
                },
                "metrics": dict(run.metrics),
                "witnesses": dict(run.witnesses),
                "crash": run.crash or None,
            }
        )

    def history(self, cell: Cell, run: int) -> Path:
        """Return where the history of a violated run goes."""
        live = "live-" if self._command == "live" else ""
        return self.root / "histories" / f"{live}{self._prefix()}--{cell.slug}--run-{run}.jsonl"

    @property
    def stories(self) -> Path:
        """Return where the histories of stories go."""
        return self.root / "stories"

    def keep_only(self, kept: Sequence[Path], runs: Sequence[JudgedRun]) -> None:
        """Remove the histories of `runs` that are not kept: one a cell and invariant is enough."""
        for run in runs:
            if run.history is not None and run.history not in kept:
                run.history.unlink(missing_ok=True)

    def _prefix(self) -> str:
        name = "".join(
            c if c.isalnum() or c in "-_." else "_" for c in self._experiment.scenario.name
        )
        return f"{name}-seed{self._experiment.seed}"

    def _write(self, record: dict[str, Any]) -> None:
        assert self._results is not None
        try:
            self._results.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._results.flush()
        except OSError as error:
            self._abandon()
            raise WrongCommand(
                f"--out: {self.root / 'results.jsonl'} cannot be written: {error.strerror}; free"
                " some space, or name another folder"
            ) from error

    def _abandon(self) -> None:
        """Close without another try to write what could not be written."""
        results, self._results = self._results, None
        with suppress(OSError):
            if results is not None:
                results.close()


def cell_as_dict(cell: Cell) -> dict[str, Any]:
    """Return what names a cell, as the JSON contract has it."""
    return {
        "strategy": cell.strategy.name,
        "options": dict(cell.strategy.options),
        "fault": cell.fault,
        "persistence": None if cell.persistence is None else cell.persistence.value,
    }
