"""The cost of `linearizable`: 10,000 operations over 100 seats, a large sale, and its share.

Targets: the seats within 5 s; at most a tenth of the time of a comparison's on-sale run. A wrong
history is judged too, because a search that fails looks at more than one that succeeds.
"""

import time
from random import Random

from chaos.persistence import Persistence
from model.history import History, Operation, Outcome
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from properties.assessment import assess
from properties.evidence import gather
from properties.invariants import linearizable

SEATS = 100
OPERATIONS = 10_000
TTL_S = 900.0
STRATEGIES = ("db-cart", "redis-hold-recheck", "redis-hold-blind")


def seats_history(*, wrong: bool) -> History:
    """Tell a sale in which a hundred buyers fight for each seat; `wrong` holds one of them twice.

    Each seat is held, given back and asked for again all the time, with calls that overlap.
    """
    history = History(capacity={1: SEATS}, ttl_s=TTL_S, sweep_bound_s=90.0)
    draw = Random(1)
    per_seat = OPERATIONS // SEATS
    for seat in range(SEATS):
        now_s = draw.random()
        for turn in range(per_seat // 4):
            first, second = f"s{seat}-{turn}", f"r{seat}-{turn}"
            twice = wrong and seat == SEATS - 1 and turn == per_seat // 8
            _call(history, "hold", first, now_s, seat, expires_s=now_s + TTL_S)
            refusal = {} if twice else {"outcome": Outcome.REFUSED, "reason": "SoldOut"}
            more = {"expires_s": now_s + TTL_S} if twice else refusal
            _call(history, "hold", second, now_s + 0.5, seat, **more)
            late = {"outcome": Outcome.REFUSED, "reason": "SoldOut"}
            _call(history, "hold", second + "-again", now_s + 9.8, seat, **late)
            _call(history, "release", first, now_s + 10.0, seat)
            now_s += 11.0
    return history


def _call(history: History, kind: str, who: str, at_s: float, seat: int, **fields: object) -> None:
    history.operations.append(
        Operation(
            op_id=len(history.operations) + 1,
            actor=who,
            kind=kind,
            hold_id=who,
            invoked_s=at_s,
            completed_s=at_s + 1.0,
            quantity=1,
            seats=(f"A{seat}",),
            **{"outcome": Outcome.OK, **fields},  # type: ignore[arg-type] # by name
        )
    )


def judged(history: History) -> tuple[str, float]:
    """Return the verdict and the seconds it took, without indexing the history."""
    evidence = gather(history)
    began_s = time.process_time()
    verdict = linearizable.examine(evidence)
    return verdict.status.value, time.process_time() - began_s


def large_sale() -> str:
    """Judge general admission at scale: one counter for all, in which a search could explode."""
    sizes = {"arrivals.buyers": "5000", "sale.capacity": "700"}
    spec = RunSpec(
        scenario=load_scenario("on-sale", sizes),
        strategy="redis-hold-recheck",
        seed=1,
        fault="redis-kill",
        persistence=Persistence.NONE,
    )
    history = simulate(spec).history
    status, took_s = judged(history)
    return (
        f"{len(history.operations):,} operations at one counter of 700 tickets: {status} "
        f"in {took_s:.2f} s"
    )


def main() -> None:
    """Print every figure beside its target."""
    for wrong in (False, True):
        history = seats_history(wrong=wrong)
        status, took_s = judged(history)
        print(
            f"{len(history.operations):,} operations over {SEATS} seats: {status} "
            f"in {took_s:.2f} s (target 5 s)"
        )
    print(large_sale())
    for strategy in STRATEGIES:
        persistence = None if strategy == "db-cart" else Persistence.AOF_ALWAYS
        run_s = judge_s = own_s = 0.0
        for seed in range(1, 4):
            spec = RunSpec(
                scenario=load_scenario("on-sale"),
                strategy=strategy,
                seed=seed,
                persistence=persistence,
            )
            began_s = time.process_time()
            history = simulate(spec).history
            run_s += time.process_time() - began_s
            began_s = time.process_time()
            assess(history)
            judge_s += time.process_time() - began_s
            own_s += judged(history)[1]
        share, alone = own_s / (run_s + judge_s), own_s / judge_s
        print(
            f"on-sale, {strategy}: {share:.1%} of a run with its judging (target 10 %), "
            f"{alone:.0%} of the judging"
        )


if __name__ == "__main__":
    main()
