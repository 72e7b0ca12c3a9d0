"""The matrix: which invariants broke in which cell, and what a run of it costs and sells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from holdfast.cells import CellResult
from holdfast.grid import Column, Grid
from holdfast.terminal import fold
from properties.judge import INVARIANTS
from properties.statistics import Mean, zero_bound_95
from properties.summary import CellVerdict
from properties.verdicts import Status
from reservation.catalogue import find

STYLES = {Status.HOLDS: "green", Status.VIOLATED: "bold red", Status.INCONCLUSIVE: "yellow"}
HEADINGS = {
    "no-overbooking": ("over", "book"),
    "seat-sold-once": ("seat", "once"),
    "hold-honoured": ("hold", "hon."),
    "no-overhold": ("over", "hold"),
    "stock-conserved": ("stock", "cons."),
    "no-leak": ("no", "leak"),
    "charged-once": ("chrgd", "once"),
    "orders-durable": ("order", "dur."),
    "expiry-honoured": ("exp.", "hon."),
    "sale-goes-on": ("goes", "on"),
    "linearizable": ("linz.",),
}
MANY_RUNS = 100  # from here on k/n is too wide for its column, and a percentage says more
LABEL = Column(heading=("fault,", "persistence"), right=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A column of the table of numbers."""

    heading: tuple[str, ...]
    show: Callable[[CellResult], str]

    @property
    def name(self) -> str:
        """The heading in one line."""
        return " ".join(self.heading).replace("- ", "").strip()


def verdict_lines(results: Sequence[CellResult], width: int) -> list[Text]:
    """Lay out the verdicts: a row per cell, a column per invariant, a legend below."""
    silent = [name for name in INVARIANTS if _says_nothing(name, results)]
    shown = [name for name in INVARIANTS if name not in silent]
    headings = [HEADINGS.get(name, (name,)) for name in shown]

    def cells(result: CellResult) -> list[Text]:
        return [verdict_word(result.verdicts[name]) for name in shown]

    shapes = [(2, False), (1, False), (1, True)]
    grids = [
        _grid(results, headings, cells, width, gap=gap, nested=nested) for gap, nested in shapes
    ]
    return [*_first_that_fits(grids, width).lines(), *_legend(results, shown, silent, width)]


def verdict_word(verdict: CellVerdict) -> Text:
    """Write a verdict over runs in at most five letters."""
    style = STYLES[verdict.status]
    if verdict.status is Status.INCONCLUSIVE:
        return Text("?", style=style)
    if verdict.status is Status.HOLDS:
        whole = not verdict.inconclusive_runs
        return Text("holds" if whole else f"ok {verdict.conclusive_runs}", style=style)
    if verdict.runs < MANY_RUNS:
        return Text(f"{verdict.violated_runs}/{verdict.conclusive_runs}", style=style)
    percent = 100 * verdict.violated_runs / verdict.conclusive_runs
    return Text("<1 %" if percent < 1 else f"{percent:.0f} %", style=style)


def number_lines(results: Sequence[CellResult], width: int) -> list[Text]:
    """Lay out the numbers with as many columns as fit into `width`."""
    sets = [
        [each for each in numbers if any(each.show(result) != "-" for result in results)]
        for numbers in _column_sets()
    ]
    return _widest_set(results, sets, width)


def _widest_set(
    results: Sequence[CellResult], sets: Sequence[Sequence[Number]], width: int
) -> list[Text]:
    """Lay out the first set that fits, and name what it leaves out."""
    sets = [*sets, sets[-1]]  # at last with a heading of its own for the fault
    grids = [
        _number_grid(results, numbers, width, nested=index == len(sets) - 1)
        for index, numbers in enumerate(sets)
    ]
    fitting = _first_that_fits(grids, width)
    shown = sets[grids.index(fitting)]
    return [*fitting.lines(), *_left_out([n.name for n in sets[0] if n not in shown], width)]


def _left_out(names: Sequence[str], width: int) -> list[Text]:
    if not names:
        return []
    text = f"too wide for {width} columns, in --format json: {', '.join(names)}"
    return [Text(row, style="dim") for row in ["", *fold(text, width)]]


