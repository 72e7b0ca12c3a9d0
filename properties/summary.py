"""Many runs of one cell, one verdict per invariant, with what the number of runs can carry."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from properties.statistics import interval_95, upper_bound_95
from properties.verdicts import Status, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CellVerdict:
    """One invariant over all runs of a cell.

    `rate` is violated runs over conclusive ones (None without any), `ci95` its exact interval,
    `upper_bound_95` its exact one-sided bound: after zero violations, the rate that could still
    hide. `examined` adds up the chances of all runs. `reason` says why runs were inconclusive, the
    commonest reason first named.
    """

    invariant: str
    status: Status
    runs: int
    violated_runs: int
    inconclusive_runs: int
    examined: int
    rate: float | None
    ci95: tuple[float, float] | None
    upper_bound_95: float | None
    reason: str = ""

    @property
    def conclusive_runs(self) -> int:
        """The runs that said anything."""
        return self.runs - self.inconclusive_runs


def summarise(judged: Sequence[Mapping[str, Verdict]]) -> dict[str, CellVerdict]:
    """Sum up what `properties.judge.judge` said of each run of a cell.

    VIOLATED if any run was violated; HOLDS if none was and at least one run was conclusive; else
    INCONCLUSIVE. An invariant that a run lacks (the run crashed) is inconclusive in that run.
    """
    names = dict.fromkeys(name for verdicts in judged for name in verdicts)
    return {name: _cell(name, [verdicts.get(name) for verdicts in judged]) for name in names}


def _cell(name: str, verdicts: Sequence[Verdict | None]) -> CellVerdict:
    statuses = Counter(verdict.status if verdict else Status.INCONCLUSIVE for verdict in verdicts)
    violated = statuses[Status.VIOLATED]
    conclusive = violated + statuses[Status.HOLDS]
    unviolated = Status.HOLDS if conclusive else Status.INCONCLUSIVE
    status = Status.VIOLATED if violated else unviolated
    return CellVerdict(
        invariant=name,
        status=status,
        runs=len(verdicts),
        violated_runs=violated,
        inconclusive_runs=statuses[Status.INCONCLUSIVE],
        examined=sum(verdict.examined for verdict in verdicts if verdict),
        rate=violated / conclusive if conclusive else None,
        ci95=interval_95(violated, conclusive) if conclusive else None,
        upper_bound_95=upper_bound_95(violated, conclusive) if conclusive else None,
        reason=_commonest_reason(verdicts),
    )


def _commonest_reason(verdicts: Sequence[Verdict | None]) -> str:
    reasons = Counter(
        verdict.reason if verdict else "the run gave no verdict"
        for verdict in verdicts
        if verdict is None or verdict.status is Status.INCONCLUSIVE
    )
    if not reasons:
        return ""
    (reason, times), *others = reasons.most_common()  # of equal counts, the earliest run's
    more = sum(n for _, n in others)
    return f"{reason} ({times} runs; {more} for other reasons)" if more else reason
