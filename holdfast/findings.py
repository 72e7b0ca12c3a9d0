"""What the matrix says of each strategy, in one sentence an architect can repeat."""

from collections.abc import Sequence
from itertools import groupby

from holdfast.cells import CellResult
from holdfast.matrix import number, percent_range
from properties.judge import INVARIANTS
from properties.statistics import zero_bound_95
from properties.telling import counted
from properties.verdicts import Status

DOES = {
    "no-overbooking": "overbooks",
    "seat-sold-once": "sells seats twice",
    "hold-honoured": "breaks promises",
    "no-overhold": "over-holds",
    "stock-conserved": "loses count of its stock",
    "no-leak": "leaks tickets",
    "charged-once": "charges wrongly",
    "orders-durable": "loses orders",
    "expiry-honoured": "sells on expired holds",
    "sale-goes-on": "stops selling",
    "linearizable": "gives answers that no order explains",
}
COUNTED = {
    "no-overbooking": ("overbooked_tickets", "tickets a run"),
    "hold-honoured": ("broken_promises", "a run"),
    "no-leak": ("leaked_tickets", "tickets a run"),
}


def findings(results: Sequence[CellResult], *, repeatable: bool = True) -> list[str]:
    """Return one sentence a strategy, in the order of the matrix; quiet ones share theirs.

    What is not `repeatable` cannot be replayed for the crossings there were.
    """
    said = [
        (label, _sentence(list(group)))
        for label, group in groupby(results, key=lambda result: result.cell.strategy.title)
    ]
    told = [f"{label} {says}" for label, says in said if not says.startswith(":")]
    alike = dict.fromkeys(says for _, says in said if says.startswith(":"))
    quiet = [", ".join(label for label, each in said if each == says) + says for says in alike]
    return [*_never_struck(results, repeatable=repeatable), *told, *quiet]


def _never_struck(results: Sequence[CellResult], *, repeatable: bool) -> list[str]:
    """A fault that struck in no run of any cell: most likely a place or a time that never came."""
    said = []
    shown = " (`holdfast replay HISTORY --crossings` shows those there are)" if repeatable else ""
    for fault in dict.fromkeys(result.cell.fault for result in results):
        cells = [result for result in results if result.cell.fault == fault]
        runs = sum(len(cell.runs) for cell in cells)
        if fault != "none" and runs and all(c.witnesses.get("fault-struck") == 0 for c in cells):
            said.append(
                f"{fault} struck in 0 of {counted(runs, 'run')}: look at its times and crossings"
                f"{shown}."
            )
    return said


def _sentence(cells: Sequence[CellResult]) -> str:
    deeds = [deed for name in INVARIANTS if (deed := _deed(name, cells))]
    crashed = sum(len(cell.crashes) for cell in cells)
    if crashed:
        deeds.append(f"crashed in {counted(crashed, 'run')}, inconclusive therefore")
    if deeds:
        return f"{'; '.join(deeds)}."
    finished = [len(cell.runs) for cell in cells]
    if not any(finished):
        return ": no run was finished."
    if not all(finished):
        return ": no violation seen, but not every cell has a run."
    told = [
        verdict.conclusive_runs
        for cell in cells
        for verdict in cell.verdicts.values()
        if verdict.status is Status.HOLDS
    ]
    if not told:
        return ": too little happened to tell."
    return f": no violation seen; {_room(min(told), min(finished))} of runs (95 %)."


def _room(least: int, runs: int) -> str:
    """What so many runs without a violation cannot exclude; `least` of them could tell."""
    bound = f"room for {100 * zero_bound_95(least):.1f} %"
    if least == runs:
        return f"{counted(runs, 'run')} a cell leave{'s' * (runs == 1)} {bound}"
    return f"{runs} runs a cell, of which at least {least} could tell, which leaves {bound}"


def _deed(name: str, cells: Sequence[CellResult]) -> str:
    violated = [cell for cell in cells if cell.verdicts[name].status is Status.VIOLATED]
    if not violated:
        return ""
    places = ", ".join(_place(name, cell) for cell in violated)
    return f"{DOES.get(name, 'violates ' + name)} {places}"


def _place(name: str, cell: CellResult) -> str:
    verdict = cell.verdicts[name]
    facts = [f"{verdict.violated_runs}/{verdict.conclusive_runs} runs"]
    if verdict.ci95 is not None:
        facts[0] += f", {percent_range(*verdict.ci95)}"
    metric, unit = COUNTED.get(name, ("", ""))
    mean = cell.metrics.get(metric)
    if mean is not None:
        facts.append(f"{number(mean)} {unit}")
    over = cell.over_no_fault.get(metric)
    if name == "no-overbooking" and over is not None and over.ci95 is not None:
        low, high = over.ci95
        if low > 0 or high < 0:  # else the seeds alone may have made the difference
            facts.append(f"{over.mean:+.1f} [{low:.1f}, {high:.1f}] against no fault")
    mode = cell.cell.persistence
    where = "with no fault" if cell.cell.fault == "none" else f"under {cell.cell.fault}"
    where += f"/{mode.value}" if mode and cell.cell.fault != "none" else ""
    return f"{where} ({'; '.join(facts)})"