def database_lines(results: Sequence[CellResult], width: int) -> list[Text]:
    """Lay out what the database was asked for and how long it made callers wait (flow 1)."""
    statements = Number(heading=("SQL a", "buyer"), show=_of("db_statements_per_buyer"))
    reclaim = Number(heading=("SQL of", "sweeps"), show=_of("db_reclaim_statements"))
    swept = Number(heading=("sweeps", "ms"), show=_of("db_reclaim_s", scale=1000.0))
    waited = Number(heading=("lock wait", "ms a buyer"), show=_of("db_lock_wait_ms_per_buyer"))
    longest = Number(heading=("longest", "ms"), show=_of("db_lock_wait_ms_max"))
    deadlocks = Number(heading=("dead-", "locks"), show=_of("db_deadlocks"))
    unserial = Number(heading=("serial.", "failures"), show=_of("db_serialization_failures"))
    sets = [
        [statements, reclaim, swept, waited, longest, deadlocks, unserial],
        [statements, reclaim, waited, longest, deadlocks, unserial],
        [statements, waited, deadlocks, unserial],
        [waited, deadlocks],
    ]
    return _widest_set(results, sets, width)


def _first_that_fits(grids: Sequence[Grid], width: int) -> Grid:
    """Return the first grid that is narrow enough, else the last, which is the narrowest."""
    return next((grid for grid in grids if grid.total() <= width), grids[-1])


def _says_nothing(name: str, results: Sequence[CellResult]) -> bool:
    return all(result.verdicts[name].status is Status.INCONCLUSIVE for result in results)


def _grid(
    results: Sequence[CellResult],
    headings: Sequence[tuple[str, ...]],
    cells: Callable[[CellResult], list[Text]],
    width: int,
    *,
    gap: int = 2,
    nested: bool = False,
) -> Grid:
    """Put a heading with the strategy's name over its rows; `nested` also one with the fault."""
    grid = Grid(columns=[LABEL, *(Column(heading=heading) for heading in headings)], gap=gap)
    for title, group in groupby(results, key=lambda result: result.cell.strategy.title):
        found = list(group)
        known_bad = find(found[0].cell.strategy.name).known_bad is not None
        grid.rows += [Text(row, style="bold") for row in fold(title, width, hang=4)]
        if known_bad:
            assert isinstance(grid.rows[-1], Text)
            grid.rows[-1].append(" (known bad)", style="dim")
        rows = _nested(found, cells) if nested else _flat(found, cells)
        grid.rows += rows
    return grid


def _flat(
    results: Sequence[CellResult], cells: Callable[[CellResult], list[Text]]
) -> list[Text | list[Text]]:
    return [[Text(f"  {result.cell.conditions}"), *cells(result)] for result in results]


def _nested(
    results: Sequence[CellResult], cells: Callable[[CellResult], list[Text]]
) -> list[Text | list[Text]]:
    rows: list[Text | list[Text]] = []
    for fault, group in groupby(results, key=lambda result: result.cell.fault):
        rows.append(Text("  no fault" if fault == "none" else f"  {fault}"))
        for result in group:
            mode = result.cell.persistence
            rows.append([Text(f"   {mode.value if mode else 'no Redis'}"), *cells(result)])
    return rows


