"""A crew in this very process, slow and fast as a seed has it, and what must not depend on it."""

from random import Random
from typing import Any

from model.exploring.small_world import SmallWorld
from properties.exploration.ahead import Errand, Report, Walker
from properties.exploration.finding import Exploration


class ShuffledCrew:
    """Answers in a drawn order, late or at once; nobody's finds may depend on it."""

    def __init__(self, small: SmallWorld, size: int, seed: int, *, histories: bool = False) -> None:
        self.size = size
        self.errands = 0
        self._draw = Random(seed)
        self._walkers = [Walker(small, reduce=True, histories=histories) for _ in range(size)]
        self._under_way: dict[int, list[Errand]] = {}

    def ready(self) -> bool:
        """From the beginning."""
        return True

    def send(self, worker: int, errand: Errand) -> None:
        """Take an errand, to be run after those at hand."""
        self.errands += 1
        self._under_way.setdefault(worker, []).append(errand)

    def receive(self, *, wait: bool) -> list[tuple[int, Report]]:
        """Let one worker come back, or nobody if nobody is waited for."""
        busy = sorted(worker for worker, errands in self._under_way.items() if errands)
        if not busy or (not wait and self._draw.random() < 0.5):
            return []
        worker = self._draw.choice(busy)
        return [(worker, self._walkers[worker](self._under_way[worker].pop(0)))]

    def close(self) -> None:
        """Send everybody home."""
        self._under_way.clear()


def everything(found: Exploration) -> tuple[Any, ...]:
    """All that is told of a search but how long it took and what was executed again."""
    return (
        found.cut,
        found.schedules,
        found.turns,
        found.depth,
        sorted(found.visited),
        sorted(found.finals),
        found.claims,
        found.breaches,
        sorted(found.seen),
        found.crash,
        found.crash_schedule,
    )
