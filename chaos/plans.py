"""The bundled fault plans: a name, what it does, and when its faults strike.

A plan is placed relative to the busy part of a sale (`Busy`), so that the same name strikes a rush
of minutes and a steady sale of an hour where it hurts. `a+b` merges plans. The lengths stand here
as constants with their grounds; a scenario file can override each one in a plan of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import isfinite

from chaos.blows import BLOWS
from chaos.faults import (
    Actor,
    AppKill,
    AppPause,
    At,
    AtCrossing,
    DatabaseRestart,
    Death,
    Fault,
    FaultPlan,
    Leg,
    LostReplies,
    PaymentTimeouts,
    PlannedFault,
    RedisDeath,
    SlowFsync,
    SweeperStopped,
    Target,
    Toxic,
)
from chaos.toxics import amiss

# Redis itself is back 20 to 39 ms after a SIGKILL (measured, docs/numbers.md); a supervisor or a
# container runtime takes a second or two to notice and start it. All three deaths use the same, so
# that they differ only in what the disk has kept.
REDIS_DOWN_S = 2.0
APP_RESTART_S = 5.0  # a process manager starts a new worker, which imports its code; assumption
APP_PAUSE_S = 12.0  # docs/numbers.md: the middle preset of pauses
SLOW_FSYNC_S = 1.5  # the slow disk under which holds were seen to be lost (docs/numbers.md)
SLOW_FSYNC_BEYOND_S = 60.0
LOST_REPLY_PROBABILITY = 0.02
PAYMENT_TIMEOUT_PROBABILITY = 0.1
SWEEPS_HIT = 3  # how often a sweeper's server is killed
SWEEPS_HIT_WITHIN_S = 300.0  # the holds of a rush expire within minutes of one another


class UnknownFault(Exception):
    """No plan has this name; the message lists the names and the nearest one."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        if not name:
            super().__init__("a fault has no name: write one before and after each `+`")
            return
        names = list(known)
        near = get_close_matches(name, names, n=1)
        guess = f"; did you mean {near[0]!r}?" if near else "."
        super().__init__(f"unknown fault {name!r}{guess} Faults: {', '.join(names)}")


