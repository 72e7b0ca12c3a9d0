"""One run, named: everything that decides it, and what comes back."""

from dataclasses import dataclass, field
from typing import Any

from chaos.persistence import Persistence
from model.history import History
from model.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that decides a run: two runs of equal specs have equal trace hashes.

    `persistence` is None for a strategy that does not use Redis. `only_buyers`, when given, leaves
    all other buyers out without shifting anybody's draws (how stories are shrunk).
    """

    scenario: Scenario
    strategy: str
    seed: int
    fault: str = "none"
    persistence: Persistence | None = None
    database: str = "sqlite"
    options: dict[str, Any] = field(default_factory=dict)
    only_buyers: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One leg of one boundary crossing, kept only when a run is asked to record them."""

    at_s: float
    actor: str
    target: str
    leg: str
    label: str
    outcome: str = "ok"


@dataclass(slots=True, kw_only=True)
class RunResult:
    """What a run leaves: its history, the hash of every crossing, and raw counts.

    `metrics` are plain numbers per run, keyed by the names of the CLI contract
    (hold_latency_ms_p99, db_statements_per_buyer, ...), plus kernel counts (crossings, buyers).
    """

    history: History
    trace_hash: str
    metrics: dict[str, float]
    crossings: list[Crossing] = field(default_factory=list)
