"""Short, hostile sales for real servers, and what became of them."""

from dataclasses import dataclass, replace
from typing import Any

from chaos.persistence import Persistence
from model.history import History
from model.live.nursery import Nursery
from model.live.run import Arm, run_live
from model.scenario import (
    Arrivals,
    Buyers,
    FaultEntry,
    Holds,
    Payment,
    Plan,
    Sale,
    Scenario,
    Servers,
    Sweeper,
)
from model.spec import RunSpec
from properties.assessment import Assessment, assess

FACTOR = 60.0
PROMPT_FACTOR = 100.0  # a sale in which nobody waits for anything needs no finer time
KILL_AT_S = 25.0
TTL_S = 80.0
LONG_TTL_S = 300.0
EVERYSEC_TRIES = 3
PAGE_S = 45.0


def hostile(plans: dict[str, Plan] | None = None, **changes: Any) -> Scenario:
    """Everybody comes within 8 s, holds at once, and pays on a page that takes 45 s.

    Whoever was refused asks again every few seconds. So when Redis dies at 25 s, with the first
    holders on the payment page, the next ones find whatever it has forgotten.
    """
    parts: dict[str, Any] = {
        "sale": Sale(capacity=8),
        "arrivals": Arrivals(kind="steady", buyers=30, duration_s=8.0),
        "buyers": Buyers(
            party_sizes={1: 0.5, 2: 0.5},
            think_median_s=1.0,
            abandon=0.1,
            release_on_abandon=0.0,
            checkout_median_s=5.0,
            checkout_sigma=0.2,
            last_minute=0.0,
            retry_refused=1.0,
            retry_delay_s=(4.0, 8.0),
            max_attempts=8,
        ),
        "payment": Payment(challenged=0.0, plain_s=PAGE_S),
        "hold": Holds(ttl_s=TTL_S),
        "sweeper": Sweeper(period_s=5.0),
        "servers": Servers(workers=40, database_pool=8, redis_pool=8),
    }
    parts.update(changes)
    return Scenario(name="hostile", plans={"kill": KILL, **(plans or {})}, **parts)


def unhurried() -> Scenario:
    """The hostile sale with holds that outlast any payment, on a machine seconds late as well.

    A hold that ends while its buyer pays may be sold twice too (B06); here only what Redis forgot
    can be.
    """
    return hostile(hold=Holds(ttl_s=LONG_TTL_S))


def prompt(plans: dict[str, Plan] | None = None, **changes: Any) -> Scenario:
    """The hostile sale with payments that take a second: for faults that need no waiting."""
    impatient = hostile().buyers.model_copy(update={"max_attempts": 3})
    parts: dict[str, Any] = {"buyers": impatient, "hold": Holds(ttl_s=120.0), **changes}
    return hostile(plans, payment=PROMPT, **parts)


def plan(fault: str, **entry: Any) -> Plan:
    """A plan of one fault."""
    return Plan(summary=fault, faults=(FaultEntry(fault=fault, **entry),))


KILL = plan("redis-kill", at_s=KILL_AT_S)
PROMPT = Payment(challenged=0.0, plain_s=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A history and what the invariants say of it."""

    history: History
    assessment: Assessment

    def says(self, invariant: str) -> str:
        """The status of one invariant."""
        return str(self.assessment.verdicts[invariant].status)

    def number(self, name: str) -> float:
        """One metric."""
        return self.assessment.metrics[name]


def hold_sale(arm: Arm, strategy: str, scenario: Scenario, fault: str, **choices: Any) -> Told:
    """Hold one sale and judge it.

    `choices` may be `seed`, `persistence` (none unless given) and `options` (the strategy's).
    """
    # A payment must not be settled as doubtful while it is still under way.
    doubtful_after_s = scenario.payment.plain_s + 15.0
    spec = RunSpec(
        scenario=scenario,
        strategy=strategy,
        seed=choices.pop("seed", 1),
        fault=fault,
        persistence=choices.pop("persistence", Persistence.NONE),
        database="postgres",
        options={"doubtful_after_s": doubtful_after_s, **choices.pop("options", {})},
    )
    assert not choices
    if scenario.payment is PROMPT:
        arm = replace(arm, factor=PROMPT_FACTOR)
    history = run_live(spec, arm).history
    return Told(history=history, assessment=assess(history))


def arm_on(stack: Any, nursery: Nursery) -> Arm:
    """What the runs of these tests are made on."""
    return Arm(stack=stack, nursery=nursery, factor=FACTOR)


def killed_with_a_file(arm: Arm, mode: Persistence) -> Told:
    """Hold the unhurried sale on a Redis with an append-only file that is killed amid it.

    Under `everysec` a sync that is under way at the blow holds writes back (R6); on a busy disk
    that befalls a sale, but not one after the other: the last of `EVERYSEC_TRIES` is told, or the
    first that broke no promise. Under `always` the first is.
    """
    for seed in range(1, 1 + (1 if mode is Persistence.AOF_ALWAYS else EVERYSEC_TRIES)):
        told = hold_sale(arm, "redis-hold", unhurried(), "kill", persistence=mode, seed=seed)
        if told.says("hold-honoured") == "holds":
            break
    return told
