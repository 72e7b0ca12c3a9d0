"""`holdfast replay` of an explored counterexample: the same choices, and where they lead."""

from pathlib import Path

from rich.text import Text

from holdfast.commands import complain
from holdfast.errors import ExitStatus
from holdfast.sequence.report import print_counterexample
from holdfast.show import verdict_lines
from holdfast.terminal import output, put, reader_may_leave, width
from properties.exploration.trace import Retraced, read_trace, retrace
from properties.telling import counted


def run_retrace(path: Path) -> ExitStatus:
    """Execute a trace again and show it; INCONCLUSIVE if it went another way.

    Raises:
        TraceError: the file is no trace, cut off, or of another format.
    """
    found = retrace(read_trace(path))
    with reader_may_leave():
        _print(path, found)
    if found.divergence is not None:
        complain(f"{path}: {_diverged(found)}")
        return ExitStatus.INCONCLUSIVE
    return ExitStatus.DONE


def _print(path: Path, found: Retraced) -> None:
    console = output()
    world = found.trace.world
    buyers, turns = counted(len(world.visits), "buyer"), counted(len(found.turns), "turn")
    put(console, Text(f"{world.strategy}, {buyers}, trace {path}", "bold"))
    if found.divergence is not None:
        put(console, Text("NOT REPRODUCED", "bold red"))
    elif found.same_bytes:
        put(console, Text(f"reproduced byte for byte: {turns}", "green"))
    else:
        put(console, Text(f"reproduced: {turns}, told differently", "yellow"))
    put(console)
    example = found.counterexample
    if example is not None:
        print_counterexample(example, console)
        put(console)
    for line in verdict_lines(found.verdicts, width(console)):
        put(console, line)


def _diverged(found: Retraced) -> str:
    difference = found.divergence
    assert difference is not None
    return (
        f"not reproduced: the code first diverged at turn {difference.number}:\n"
        f"  stored: {difference.first}\n  now:    {difference.second}\n"
        "This code, or a library under it, is not the one the trace was made with"
    )
