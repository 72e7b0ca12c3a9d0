"""Judge a history on every invariant, and accept "it holds" only where it could have failed."""

from dataclasses import replace

from model.history import History
from properties import sometimes
from properties.evidence import Evidence, gather
from properties.invariants import (
    charged_once,
    expiry_honoured,
    hold_honoured,
    linearizable,
    no_leak,
    no_overbooking,
    no_overhold,
    orders_durable,
    sale_goes_on,
    seat_sold_once,
    stock_conserved,
)
from properties.verdicts import Invariant, Status, Verdict, inconclusive

INVARIANTS: dict[str, Invariant] = {
    module.INVARIANT.name: module.INVARIANT
    for module in (
        no_overbooking,
        seat_sold_once,
        hold_honoured,
        no_overhold,
        stock_conserved,
        no_leak,
        charged_once,
        orders_durable,
        expiry_honoured,
        sale_goes_on,
        linearizable,
    )
}


def judge(history: History) -> dict[str, Verdict]:
    """Return one verdict per invariant, in the order of `INVARIANTS`.

    A violation always stands. A HOLDS becomes INCONCLUSIVE when what `properties.sometimes.NEEDS`
    asks for was never seen, when a fault of the run's plan never struck, and when the history is
    damaged, because the missing part may hide a breach. A checker that crashes is INCONCLUSIVE.
    """
    try:
        evidence = gather(history)
        seen = sometimes.count(evidence)
    except Exception as error:  # noqa: BLE001 - unreadable evidence is a verdict, not an end
        reason = f"the history cannot be judged: {type(error).__name__}: {error}"
        return {name: inconclusive(name, reason) for name in INVARIANTS}
    return judge_evidence(evidence, seen)


def judge_evidence(evidence: Evidence, seen: dict[str, int]) -> dict[str, Verdict]:
    """Judge evidence that was gathered already, given its witnesses."""
    return {
        name: _weigh(_examine(invariant, evidence), evidence.history, seen)
        for name, invariant in INVARIANTS.items()
    }


def _examine(invariant: Invariant, evidence: Evidence) -> Verdict:
    try:
        return invariant.examine(evidence)
    except Exception as error:  # noqa: BLE001 - a crashed checker is unknown, never a pass
        reason = f"the checker crashed: {type(error).__name__}: {error}"
        return inconclusive(invariant.name, reason, undecided=True)


def _weigh(verdict: Verdict, history: History, seen: dict[str, int]) -> Verdict:
    """Turn a HOLDS that proves nothing into INCONCLUSIVE; name the damage in the others."""
    damage = f"the history is damaged ({history.problems[0]})" if history.problems else ""
    if verdict.status is not Status.HOLDS:
        reasons = [reason for reason in (verdict.reason, damage) if reason]
        return replace(verdict, reason="; ".join(reasons))
    if damage:
        reason = f"no violation in what is left, but {damage}"
        return inconclusive(verdict.invariant, reason, examined=verdict.examined)
    fault = str(history.meta.get("fault", "none"))
    live = history.meta.get("arm") == "live"
    missing = [
        f"{witness} ({sometimes.WITNESSES[witness]})"
        for witness in sometimes.needed(verdict.invariant, fault, live=live)
        if not seen[witness]
    ]
    idle = sometimes.idle_faults(history)
    if idle and seen["fault-struck"]:  # some of a plan's faults did
        missing.append(f"{', '.join(idle)} (planned, and had nothing to strike)")
    if missing:
        reason = f"no violation, but never seen: {'; '.join(missing)}"
        return inconclusive(verdict.invariant, reason, examined=verdict.examined)
    return verdict
