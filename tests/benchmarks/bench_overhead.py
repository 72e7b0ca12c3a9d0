"""What Holdfast itself costs: simulated runs against the floor of the same calls made directly.

Both are measured in CPU seconds within this one process, set-up included, alternating, and the best
of several is kept, because these machines are noisy. Target of the project: a ratio of at most 1.25
over all strategies together; each one's own ratio stands beside it.
"""

import time

from chaos.persistence import Persistence
from model.run import simulate
from model.scenario import Scenario
from model.scenario_file import load_scenario
from model.spec import RunSpec
from reservation.api import AdmissionKind
from reservation.catalogue import STRATEGIES
from tests.benchmarks.floor import direct_seconds, recorded_calls

ROUNDS = 5
LARGER = 5  # times the bundled sale, so that what a run costs once does not decide


def larger(name: str) -> Scenario:
    """A bundled scenario with more buyers and tickets in the same proportion."""
    bundled = load_scenario(name, {})
    sizes = {
        "arrivals.buyers": bundled.arrivals.buyers * LARGER,
        "sale.capacity": bundled.sale.capacity * LARGER,
    }
    return load_scenario(name, {key: str(value) for key, value in sizes.items()})


def main() -> None:
    """Print one line a strategy, and the ratio over all."""
    print(f"overhead: CPU seconds, best of {ROUNDS}; floor = the same calls, made directly")
    print(f"{'strategy':24}{'calls':>7}{'simulated':>11}{'floor':>9}{'ratio':>8}")
    all_simulated = all_floor = 0.0
    for name, info in STRATEGIES.items():
        spec = RunSpec(
            scenario=larger("on-sale" if AdmissionKind.GENERAL in info.admits else "seats"),
            strategy=name,
            seed=1,
            persistence=Persistence.AOF_EVERYSEC if info.uses_redis else None,
        )
        calls = recorded_calls(spec, simulate)
        simulated, floor = [], []
        for _ in range(ROUNDS):
            started = time.process_time()
            simulate(spec)
            simulated.append(time.process_time() - started)
            floor.append(direct_seconds(spec, calls))
        all_simulated += min(simulated)
        all_floor += min(floor)
        ratio = min(simulated) / min(floor)
        print(f"{name:24}{len(calls):>7}{min(simulated):>11.3f}{min(floor):>9.3f}{ratio:>8.2f}")
    print(
        f"{'all strategies':24}{'':7}{all_simulated:>11.3f}{all_floor:>9.3f}"
        f"{all_simulated / all_floor:>8.2f}"
    )


if __name__ == "__main__":
    main()
