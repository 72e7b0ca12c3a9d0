"""Operations a second that the live runner sustains against the embedded stack.

One sale at full load per strategy, in the proportions of the on-sale scenario (7 people to a
ticket, 30 % abandon, who is refused tries again), with more buyers than workers at any moment and
payments that take no time. An operation is one call of the strategy, from the buyer's request to
its answer. The floor is for two cores with nothing else on them; servers, runner and application
share them. The processor time beside it says how much of them the runner itself took.
"""

import sys
import time

from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack
from model.live.nursery import Nursery
from model.live.run import Arm, run_live
from model.scenario import Arrivals, Buyers, Holds, Payment, Sale, Scenario, Servers, Sweeper
from model.spec import RunSpec
from reservation.catalogue import find

FLOOR = 2000.0
BUYERS = 6000
STRATEGIES = ("redis-counter", "redis-hold", "redis-hold-recheck", "db-cart")


def crowd(buyers: int) -> Scenario:
    """Everybody comes within a second and pays at once; two processes of 16 workers serve them."""
    return Scenario(
        name="bench",
        sale=Sale(capacity=buyers // 7),
        arrivals=Arrivals(kind="steady", buyers=buyers, duration_s=1.0),
        buyers=Buyers(
            think_median_s=0.001,
            abandon=0.3,
            checkout_median_s=0.001,
            retry_delay_s=(0.1, 1.0),
            last_minute=0.0,
        ),
        payment=Payment(challenged=0.0, plain_s=0.001),
        hold=Holds(ttl_s=90.0),
        sweeper=Sweeper(period_s=10.0),
        servers=Servers(workers=16, database_pool=16, redis_pool=16, database_timeout_s=30.0),
        options={name: {"doubtful_after_s": 1.0} for name in STRATEGIES},
    )


def main() -> int:
    """Print one line a strategy; 1 when the quickest is below the floor."""
    best = 0.0
    with EmbeddedStack() as stack, Nursery() as nursery:
        arm = Arm(stack=stack, nursery=nursery, factor=30.0)
        for strategy in STRATEGIES:
            uses_redis = find(strategy).uses_redis
            spec = RunSpec(
                scenario=crowd(BUYERS),
                strategy=strategy,
                seed=1,
                persistence=Persistence.AOF_EVERYSEC if uses_redis else None,
                database="postgres",
            )
            began_s = time.process_time()
            metrics = run_live(spec, arm).metrics
            own_us = 1e6 * (time.process_time() - began_s) / metrics["calls"]
            best = max(best, metrics["calls_per_s"])
            print(
                f"live runner, {strategy:<18} {metrics['calls_per_s']:7,.0f} operations/s"
                f"  ({metrics['calls']:,.0f} calls, runner {own_us:.0f} us of processor each)"
            )
    print(f"floor: {FLOOR:,.0f} operations/s for the quickest: {best:,.0f}")
    return 0 if best >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
