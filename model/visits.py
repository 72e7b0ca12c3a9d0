"""Lets buyers into a sale at their times, and says when everybody has left and all is settled."""

from collections.abc import Generator
from typing import Any

import simpy

from model.arrivals import arrival_times, waits_at_the_door
from model.buyers import Crowd
from model.history import History, Outcome
from model.spec import RunSpec


class Visits:
    """The doors of one sale; nobody is in memory before they come.

    `buyers` is how many will have come; `everybody_left` fires when the last one is gone.
    """

    def __init__(self, env: simpy.Environment, spec: RunSpec, crowd: Crowd) -> None:
        self.env = env
        self.everybody_left = env.event()
        self._spec = spec
        self._crowd = crowd
        self._inside = 1
        times = arrival_times(spec.scenario, spec.seed)
        only = spec.only_buyers
        self._order = sorted((at_s, i) for i, at_s in enumerate(times) if only is None or i in only)
        self.buyers = len(self._order)

    def doors(self) -> Generator[simpy.Event, Any, None]:
        """Let everybody in; run this as a process, once."""
        for at_s, number in self._order:
            if at_s > self.env.now:
                yield self.env.timeout(at_s - self.env.now)
            self._inside += 1
            waited = waits_at_the_door(self._spec.scenario, at_s)
            self.env.process(self._visit(number, waited=waited))
        self._leave()

    def _visit(self, number: int, *, waited: bool) -> Generator[simpy.Event, Any, None]:
        yield from self._crowd.buyer(number, waited=waited)
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self.everybody_left.succeed()


def settled_at_s(history: History, left_s: float, doubtful_after_s: float) -> float:
    """Return when everything must be at rest, if the last buyer left at `left_s`.

    By then every hold has ended and was swept, also one that its caller only knows may have been
    made, and every payment in doubt (`doubtful_after_s` old) was settled.
    """
    ends = [o.expires_s for o in history.operations if o.expires_s is not None]
    ends += [
        o.completed_s + history.ttl_s
        for o in history.operations
        if o.kind == "hold" and o.outcome is Outcome.UNKNOWN and o.completed_s is not None
    ]
    return max([left_s + doubtful_after_s, *ends]) + history.sweep_bound_s + 1.0
