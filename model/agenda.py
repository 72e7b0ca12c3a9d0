"""SimPy's environment with the far future kept out of its heap.

A crowded sale has tens of thousands of timers that are minutes away (payments, deadlines), and
beside them sleeps of milliseconds, many at a time. In one heap each of these would sift through all
of those. Here, once the heap is `FULL`, it gets only the events of the page (a quarter of a second)
that lies open; later ones wait, unsorted, on pages of their own until somebody turns to them. The
order of events is exactly SimPy's: by time, priority, and who was scheduled first.
"""

from heapq import heappop, heappush
from math import inf
from typing import Any

import simpy
from simpy.events import NORMAL, URGENT, EventPriority

PAGE_S = 0.25
"""A power of two, so that a page's number and its beginning are exact."""

FULL = 512
"""A heap of fewer entries costs less than pages do."""

_PAGES_PER_S = 1.0 / PAGE_S
_FIRST_OF_ALL = EventPriority(
    URGENT - 2
)  # a page is turned before anything on it, and before SimPy stops


class TurnPage:
    """The event that opens the next page that has anything on it."""

    __slots__ = ("callbacks",)

    _ok = True

    def __init__(self, agenda: "Agenda") -> None:
        self.callbacks = (agenda.turn,)


class Agenda(simpy.Environment):
    """A `simpy.Environment` that costs the same however much is planned for later."""

    def __init__(self) -> None:
        super().__init__()
        self.open_until_s = PAGE_S
        self._pages: dict[int, list[Any]] = {}
        self._numbers: list[int] = []  # a heap of the pages' numbers

    def schedule(self, event: Any, priority: Any = NORMAL, delay: float = 0) -> None:
        """Let `event` happen `delay` seconds from now; see `simpy.Environment.schedule`."""
        at_s = self._now + delay
        entry = (at_s, priority, next(self._eid), event)
        if at_s < self.open_until_s or len(self._queue) < FULL or at_s == inf:
            heappush(self._queue, entry)
            return
        number = int(at_s * _PAGES_PER_S)
        page = self._pages.get(number)
        if page is not None:
            page.append(entry)
            return
        self._pages[number] = [entry]
        if not self._numbers or number < self._numbers[0]:
            self._mark(number)
        heappush(self._numbers, number)

    def _mark(self, number: int) -> None:
        """Put the turn to a page into the heap, which is never empty while anything is planned."""
        turn: Any = TurnPage(self)
        heappush(self._queue, (number * PAGE_S, _FIRST_OF_ALL, next(self._eid), turn))

    def turn(self, _event: Any) -> None:
        """Open the next page, if it is its time: an earlier page may have come between."""
        if not self._numbers or self._numbers[0] * PAGE_S > self._now:
            return
        number = heappop(self._numbers)
        self.open_until_s = (number + 1) * PAGE_S
        for entry in self._pages.pop(number):
            heappush(self._queue, entry)
        if self._numbers:
            self._mark(self._numbers[0])
