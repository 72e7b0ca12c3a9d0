"""Which holds a real Redis loses: kills of every kind in every persistence mode, as one table.

    python -m tests.live.kill_table --kills 30 --lanes 4 --seed 1

Each line is a claim of the design and what was measured. A kill with any loss is counted with its
exact 95 % interval; the losses of one kill are not independent, so the share of holds and the
seconds carry their extremes instead. Needs a redis-server and a C compiler (the shim under fsync).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random
from statistics import median

from rich.console import Console
from rich.table import Table

from chaos.faults import Death
from chaos.persistence import Persistence
from chaos.servers.binaries import Program, redis_server
from properties.statistics import interval_95
from tests.conformance.real_server import version_of
from tests.live.killing import Loss, Plan, Victim

SLOW_FSYNC_S = 1.5
SLOW_FSYNC_ALWAYS_S = 0.1  # each group of writes waits for it: more would leave few to lose
POSTPONED_S = 2.0  # redis.conf, "appendfsync everysec": a write waits so long for an fsync
SLACK_S = 0.3  # the server's cron runs each 100 ms, and this machine has other things to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the design says of one persistence mode under one kind of death."""

    persistence: Persistence
    death: Death
    words: str
    some: bool
    """Whether acknowledged holds may be lost at all; if so, at least one kill must show it."""
    most_s: float
    """How far back the losses may reach, in seconds."""
    write_s: tuple[float, float] = (0.3, 1.0)
    fsync_s: float = 0.0
    rarely: bool = False
    """Whether a kill may lose what was written within `most_s` of it, though most kills do not."""

    @property
    def name(self) -> str:
        """The death in the words of the table."""
        return f"{self.death}, slow fsync" if self.fsync_s else str(self.death)

    def plan(self, draw: Random) -> Plan:
        """One kill, at an instant of its own."""
        write_s = draw.uniform(*self.write_s)
        snapshot = draw.uniform(0.0, write_s) if self.persistence is Persistence.RDB else None
        return Plan(
            persistence=self.persistence,
            death=self.death,
            write_s=write_s,
            snapshot_after_s=snapshot,
            fsync_s=self.fsync_s,
        )

    def broken_by(self, loss: Loss) -> str | None:
        """Say how one kill contradicts the claim; None: it does not."""
        if not loss.acknowledged:
            return "no hold was acknowledged"
        most_s = self.most_s
        if self.persistence is Persistence.RDB and self.some:
            assert loss.snapshot_age_s is not None
            most_s = loss.snapshot_age_s + SLACK_S
        if loss.lost and not self.some and not self.rarely:
            return f"{loss.lost} holds lost"
        if loss.lost_s > most_s:
            return f"a hold of {loss.lost_s:.2f} s before was lost, over {most_s:.2f} s"
        return None


_EVER = float("inf")


def _claims() -> Iterator[Claim]:
    for death in Death:
        yield Claim(persistence=Persistence.NONE, death=death, words="all", some=True, most_s=_EVER)
    for death in Death:
        saves = death is Death.SIGTERM
        yield Claim(
            persistence=Persistence.RDB,
            death=death,
            words="none" if saves else "all since the snapshot",
            some=not saves,
            most_s=_EVER,
        )
    for mode in (Persistence.AOF_NO, Persistence.AOF_EVERYSEC, Persistence.AOF_ALWAYS):
        for death in (Death.SIGTERM, Death.SIGKILL):
            yield _healthy(mode, death)
        yield _power_loss(mode)
        yield _slow(mode)


def _healthy(mode: Persistence, death: Death) -> Claim:
    """Nothing is lost; but under everysec an fsync that runs at the blow has held a write back."""
    rarely = mode is Persistence.AOF_EVERYSEC and death is Death.SIGKILL
    return Claim(
        persistence=mode,
        death=death,
        words="none while fsync is fast" if rarely else "none",
        some=False,
        rarely=rarely,
        most_s=SLACK_S if rarely else 0.0,
    )


def _power_loss(mode: Persistence) -> Claim:
    words, some, most_s, write_s = {
        Persistence.AOF_NO: ("up to about 30 s", True, 30.0, (0.3, 1.0)),
        Persistence.AOF_EVERYSEC: ("up to 1 to 2 s", True, POSTPONED_S, (1.5, 4.0)),
    }.get(mode, ("none", False, 0.0, (0.3, 1.0)))
    return Claim(
        persistence=mode,
        death=Death.POWER_LOSS,
        words=words,
        some=some,
        most_s=most_s,
        write_s=write_s,
    )


