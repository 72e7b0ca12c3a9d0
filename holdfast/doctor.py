"""`holdfast doctor`: what is installed for real servers, what it enables, how to get the rest."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from chaos.doctor.abilities import ARMS, FaultReport, StackReport, faults, stacks
from chaos.doctor.components import Component, Name, examine
from holdfast import __version__
from holdfast.errors import ExitStatus
from holdfast.terminal import fold, output, put, reader_may_leave, width

YES, NO = "yes", "no"
MARGIN = 2


def run_doctor(*, as_json: bool) -> ExitStatus:
    """Look, and say what was found; to find nothing is no failure."""
    found = examine()
    ready, able = stacks(found), faults(found)
    with reader_may_leave():
        if as_json:
            document = report(found, ready, able)
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        else:
            console = output()
            for line in lines(found, ready, able, width(console)):
                put(console, line)
    return ExitStatus.DONE


def report(
    found: Mapping[Name, Component], ready: Sequence[StackReport], able: Sequence[FaultReport]
) -> dict[str, Any]:
    """Return the JSON document; a reason that is null means that nothing is in the way."""
    return {
        "holdfast": __version__,
        "command": "doctor",
        "components": [
            {
                "name": str(each.name),
                "version": each.version or None,
                "where": each.where or None,
                "missing": each.missing or None,
            }
            for each in found.values()
        ],
        "stacks": [
            {
                "name": each.name,
                "ready": each.ready,
                "missing": [str(name) for name in each.missing],
            }
            for each in ready
        ],
        "faults": [
            {"name": each.name, **{arm: each.refusals[arm] or None for arm in ARMS}}
            for each in able
        ],
    }


def lines(
    found: Mapping[Name, Component],
    ready: Sequence[StackReport],
    able: Sequence[FaultReport],
    columns: int,
) -> Iterator[Text | str]:
    """Yield what is printed: components, stacks, faults, and why some cannot be done."""
    yield Text("Components", style="bold")
    names = max(map(len, found))
    numbers = max(len(each.version) for each in found.values())
    for each in found.values():
        head = f"  {each.name:<{names}}  {each.version:<{numbers}}  "
        told = each.where if each.present else f"missing: {each.missing}"
        yield from fold(told, columns, first=head)
    yield ""
    yield Text("Stacks", style="bold")
    wide = max(len(each.name) for each in ready)
    for stack in ready:
        state = "ready" if stack.ready else f"needs {', '.join(stack.missing)}"
        yield from fold(f"{state}: {stack.purpose}", columns, first=f"  {stack.name:<{wide}}  ")
    yield ""
    yield from _fault_lines(able, columns)


def _fault_lines(able: Sequence[FaultReport], columns: int) -> Iterator[Text | str]:
    """A table of yes and no, and under it each reason once, with the faults it stands for."""
    wide = max(len(each.name) for each in able) + MARGIN
    heads = [f"{arm:<{len(arm) + MARGIN}}" for arm in ARMS]
    yield Text(f"{'Faults':<{wide + MARGIN}}{''.join(heads)}".rstrip(), style="bold")
    reasons: dict[tuple[str, str], list[str]] = {}
    for fault in able:
        cells = []
        for arm, head in zip(ARMS, heads, strict=True):
            reason = fault.refusals[arm]
            cells.append(f"{NO if reason else YES:<{len(head)}}")
            if reason:
                reasons.setdefault((arm, reason), []).append(fault.name)
        yield f"  {fault.name:<{wide}}{''.join(cells)}".rstrip()
    if reasons:
        yield ""
        yield Text("Why not", style="bold")
    for (arm, reason), names in reasons.items():
        which = "every fault" if len(names) == len(able) else ", ".join(names)
        yield from fold(f"{arm}, {which}: {reason}", columns, first="  ", hang=4)