class EmptyFault(ValueError):
    """A fault would do nothing; a run under it would look like proof that nothing can happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """When a sale is busy, in seconds after it opens.

    At `start_s` the stock is expected to be held; until `end_s` people pay; a hold lasts `ttl_s`.

    Raises:
        ValueError: the window is empty, or a number is negative or not finite.
    """

    start_s: float
    end_s: float
    ttl_s: float

    def __post_init__(self) -> None:
        sizes = (self.start_s, self.end_s, self.ttl_s)
        if not all(isfinite(size) and size >= 0.0 for size in sizes) or self.end_s <= self.start_s:
            raise ValueError(f"{self}: must be finite, not negative, and start before its end")

    @property
    def length_s(self) -> float:
        """How long the sale is busy."""
        return self.end_s - self.start_s

    def filling(self) -> At:
        """While the holds are written: a disk that lags behind loses the last of them."""
        return At(earliest_s=self.start_s / 2.0, latest_s=self.start_s)

    def paying(self) -> At:
        """While most payments are under way, which is before the middle: checkouts have a tail."""
        return At(
            earliest_s=self.start_s + self.length_s / 8.0,
            latest_s=self.start_s + self.length_s * 3.0 / 8.0,
        )

    def whole(self) -> At:
        """From the start of the busy window."""
        return At(earliest_s=self.start_s, latest_s=self.start_s)


_CHANCES = frozenset({"probability", "toxicity"})
OPENING = At(earliest_s=0.0, latest_s=0.0)
Place = Callable[[Busy], tuple[PlannedFault, ...]]


def check_fault(fault: Fault) -> None:
    """Refuse a fault that does nothing or makes no sense.

    Raises:
        EmptyFault: a probability outside (0, 1], or a time that is not positive and finite; the
            message names the field, the value and what is allowed.
    """
    for field in fields(fault):
        value = getattr(fault, field.name)
        if not isinstance(value, int | float):
            continue  # a target, a kind of death, or None: to the end
        if field.name in _CHANCES and not 0.0 < value <= 1.0:
            raise EmptyFault(f"{field.name} = {value:g}: must be greater than 0 and at most 1")
        if field.name == "step_s" and (value == 0.0 or not isfinite(value)):
            raise EmptyFault(f"{field.name} = {value:g}: must be finite and not 0")
        if field.name not in {*_CHANCES, "step_s"} and not (value > 0.0 and isfinite(value)):
            raise EmptyFault(f"{field.name} = {value:g}: must be finite and greater than 0")
    if isinstance(fault, DatabaseRestart) and fault.death is Death.POWER_LOSS:
        raise EmptyFault(
            "death = power-loss: a database's commits are on its disk; use sigkill or sigterm"
        )
    wrong = amiss(fault.kind, dict(fault.attributes)) if isinstance(fault, Toxic) else None
    if wrong is not None:
        raise EmptyFault(wrong)


def plan(name: str, busy: Busy) -> FaultPlan:
    """Return the plan of a name, or of several joined with `+`, placed in a sale's busy window.

    Raises:
        UnknownFault: a part of the name is no plan.
    """
    return merge(name, [_one(part, busy) for part in name.split("+")])


def merge(name: str, plans: list[FaultPlan]) -> FaultPlan:
    """Return one plan with the faults of all, in order."""
    return FaultPlan(
        name=name,
        summary="; ".join(each.summary for each in plans),
        faults=tuple(fault for each in plans for fault in each.faults),
    )


def faults_of(name: str) -> tuple[Fault, ...]:
    """Return the different faults of a bundled plan, wherever it places them."""
    placed = _PLANS[name][1](Busy(start_s=1.0, end_s=2.0, ttl_s=1.0))
    return tuple(dict.fromkeys(planned.fault for planned in placed))


def describe() -> list[tuple[str, str]]:
    """Return the name and the summary of every plan, in the order to show them."""
    return [(name, summary) for name, (summary, _) in _PLANS.items()]


def _one(name: str, busy: Busy) -> FaultPlan:
    if name not in _PLANS:
        raise UnknownFault(name, PLAN_NAMES)
    summary, place = _PLANS[name]
    faults = place(busy)
    for planned in faults:
        check_fault(planned.fault)
    return FaultPlan(name=name, summary=summary, faults=faults)


def _redis_deaths(death: Death) -> Place:
    """Redis dies twice, because two different things are lost.

    While the holds are written, a disk that lags loses the last of them; while people pay, a Redis
    without a disk loses all of them, with payments under way.
    """
    fault = RedisDeath(death=death, down_s=REDIS_DOWN_S)
    return lambda busy: (
        PlannedFault(fault=fault, when=busy.filling()),
        PlannedFault(fault=fault, when=busy.paying()),
    )


def _while_paying(fault: Fault) -> Place:
    return lambda busy: (PlannedFault(fault=fault, when=busy.paying()),)


def _slow_fsync(busy: Busy) -> tuple[PlannedFault, ...]:
    """Slow from the opening until after the busy window, so that a death beside it strikes in it.

    It ends while people still come: whether they are served again is judged then.
    """
    fault = SlowFsync(fsync_s=SLOW_FSYNC_S, duration_s=busy.end_s + SLOW_FSYNC_BEYOND_S)
    return (PlannedFault(fault=fault, when=OPENING),)


def _lost_replies(busy: Busy) -> tuple[PlannedFault, ...]:
    return tuple(
        PlannedFault(
            fault=LostReplies(
                target=target, probability=LOST_REPLY_PROBABILITY, duration_s=busy.end_s
            ),
            when=OPENING,
        )
        for target in (Target.REDIS, Target.DATABASE)
    )


def _app_kill(busy: Busy) -> tuple[PlannedFault, ...]:
    """Kill the server of a buyer inside a checkout, then several times that of a sweeper.

    The sweeper is struck when a commit has happened and its reply is on the way: with a give-back
    in two transactions that is between the two, about every other time. A sweep that finds nothing
    commits too, so one try would prove little: the first comes when the holds of the opening end,
    the others are spread over the time after it.
    """
    fault = AppKill(restart_s=APP_RESTART_S)
    paying = busy.paying()
    buyer = AtCrossing(
        target=Target.DATABASE,
        leg=Leg.REPLY,
        actor=Actor.BUYER,
        operation="checkout",
        after_s=paying.earliest_s,
        after_latest_s=paying.latest_s,
    )
    first_end = busy.filling()
    step_s = SWEEPS_HIT_WITHIN_S / (SWEEPS_HIT - 1)
    windows = [(first_end.earliest_s, first_end.latest_s)] + [
        (busy.start_s + step_s * turn, busy.start_s + step_s * (turn + 1))
        for turn in range(SWEEPS_HIT - 1)
    ]
    sweepers = [
        AtCrossing(
            target=Target.DATABASE,
            leg=Leg.REPLY,
            label="COMMIT",
            actor=Actor.SWEEPER,
            after_s=busy.ttl_s + earliest_s,
            after_latest_s=busy.ttl_s + latest_s,
        )
        for earliest_s, latest_s in windows
    ]
    return tuple(PlannedFault(fault=fault, when=when) for when in (buyer, *sweepers))


def _payment_timeouts(busy: Busy) -> tuple[PlannedFault, ...]:
    fault = PaymentTimeouts(probability=PAYMENT_TIMEOUT_PROBABILITY, duration_s=busy.end_s)
    return (PlannedFault(fault=fault, when=OPENING),)


def _blow(name: str) -> tuple[str, Place]:
    summary, fault = BLOWS[name]
    return summary, _while_paying(fault)


_PLANS: dict[str, tuple[str, Place]] = {
    "none": ("nothing breaks", lambda _: ()),
    "redis-restart": (
        "Redis is stopped (SIGTERM) and started, while holds are written and while people pay",
        _redis_deaths(Death.SIGTERM),
    ),
    "redis-kill": (
        "Redis is killed (SIGKILL) and started, while holds are written and while people pay",
        _redis_deaths(Death.SIGKILL),
    ),
    "redis-power-loss": (
        "Redis's machine loses power, while holds are written and while people pay",
        _redis_deaths(Death.POWER_LOSS),
    ),
    "redis-partition": _blow("redis-partition"),
    "redis-slow": _blow("redis-slow"),
    "slow-fsync": (
        f"each fsync of Redis's append-only file takes {SLOW_FSYNC_S:g} s",
        _slow_fsync,
    ),
    "lost-replies": (
        f"{LOST_REPLY_PROBABILITY:.0%} of the replies of Redis and of the database are lost",
        _lost_replies,
    ),
    "db-restart": _blow("db-restart"),
    "app-kill": (
        f"an application server dies in a checkout, and {SWEEPS_HIT} times in a sweep",
        _app_kill,
    ),
    "app-pause": (
        f"an application server stops for {APP_PAUSE_S:g} s and goes on, unaware",
        _while_paying(AppPause(duration_s=APP_PAUSE_S)),
    ),
    "sweeper-stopped": (
        "sweepers and delayed tasks never run",
        lambda _: (PlannedFault(fault=SweeperStopped(duration_s=None), when=OPENING),),
    ),
    "payment-timeout": (
        f"{PAYMENT_TIMEOUT_PROBABILITY:.0%} of the provider's answers are lost, the money is taken",
        _payment_timeouts,
    ),
}
_PLANS |= {name: _blow(name) for name in BLOWS if name not in _PLANS}

PLAN_NAMES: tuple[str, ...] = tuple(_PLANS)
"""Every plan, in the order to show them."""
