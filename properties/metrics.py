"""Numbers of one run, for means and intervals over runs."""

from collections.abc import Mapping, Sequence
from math import ceil

from model.history import History, Operation, Outcome
from properties.evidence import Evidence, answered, gather
from properties.invariants import no_leak, stock_conserved
from properties.judge import INVARIANTS
from properties.verdicts import Verdict


def measure(
    history: History,
    *,
    judged: Mapping[str, Verdict] | None = None,
    evidence: Evidence | None = None,
) -> dict[str, float]:
    """Measure one history; every key is a count of tickets, holds, ... or milliseconds.

    `judged` (the untrimmed verdicts of `properties.judge.judge`) and `evidence` save work if at
    hand. A number that cannot be known is left out: latencies when nobody was answered, and what
    needs the audit when the run was cut short (`leaked_tickets` also when it came too early).
    """
    evidence = evidence or gather(history)
    metrics = _breaches(evidence, judged)
    metrics.update(_stock(evidence))
    metrics["sold_tickets"] = sum(sale.quantity for sale in evidence.sold)
    metrics["buyers_served"] = len({sale.owner for sale in evidence.sold})
    metrics["holds"] = len(evidence.granted)
    holds = [op for op in evidence.operations if op.kind == "hold"]
    metrics["refused_holds"] = sum(op.outcome is Outcome.REFUSED for op in holds)
    metrics["unknown_outcomes"] = sum(op.outcome is Outcome.UNKNOWN for op in evidence.operations)
    # A live history is in the scenario's seconds; a latency is the machines', in wall time.
    factor = float(history.meta.get("time_factor", 1.0))
    metrics.update(_latency("hold", holds, factor))
    checkouts = [op for op in evidence.operations if op.kind == "checkout"]
    metrics.update(_latency("checkout", checkouts, factor))
    return {name: float(value) for name, value in metrics.items()}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values (a value that was really measured).

    Raises:
        ValueError: no values, or a share outside (0, 1].
    """
    if not ordered or not 0.0 < share <= 1.0:
        raise ValueError(f"no percentile {share} of {len(ordered)} values")
    return ordered[ceil(share * len(ordered)) - 1]


def _breaches(evidence: Evidence, judged: Mapping[str, Verdict] | None) -> dict[str, float]:
    def violations_of(name: str) -> list[int]:
        verdict = judged[name] if judged else INVARIANTS[name].examine(evidence)
        return [violation.amount for violation in verdict.violations]

    return {
        "overbooked_tickets": sum(violations_of("no-overbooking")),
        "broken_promises": len(violations_of("hold-honoured")),
        "overheld_tickets": sum(violations_of("no-overhold")),
        "expired_sales": len(violations_of("expiry-honoured")),
    }


def _stock(evidence: Evidence) -> dict[str, float]:
    audit = evidence.audit
    if audit is None:
        return {}
    metrics: dict[str, float] = {
        "over_returned_tickets": sum(gap.over_returned for gap in stock_conserved.gaps(evidence)),
        "refunds": sum(payment.refunded_s is not None for payment in audit.payments),
    }
    if audit.at_s >= no_leak.settled_s(evidence):
        metrics["leaked_tickets"] = sum(no_leak.leaked(row, evidence) for row in audit.stock)
    return metrics


def _latency(kind: str, operations: list[Operation], factor: float) -> dict[str, float]:
    """Time the answered calls, refusals included; a call without an answer has no latency."""
    taken_ms = sorted(
        (op.completed_s - op.invoked_s) * 1000.0 / factor
        for op in operations
        if op.completed_s is not None and answered(op)
    )
    if not taken_ms:
        return {}
    return {
        f"{kind}_latency_ms_p50": percentile(taken_ms, 0.50),
        f"{kind}_latency_ms_p99": percentile(taken_ms, 0.99),
    }
