"""What a comparison will run, checked before anything starts: cells, seeds, runs.

A cell is one strategy under one fault plan with one persistence. Every cell gets the same seeds
(common random numbers), so that two cells differ by the strategy and the fault, not by luck.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.persistence import Persistence
from chaos.plans import UnknownFault
from holdfast.choices import StrategyChoice
from holdfast.errors import WrongCommand
from model.database import check_database
from model.scenario import Scenario
from model.scenario_plans import resolve_plan
from model.spec import RunSpec
from reservation.api import StrategyInfo
from reservation.catalogue import STRATEGIES, find, resolve_options

DEFAULT_FAULTS = ("none", "redis-kill")
DEFAULT_PERSISTENCE = (Persistence.NONE, Persistence.AOF_EVERYSEC)
DEFAULT_RUNS = 20
DEFAULT_SEED = 1
SEED_STRIDE = 1_000_003  # a prime far above any number of runs: no two seeds share a run's seed
MAX_RUNS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of the matrix. `persistence` is None for a strategy that does not use Redis."""

    strategy: StrategyChoice
    fault: str
    persistence: Persistence | None

    @property
    def conditions(self) -> str:
        """The fault and the persistence, in few words."""
        fault = "no fault" if self.fault == "none" else self.fault
        return fault if self.persistence is None else f"{fault}, {self.persistence.value}"

    @property
    def slug(self) -> str:
        """A name for files: letters, digits, `-`, `_`, `.` and `+` only."""
        kept = self.persistence.value if self.persistence else "no-redis"
        text = f"{self.strategy.label}--{self.fault}--{kept}"
        return "".join(c if c.isalnum() or c in "-_.+" else "_" for c in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A scenario, the cells to compare it in, and the runs each cell gets."""

    scenario: Scenario
    cells: tuple[Cell, ...]
    runs: int
    seed: int
    database: str = "sqlite"

    def run_seed(self, run: int) -> int:
        """Return the seed of run number `run` (from 0), the same in every cell."""
        return self.seed * SEED_STRIDE + run

    def spec(self, cell: Cell, run: int) -> RunSpec:
        """Return everything that decides one run of one cell."""
        return RunSpec(
            scenario=self.scenario,
            strategy=cell.strategy.name,
            options=dict(cell.strategy.options),
            seed=self.run_seed(run),
            fault=cell.fault,
            persistence=cell.persistence,
            database=self.database,
        )


def plan_experiment(
    scenario: Scenario,
    *,
    strategies: Sequence[StrategyChoice] | None = None,
    faults: Sequence[str] | None = None,
    persistence: Sequence[Persistence] | None = None,
    runs: int = DEFAULT_RUNS,
    seed: int = DEFAULT_SEED,
    database: str = "sqlite",
) -> Experiment:
    """Check the choices and lay out the cells, in the order they were given.

    None means the default: every strategy that admits the scenario's kind of sale; the faults
    `none` and `redis-kill`; no persistence and `aof-everysec`, where the fault `none` gets only the
    first (without a crash nothing is ever read back from the disk). Persistence that is asked for
    is run under every fault.

    Raises:
        WrongCommand, UnknownStrategy, BadOption: a name, an option or a number is wrong.
    """
    _check_numbers(runs, database)
    chosen = _choose_strategies(scenario, strategies)
    plans = list(faults) if faults is not None else list(DEFAULT_FAULTS)
    _check_faults(plans, scenario)
    cells = [
        Cell(strategy=choice, fault=fault, persistence=mode)
        for choice in chosen
        for fault in plans
        for mode in _modes(find(choice.name), fault, persistence)
    ]
    return Experiment(
        scenario=scenario, cells=tuple(cells), runs=runs, seed=seed, database=database
    )


def _check_numbers(runs: int, database: str) -> None:
    if not 1 <= runs <= MAX_RUNS:
        raise WrongCommand(f"--runs: {runs} is not between 1 and {MAX_RUNS:,}")
    check_database(database)


def _modes(
    info: StrategyInfo, fault: str, asked: Sequence[Persistence] | None
) -> Iterable[Persistence | None]:
    if not info.uses_redis:
        return (None,)
    if asked is not None:
        return asked
    return DEFAULT_PERSISTENCE[:1] if fault == "none" else DEFAULT_PERSISTENCE


def _choose_strategies(
    scenario: Scenario, asked: Sequence[StrategyChoice] | None
) -> list[StrategyChoice]:
    """Return the strategies with the scenario's options under those of the command, all checked."""
    kind = scenario.sale.kind
    admitting = [name for name, info in STRATEGIES.items() if kind in info.admits]
    for name, options in scenario.options.items():
        _checked(find(name), options)
    if asked is None:
        asked = [StrategyChoice(name=name) for name in admitting]
    chosen = []
    for choice in asked:
        info = find(choice.name)
        if choice.name not in admitting:
            raise WrongCommand(
                f"--strategies: {choice.name!r} does not sell by {kind.value!r}, as scenario "
                f"{scenario.name!r} does; these do: {', '.join(admitting)}"
            )
        given = {**scenario.options.get(choice.name, {}), **choice.options}
        chosen.append(StrategyChoice(name=choice.name, options=_checked(info, given)))
    return chosen


def _checked(info: StrategyInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    resolved = resolve_options(info, given)
    return {key: resolved[key] for key in given}


def _check_faults(plans: Iterable[str], scenario: Scenario) -> None:
    for name in plans:
        parts = name.split("+")
        if len(set(parts)) < len(parts):
            raise WrongCommand(f"--faults: {name!r} names a fault twice")
        try:
            resolve_plan(name, scenario)
        except UnknownFault as error:
            raise WrongCommand(f"--faults: {error}") from error
