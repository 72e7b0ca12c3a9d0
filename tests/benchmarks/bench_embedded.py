"""How long the embedded servers take: to start, to be new for the next run, to come back.

The median of a few, with the extremes; on a busy machine all of them are several times as long.
"""

import time
from collections.abc import Callable
from statistics import median

from chaos.faults import DatabaseRestart, Death, Fault, RedisDeath
from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack

STARTS, REPEATS = 3, 15


def milliseconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    began_s = time.perf_counter()
    act()
    return (time.perf_counter() - began_s) * 1000.0


def tell(what: str, times_ms: list[float]) -> None:
    """Print one line."""
    middle = f"{median(times_ms):7.0f} ms ({min(times_ms):.0f} to {max(times_ms):.0f})"
    print(f"{what:42}{middle}, n = {len(times_ms)}")


def back(stack: EmbeddedStack, fault: Fault) -> float:
    """How long a server takes from its start to its first answer."""
    return milliseconds(stack.strike(fault).heal)


def main() -> None:
    """Measure and print."""
    starts, stops = [], []
    for _ in range(STARTS):
        stack = EmbeddedStack()
        starts.append(milliseconds(stack.__enter__))
        stops.append(milliseconds(lambda stack=stack: stack.__exit__(None, None, None)))
    tell("the stack starts", starts)
    tell("the stack ends, nothing left behind", stops)
    with EmbeddedStack() as stack:
        mode = Persistence.AOF_EVERYSEC
        tell("servers renewed", [milliseconds(lambda: stack.renew(mode)) for _ in range(REPEATS)])
        for what, fault in (
            ("Redis back after SIGKILL", RedisDeath(death=Death.SIGKILL, down_s=1.0)),
            ("PostgreSQL back after a stop", DatabaseRestart(down_s=1.0)),
            ("PostgreSQL back after SIGKILL", DatabaseRestart(down_s=1.0, death=Death.SIGKILL)),
        ):
            tell(what, [back(stack, fault) for _ in range(REPEATS)])


if __name__ == "__main__":
    main()