def _slow(mode: Persistence) -> Claim:
    some = mode is Persistence.AOF_EVERYSEC
    return Claim(
        persistence=mode,
        death=Death.SIGKILL,
        words="up to 2 s" if some else "none",
        some=some,
        most_s=POSTPONED_S + SLACK_S if some else 0.0,
        write_s=(2.0, 6.0) if some else (0.3, 1.0),
        fsync_s=SLOW_FSYNC_ALWAYS_S if mode is Persistence.AOF_ALWAYS else SLOW_FSYNC_S,
    )


CLAIMS = tuple(_claims())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A claim and what its kills cost."""

    claim: Claim
    losses: tuple[Loss, ...]

    @property
    def with_loss(self) -> int:
        """How many kills lost at least one acknowledged hold."""
        return sum(1 for loss in self.losses if loss.lost)

    def disagreement(self) -> str | None:
        """What contradicts the claim, or None."""
        for loss in self.losses:
            broken = self.claim.broken_by(loss)
            if broken is not None:
                return broken
        if self.claim.some and not self.with_loss:
            return "no kill lost anything"
        if self.claim.rarely and 2 * self.with_loss > len(self.losses):
            return f"{self.with_loss} kills lost something, which is not seldom"
        return None


def measure(
    program: Program, claims: Sequence[Claim], *, kills: int, lanes: int, seed: int
) -> list[Cell]:
    """Kill real servers, `lanes` at a time."""
    victims: SimpleQueue[Victim] = SimpleQueue()

    def kill(job: tuple[Claim, int]) -> Loss:
        claim, number = job
        draw = Random(f"{seed} {claim.persistence} {claim.name} {number}")
        victim = victims.get()
        try:
            return victim.suffer(claim.plan(draw))
        finally:
            victims.put(victim)

    with ExitStack() as servers, ThreadPoolExecutor(lanes) as pool:
        for _ in range(lanes):
            victims.put(servers.enter_context(Victim(program)))
        jobs = [(claim, number) for number in range(kills) for claim in claims]
        losses = list(pool.map(kill, jobs))
    return [
        Cell(claim=claim, losses=tuple(losses[index :: len(claims)]))
        for index, claim in enumerate(claims)
    ]


def table(cells: Sequence[Cell]) -> Table:
    """The cells as lines of a table."""
    lines = Table(box=None, pad_edge=False, header_style="")
    for name in ("persistence", "death", "design: lost", "kills with loss (95 %)"):
        lines.add_column(name)
    for name in ("holds lost", "of", "share", "seconds lost: median, most"):
        lines.add_column(name, justify="right")
    lines.add_column("")
    for cell in cells:
        kills, lost = len(cell.losses), sum(loss.lost for loss in cell.losses)
        asked = sum(loss.acknowledged for loss in cell.losses)
        low, high = interval_95(cell.with_loss, kills)
        times_s = [loss.lost_s for loss in cell.losses]
        lines.add_row(
            str(cell.claim.persistence),
            cell.claim.name,
            cell.claim.words,
            f"{cell.with_loss}/{kills} ({100 * low:.0f}-{100 * high:.0f} %)",
            str(lost),
            str(asked),
            f"{100 * lost / asked:.1f} %" if asked else "-",
            f"{median(times_s):.2f}, {max(times_s):.2f}",
            cell.disagreement() or "agrees",
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether the design's table holds (1: it does not).

    Returns:
        0 when every cell agrees with its claim, otherwise 1.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="of each kind in each mode")
    parser.add_argument("--lanes", type=int, default=4, help="servers at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the instants of the kills")
    parser.add_argument("--redis", type=Path, help="a redis-server; default: the newest found")
    asked = parser.parse_args(arguments)
    program = (
        redis_server()
        if asked.redis is None
        else Program(path=asked.redis, version=version_of(str(asked.redis)))
    )
    began_s = time.monotonic()
    cells = measure(program, CLAIMS, kills=asked.kills, lanes=asked.lanes, seed=asked.seed)
    console = Console(width=160, highlight=False)
    console.print(table(cells))
    took_s = time.monotonic() - began_s
    console.print(
        f"Redis {program.words}, {asked.kills} kills a line, seed {asked.seed}:"
        f" {len(cells) * asked.kills} kills in {took_s:.0f} s"
    )
    return int(any(cell.disagreement() for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
