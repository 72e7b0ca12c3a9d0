"""sale-goes-on: after healing, buyers are served again within a bound."""

from functools import partial
from math import inf

from model.history import Operation
from properties.evidence import BUYER_KINDS, Evidence, answered, ended_s
from properties.telling import in_order
from properties.verdicts import Invariant, Verdict, Violation, conclude, inconclusive

NAME = "sale-goes-on"
BOUND_S = 60.0
SHORTEST_RUN = 3  # unanswered requests in a row, spread over more than the bound
STORY_OPERATIONS = 6


def examine(evidence: Evidence, *, bound_s: float = BOUND_S) -> Verdict:
    """Ask whether requests after the last fault got definite answers; `examined` counts them.

    Two breaches: nobody who asked within `bound_s` seconds of healing was answered within that
    bound (a checkout may take longer: its payment does), or later a run of at least three requests
    over more than the bound went without an answer. A refusal is an answer.
    """
    endless = [span.fault for span in evidence.faults if span.ended_s is None]
    if endless:
        return inconclusive(NAME, f"the fault {endless[0]} lasted to the end: nothing was healed")
    healed_s = max((span.ended_s or 0.0 for span in evidence.faults), default=0.0)
    requests = [
        op
        for op in evidence.operations
        if op.kind in BUYER_KINDS
        and op.invoked_s >= healed_s
        and not _in_flight(op, evidence, bound_s)
    ]
    breach = _nobody_served(requests, healed_s, bound_s) or _silent_run(requests, bound_s)
    return conclude(
        NAME,
        examined=len(requests),
        violations=[breach] if breach else [],
        nothing=f"nobody asked after everything was healed at {healed_s:.1f} s",
    )


def _in_flight(op: Operation, evidence: Evidence, bound_s: float) -> bool:
    """Say whether the record ends while a call had still time to be answered."""
    return op.completed_s is None and evidence.end_s - op.invoked_s < bound_s


def _served(op: Operation, bound_s: float) -> bool:
    patience_s = inf if op.kind == "checkout" else bound_s
    return answered(op) and ended_s(op) - op.invoked_s <= patience_s


def _nobody_served(requests: list[Operation], healed_s: float, bound_s: float) -> Violation | None:
    asked = [op for op in requests if op.invoked_s <= healed_s + bound_s]
    if not asked or any(_served(op, bound_s) for op in asked):
        return None
    return _silence(
        asked,
        f"none of the {len(asked)} requests within {bound_s:.0f} s of healing at {healed_s:.1f} s "
        "got a definite answer",
    )


def _silent_run(requests: list[Operation], bound_s: float) -> Violation | None:
    """Find the first long run of requests without a definite answer."""
    run: list[Operation] = []
    for op in requests:
        if _served(op, bound_s):
            run = []
            continue
        run.append(op)
        if len(run) >= SHORTEST_RUN and op.invoked_s - run[0].invoked_s > bound_s:
            return _silence(
                run,
                f"{len(run)} requests in a row, from {run[0].invoked_s:.1f} s to "
                f"{op.invoked_s:.1f} s, got no definite answer although nothing was broken",
            )
    return None


def _silence(requests: list[Operation], message: str) -> Violation:
    told = requests[:STORY_OPERATIONS]
    return Violation(
        invariant=NAME,
        message=message,
        at_s=requests[-1].invoked_s,
        op_ids=in_order(told),
        actors=tuple(dict.fromkeys(op.actor for op in told)),
        amount=len(requests),
    )


INVARIANT = Invariant(
    name=NAME,
    summary="after healing, buyers are served again within a bound",
    examine=partial(examine, bound_s=BOUND_S),
)
