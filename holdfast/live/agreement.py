"""Whether the simulation agrees with the real servers: both side by side, with intervals.

The simulated runs have the live runs' seeds (the same buyers want the same things and the faults
strike at the same moments), the round trips measured on the stack, and the downtimes that the live
faults really had. So the two are compared pair by pair.

The rule: two numbers *disagree* when the 95 % interval of their paired difference excludes zero.
With fewer than `FEWEST_PAIRS` pairs that cannot be told. Latencies are expected to disagree on a
busy machine: the simulation has no queue for the processor.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from chaos.faults import UnsupportedFault
from chaos.persistence import Persistence
from holdfast.cells import CellResult
from holdfast.errors import WrongCommand
from holdfast.experiment import Experiment
from holdfast.json_output import mean_as_dict
from holdfast.judged import JudgedRun
from holdfast.live.experiment import LiveResult
from holdfast.matrix import number
from holdfast.out_folder import cell_as_dict
from holdfast.terminal import fold
from model.database import shown
from model.history import FaultSpan
from model.history_file import read_history
from model.live.measure import Measured, RoundTrip, matched_plan, matched_scenario, measure_stack
from model.live.run import Arm
from model.live.timescale import TimeScale
from model.run import check_simulated, simulate
from model.scenario_plans import resolve_plan
from model.spec import RunSpec
from properties.assessment import assess
from properties.statistics import ALPHA, Mean, mean_95, paired_difference_95, zero_bound_95

FEWEST_PAIRS = 3
COMPARED = {
    "overbooked_tickets": "overbooked",
    "broken_promises": "broken promises",
    "leaked_tickets": "leaked",
    "sold_tickets": "sold",
    "hold_latency_ms_p50": "hold p50, ms",
    "hold_latency_ms_p99": "hold p99, ms",
}
LATENCIES = frozenset({"hold_latency_ms_p50", "hold_latency_ms_p99"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One number of one cell on both arms; `difference` is live minus simulated, paired by seed.

    `disagrees` is None when there are too few pairs to tell.
    """

    simulated: Mean
    live: Mean
    difference: Mean
    disagrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAgreement:
    """One cell on both arms. `measured` are the round trips its simulation was given.

    `database` is what the simulation ran on.
    """

    live: CellResult
    database: str
    measured: Measured
    numbers: Mapping[str, Compared]


Stacked = Mapping[Persistence | None, Measured]


def measure_before(experiment: Experiment, arm: Arm, database: str) -> Stacked:
    """Measure the stack once for each persistence that is compared.

    Raises:
        WrongCommand: the simulated arm cannot do one of the faults.
        UnknownDatabase, DatabaseUnavailable: `database`, to simulate on, cannot be had.
        StackBroken: a server did not become healthy.
    """
    for cell in experiment.cells:
        try:
            check_simulated(replace(experiment.spec(cell, 0), database=database))
        except UnsupportedFault as error:
            reason = str(error).removesuffix("; use `holdfast live`")
            raise WrongCommand(f"--agree: {reason}; leave {cell.fault} or --agree out") from error
    modes = dict.fromkeys(cell.persistence for cell in experiment.cells)
    return {mode: measure_stack(arm.stack, mode) for mode in modes}


def agree(live: LiveResult, measured: Stacked, database: str) -> list[CellAgreement]:
    """Simulate every finished live run on `database` with what was measured, and compare."""
    experiment = live.result.experiment
    return [
        _cell(experiment, result, measured[result.cell.persistence], live.factor, database)
        for result in live.result.cells
        if any(not run.crash for run in result.runs)
    ]


def _cell(
    experiment: Experiment, result: CellResult, measured: Measured, factor: float, database: str
) -> CellAgreement:
    scenario = matched_scenario(experiment.scenario, measured, TimeScale(factor))
    runs = [run for run in result.runs if not run.crash]
    simulated = [
        _simulated(
            replace(experiment.spec(result.cell, run.run), scenario=scenario, database=database),
            _spans(run),
            factor,
        )
        for run in runs
    ]
    pairs = list(zip([run.metrics for run in runs], simulated, strict=True))
    return CellAgreement(
        live=result,
        database=shown(database),
        measured=measured,
        numbers=compare_numbers(pairs),
    )


def _spans(run: JudgedRun) -> list[FaultSpan]:
    return [] if run.history is None else read_history(run.history).faults