def _legend(
    results: Sequence[CellResult], shown: Sequence[str], silent: Sequence[str], width: int
) -> list[Text]:
    verdicts = [result.verdicts[name] for result in results for name in shown]
    runs = max((verdict.runs for verdict in verdicts), default=0)
    lines = ["", f"cols   {', '.join(shown)}"] if shown else [""]
    if any(v.status is Status.HOLDS for v in verdicts):
        bound = f"{100 * zero_bound_95(runs):.1f} %" if runs else "100 %"
        lines.append(
            f"holds  HOLDS in {runs} of {runs} runs: breaks at most {bound} of runs (95 %)"
        )
    if any(v.status is Status.HOLDS and v.inconclusive_runs for v in verdicts):
        lines.append("ok N   HOLDS in N runs; in the others too little happened to tell")
    if any(v.status is Status.VIOLATED for v in verdicts):
        lines.append("k/n    VIOLATED in k of the n runs that could tell")
        lines.append(f"       95 % intervals: {_intervals(verdicts)}")
    if any(v.status is Status.INCONCLUSIVE for v in verdicts):
        none = "" if all(result.runs for result in results) else ", or no run was finished"
        lines.append(f"?      INCONCLUSIVE: too little happened in every run to tell{none}")
    if silent:
        lines.append(f"INCONCLUSIVE in every cell: {', '.join(silent)}")
    folded = [row for line in lines for row in fold(line, width, hang=7) or [""]]
    return [Text(row, style="dim") for row in folded]


def _intervals(verdicts: Sequence[CellVerdict]) -> str:
    """Give every rate that the matrix shows its exact interval."""
    rates = {
        (verdict.violated_runs, verdict.conclusive_runs): verdict.ci95
        for verdict in verdicts
        if verdict.status is Status.VIOLATED and verdict.ci95 is not None
    }
    return ", ".join(f"{k}/{n} {percent_range(*ci)}" for (k, n), ci in sorted(rates.items()))


def percent_range(low: float, high: float) -> str:
    """Write an interval of shares as whole percents."""
    return f"{100 * low:.0f}-{100 * high:.0f} %"


def _number_grid(
    results: Sequence[CellResult], numbers: Sequence[Number], width: int, *, nested: bool
) -> Grid:
    headings = [number.heading for number in numbers]
    return _grid(
        results,
        headings,
        lambda result: [Text(n.show(result)) for n in numbers],
        width,
        nested=nested,
    )


def _column_sets() -> list[list[Number]]:
    """Return what to show, the richest set first, the narrowest last."""
    overbooked = Number(heading=("over-", "booked"), show=_of("overbooked_tickets"))
    share = Number(heading=("runs", "overbooked"), show=share_overbooked)
    broken = Number(heading=("broken", "prom."), show=_of("broken_promises"))
    held = Number(heading=("over-", "held"), show=_of("overheld_tickets"))
    leaked = Number(heading=("", "leaked"), show=_of("leaked_tickets"))
    sold = Number(heading=("", "sold"), show=_of("sold_tickets"))
    refunds = Number(heading=("", "refunds"), show=_of("refunds"))
    p99 = Number(heading=("p99", "ms"), show=_of("hold_latency_ms_p99"))
    sql = Number(heading=("SQL per", "buyer"), show=_of("db_statements_per_buyer"))
    core = [broken, held, leaked]
    return [
        [overbooked, share, *core, sold, refunds, p99, sql],
        [overbooked, share, *core, sold, refunds, p99],
        [overbooked, share, *core, sold, p99],
        [overbooked, *core, sold],
        [overbooked, *core],
    ]


def _of(metric: str, *, scale: float = 1.0) -> Callable[[CellResult], str]:
    return lambda result: number(result.metrics.get(metric), scale=scale)


def number(mean: Mean | None, *, scale: float = 1.0) -> str:
    """Write a mean, with half its interval's width where there is one, in a unit `scale` finer."""
    if mean is None:
        return "-"
    text = f"{scale * mean.mean:.1f}"
    if mean.ci95 is None or mean.ci95[0] == mean.ci95[1]:
        return text
    return f"{text} ±{scale * (mean.ci95[1] - mean.ci95[0]) / 2:.1f}"


def share_overbooked(result: CellResult) -> str:
    """Write how many runs overbooked, with the exact interval, or the bound after none."""
    verdict = result.verdicts["no-overbooking"]
    if not verdict.conclusive_runs:
        return "?"
    text = f"{verdict.violated_runs}/{verdict.conclusive_runs}"
    if verdict.ci95 is None or verdict.upper_bound_95 is None:
        return text
    if not verdict.violated_runs:
        return f"{text} (<= {100 * verdict.upper_bound_95:.1f} %)"
    return f"{text} ({percent_range(*verdict.ci95)})"
