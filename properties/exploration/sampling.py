"""Random walks and PCT: schedules drawn one by one, for worlds too large to search wholly.

A random walk lets a uniformly drawn choice happen at each step; what breaks things comes with a
small probability, so that it strikes anywhere in a schedule and not at its beginning. PCT
(Burckhardt et al., ASPLOS 2010) draws priorities for the actors and lets the first of them move,
but for `depth` - 1 steps at which the mover falls behind everybody: a bug that needs `depth`
ordered moves is found with probability at least 1 / (actors x steps^(depth - 1)) a schedule.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from model.database import patiently
from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from model.exploring.world import World
from model.streams import stream
from properties.exploration.execution import Executions, first_divergence
from properties.exploration.exhaustive import Bounds
from properties.exploration.finding import INTERRUPTED, Exploration, judge_history

STRIKE = 0.08  # a random walk lets something strike at a step with this probability
PCT_DEPTH = 3


class Chooser(Protocol):
    """Picks what happens next."""

    def pick(self, world: World, choices: Sequence[str]) -> str:
        """One of the choices."""


class RandomWalk:
    """Uniform over who can move; strikes come seldom."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw

    def pick(self, world: World, choices: Sequence[str]) -> str:
        """Draw one."""
        moves = world.moves()
        strikes = [choice for choice in choices if choice not in moves]
        if strikes and (not moves or self._draw.random() < STRIKE):
            return self._draw.choice(strikes)
        return self._draw.choice(moves)


class Pct:
    """Priorities, with a few steps at which whoever moves falls behind."""

    def __init__(self, draw: Random, steps: int, depth: int = PCT_DEPTH) -> None:
        self._draw = draw
        self._priority: dict[str, float] = {}
        self._falls = {draw.randrange(max(1, steps)) for _ in range(depth - 1)}
        self._strikes = {draw.randrange(max(1, steps)) for _ in range(depth - 1)}
        self._step = 0
        self._lowest = 0.0

    def pick(self, world: World, choices: Sequence[str]) -> str:
        """The mover of the highest priority; at a drawn step something strikes instead."""
        step, self._step = self._step, self._step + 1
        moves = world.moves()
        strikes = [choice for choice in choices if choice not in moves]
        if strikes and (not moves or step in self._strikes):
            return self._draw.choice(strikes)
        for move in moves:
            if move not in self._priority:
                self._priority[move] = 1.0 + self._draw.random()
        mover = max(moves, key=lambda move: self._priority[move])
        if step in self._falls:
            self._lowest -= 1.0
            self._priority[mover] = self._lowest
            mover = max(moves, key=lambda move: self._priority[move])
        return mover


class Sampling:
    """Draws schedules until a bound is reached."""

    def __init__(
        self,
        small: SmallWorld,
        bounds: Bounds,
        *,
        how: str,
        seed: int = 1,
        schedules: int | None = None,
        first: int = 0,
        twice: bool = False,
    ) -> None:
        """`how` is `random` or `pct`; schedule number `first` + i draws from its own stream."""
        self.small = small
        self.bounds = bounds
        self.how = how
        self.seed = seed
        self.most = schedules
        self.first = first
        self.twice = twice
        self.found = Exploration(world=small, search=how)
        self.failed: list[bool] = []  # per schedule: did it violate anything that counts
        self._executions = Executions(small)
        self._known: dict[bytes, list[str]] = {}
        self._steps = self._estimate() if how == "pct" else 1

    def run(
        self,
        counts: Callable[[str], bool] = lambda _invariant: True,
        until: Callable[[Exploration], bool] = lambda _found: False,
    ) -> Exploration:
        """Draw; `counts` says which invariants make a schedule a failed one.

        Raises:
            NotDeterministic: `twice`, and the second execution went elsewhere.
        """
        found, began = self.found, time.perf_counter()
        found.cut = f"{self.how} search: a sample of schedules"
        try:
            while self.most is None or found.schedules < self.most:
                seconds = time.perf_counter() - began
                if self.bounds.seconds is not None and seconds > self.bounds.seconds:
                    found.cut += f", for {self.bounds.seconds:g} s"
                    break
                violated = self._patiently(found.schedules + self.first)
                self.failed.append(any(counts(name) for name in violated))
                if until(found):
                    break
        except KeyboardInterrupt:
            found.cut = INTERRUPTED
        found.seconds = time.perf_counter() - began
        self._executions.close()
        return found

    def _estimate(self) -> int:
        """How many moves a schedule has: all one after the other, or each as if alone, the more."""
        whole = len(self._to_the_end(self._executions.fresh()))
        ground = self._executions.ground
        alone = {
            visit: len(self._to_the_end(World(ground, visits=(visit,))))
            for visit in set(self.small.visits)
        }
        return max(whole, sum(alone[visit] for visit in self.small.visits))

    @staticmethod
    def _to_the_end(world: World) -> Sequence[Turn]:
        """One after the other, and nothing strikes."""
        while not world.over and not world.crashed and (moves := world.moves()):
            world.take(moves[0])
        world.close()
        return world.turns

    def _chooser(self, number: int) -> Chooser:
        draw = stream(self.seed, "explore", self.how, number)
        return Pct(draw, self._steps) if self.how == "pct" else RandomWalk(draw)

    def _patiently(self, number: int) -> list[str]:
        return patiently(lambda: self._one(number), self._executions.put_away)

    def _one(self, number: int) -> list[str]:
        found = self.found
        world = self._walk(self._chooser(number))
        schedule = tuple(turn.choice for turn in world.turns)
        if self.twice:
            again = self._executions.again(world.turns)
            again.close()
            difference = first_divergence(
                [turn.line for turn in world.turns], [turn.line for turn in again.turns]
            )
            if difference is not None:
                raise difference
        found.turns += len(schedule)
        found.depth = max(found.depth, len(schedule))
        violated: list[str] = []
        if world.crashed:
            if not found.crash:
                error = next(actor.crash for actor in world.actors if actor.crash is not None)
                found.crash = f"{type(error).__name__}: {error}"
                found.crash_schedule = schedule
        else:
            violated = self._judge(world, schedule)
        found.schedules += 1
        return violated

    def _judge(self, world: World, schedule: tuple[str, ...]) -> list[str]:
        if self.twice:  # the second execution has taken the database over
            world = self._executions.again(world.turns)
        state = world.state()
        known = self._known.get(state)
        if known is None:
            self.found.finals.add(state)
            judged = judge_history(world.settle())
            known = self._known[state] = self.found.judge(judged, state, schedule)
        world.close()
        return known

    def _walk(self, chooser: Chooser) -> World:
        world = self._executions.fresh()
        visited: set[bytes] = set()
        while not world.over:
            choices = world.choices()
            if not choices:
                break
            self._executions.take(world, chooser.pick(world, choices))
            visited.add(world.state())
        self.found.visited |= visited
        return world