def _simulated(spec: RunSpec, spans: list[FaultSpan], factor: float) -> Mapping[str, float]:
    plan = matched_plan(resolve_plan(spec.fault, spec.scenario), spans)
    metrics = assess(simulate(spec, plan=plan).history).metrics
    return {  # a simulated latency is in the scenario's time, where machines seem slower
        name: value / factor if name in LATENCIES else value for name, value in metrics.items()
    }


def compare_numbers(
    pairs: Sequence[tuple[Mapping[str, float], ...]],
) -> dict[str, Compared]:
    """Compare the metrics of (live, simulated) runs, each pair of one seed."""
    found = {}
    for name in COMPARED:
        both = [(live[name], sim[name]) for live, sim in pairs if name in live and name in sim]
        if not both:
            continue
        live_values, simulated = [a for a, _ in both], [b for _, b in both]
        difference = paired_difference_95(live_values, simulated)
        found[name] = Compared(
            simulated=mean_95(simulated),
            live=mean_95(live_values),
            difference=difference,
            disagrees=_disagrees(difference),
        )
    return found


def _disagrees(difference: Mean) -> bool | None:
    if difference.n < FEWEST_PAIRS or difference.ci95 is None:
        return None
    low, high = difference.ci95
    return not low <= 0.0 <= high


def agreement_lines(found: Sequence[CellAgreement], wide: int) -> Iterator[Text | str]:
    """Lay both arms out side by side."""
    for cell in found:
        yield Text(f"{cell.live.cell.strategy.title}, {cell.live.cell.conditions}", style="bold")
        measured = f"measured: {_told(cell.measured)}; simulated on {cell.database}"
        yield from fold(measured, wide, first="  ")
        pairs = max((compared.live.n for compared in cell.numbers.values()), default=0)
        yield f"  {pairs} pairs; what was 0 in all may come in {_bound(pairs)} of runs (95 %)"
        yield Text(f"  {'':<18}{'simulated':>15}{'live':>15}{'live - simulated':>20}", style="dim")
        for name, compared in cell.numbers.items():
            row = (
                f"  {COMPARED[name]:<18}{number(compared.simulated):>15}"
                f"{number(compared.live):>15}{number(compared.difference):>20}"
            )
            says = {None: "  ?", True: "  DISAGREE", False: ""}[compared.disagrees]
            yield Text.assemble(row, (says, "bold red" if compared.disagrees else "yellow"))
    if any(each.disagrees is None for cell in found for each in cell.numbers.values()):
        yield from fold(f"?: fewer than {FEWEST_PAIRS} pairs, too few to tell", wide)
    yield from fold(
        "DISAGREE: the 95 % interval of the paired difference excludes zero (same seeds on both "
        f"arms). {_by_chance(found)}Latencies often do: the simulation has no queue for the "
        "processor, and no first calls, for which connections are opened and statements compiled.",
        wide,
    )


def _by_chance(found: Sequence[CellAgreement]) -> str:
    """How many of the comparisons would be flagged if nothing differed but luck."""
    told = sum(
        compared.disagrees is not None and name not in LATENCIES
        for cell in found
        for name, compared in cell.numbers.items()
    )
    return f"Of {told} counts, up to {told * ALPHA:.1f} would by chance alone. " if told else ""


def _bound(pairs: int) -> str:
    return f"up to {100.0 * zero_bound_95(pairs):.1f} %"


def _told(measured: Measured) -> str:
    def one(name: str, trip: RoundTrip) -> str:
        return f"{name} {trip.median_ms:.2f}/{trip.p99_ms:.2f}"

    trips = (
        one("Redis", measured.redis),
        one("statement", measured.statement),
        one("commit", measured.commit),
    )
    return f"{', '.join(trips)} ms (median/p99)"


def agreement_as_dicts(found: Sequence[CellAgreement]) -> list[dict[str, Any]]:
    """Return the agreement for the JSON document."""
    return [
        {
            **cell_as_dict(cell.live.cell),
            "database": cell.database,
            "measured_ms": {
                name: {"median": trip.median_ms, "p99": trip.p99_ms}
                for name, trip in (
                    ("redis", cell.measured.redis),
                    ("statement", cell.measured.statement),
                    ("commit", cell.measured.commit),
                )
            },
            "numbers": {
                name: {
                    "simulated": mean_as_dict(compared.simulated),
                    "live": mean_as_dict(compared.live),
                    "difference": mean_as_dict(compared.difference),
                    "disagrees": compared.disagrees,
                }
                for name, compared in cell.numbers.items()
            },
        }
        for cell in found
    ]
