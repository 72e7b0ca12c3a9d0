"""Fault plans as a scenario sees them: placed in its busy time, and those of its own."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, get_type_hints

from chaos.faults import (
    Actor,
    At,
    AtCrossing,
    Death,
    Fault,
    FaultPlan,
    Leg,
    Placement,
    PlannedFault,
    Target,
    Toxic,
)
from chaos.plans import PLAN_NAMES, Busy, EmptyFault, UnknownFault, check_fault, merge, plan
from chaos.toxics import ATTRIBUTES, Direction
from model.arrivals import time_of_share
from model.scenario import FaultEntry, Plan, Scenario
from model.scenario_problems import Path, Problem, ScenarioError, explain, nearest

OPERATIONS = ("hold", "release", "checkout", "sweep", "task")
_OF_A_TOXIC = ("kind", "attributes")  # its attributes are settings by their own names
SEPARATORS = "+,"  # of plans and of lists of plans, on the command line


class _Wrong(Exception):
    """An entry of a plan is wrong; carries the problem."""

    def __init__(self, path: Path, says: str, value: object) -> None:
        super().__init__(says)
        self.problem = Problem(path=path, says=says, value=value)


def busy_window(scenario: Scenario) -> Busy:
    """Return when a scenario's sale is busy, from its expected numbers (nothing is drawn).

    It starts when the stock is expected to be held: as many people have come and thought as would
    hold it all. It ends two expected checkouts after the rush, or after three quarters of a sale
    without one, when most of those who hold have paid or left.
    """
    arrivals, buyers, payment = scenario.arrivals, scenario.buyers, scenario.payment
    tickets_wanted = arrivals.buyers * _mean_party(scenario)
    share = scenario.sale.capacity / tickets_wanted
    never_full = share >= 1.0
    start_s = time_of_share(scenario, 0.5 if never_full else share) + buyers.think_median_s
    lull_s = arrivals.rush_s if arrivals.kind == "rush" else time_of_share(scenario, 0.75)
    capture_s = (
        payment.challenged * payment.challenge_mean_s + (1.0 - payment.challenged) * payment.plain_s
    )
    end_s = max(start_s, lull_s) + 2.0 * (buyers.checkout_median_s + capture_s)
    return Busy(start_s=start_s, end_s=end_s, ttl_s=scenario.hold.ttl_s)


def resolve_plan(name: str, scenario: Scenario) -> FaultPlan:
    """Return the plan of a name: the scenario's own, a bundled one, or several joined with `+`.

    Raises:
        UnknownFault: a part of the name is neither.
        ScenarioError: a plan of the scenario's own makes no sense.
    """
    busy = busy_window(scenario)
    plans = []
    for part in name.split("+"):
        own = scenario.plans.get(part)
        if own is None and part not in PLAN_NAMES:
            raise UnknownFault(part, [*scenario.plans, *PLAN_NAMES])
        plans.append(plan(part, busy) if own is None else _own_plan(part, own, busy, scenario))
    return merge(name, plans)


def check_plans(scenario: Scenario) -> list[Problem]:
    """Return what is wrong with the plans of a scenario's own."""
    busy = busy_window(scenario)
    return [
        problem for name, own in scenario.plans.items() for problem in _problems(name, own, busy)
    ]


def _mean_party(scenario: Scenario) -> float:
    quantities = scenario.trace_quantities
    if quantities:
        return sum(quantities) / len(quantities)
    sizes = scenario.buyers.party_sizes
    return sum(size * weight for size, weight in sizes.items()) / sum(sizes.values())


def _own_plan(name: str, own: Plan, busy: Busy, scenario: Scenario) -> FaultPlan:
    problems = list(_problems(name, own, busy))
    if problems:
        raise ScenarioError(explain(f"scenario {scenario.name}", problems))
    path: Path = ("plans", name)
    faults = tuple(each for entry in own.faults for each in _planned(entry, path, busy))
    return FaultPlan(name=name, summary=own.summary, faults=faults)


def _problems(name: str, own: Plan, busy: Busy) -> Iterator[Problem]:
    path: Path = ("plans", name)
    if name in PLAN_NAMES:
        yield Problem(path=path, says="is the name of a bundled fault; give the plan another")
    if not name or any(separator in name for separator in SEPARATORS):
        yield Problem(path=path, says="a plan's name must not be empty, nor contain `+` or `,`")
    if not own.faults:
        yield Problem(path=(*path, "faults"), says="must have at least one fault", value=[])
    for number, entry in enumerate(own.faults):
        try:
            _planned(entry, (*path, "faults", number), busy)
        except _Wrong as wrong:
            yield wrong.problem


def _planned(entry: FaultEntry, path: Path, busy: Busy) -> tuple[PlannedFault, ...]:
    """Turn an entry into faults; without a time or a crossing it strikes where the bundled does."""
    if entry.fault not in PLAN_NAMES or entry.fault == "none":
        names = [name for name in PLAN_NAMES if name != "none"]
        says = f"unknown fault; {nearest(entry.fault, names)}allowed: {', '.join(names)}"
        raise _Wrong((*path, "fault"), says, entry.fault)
    bundled = plan(entry.fault, busy).faults
    changed = [
        replace(planned, fault=_with_settings(planned.fault, entry, path)) for planned in bundled
    ]
    when = _placement(entry, path)
    if when is None:
        return tuple(dict.fromkeys(changed))
    return tuple(PlannedFault(fault=fault, when=when) for fault in {c.fault: None for c in changed})


def _with_settings(fault: Fault, entry: FaultEntry, path: Path) -> Fault:
    """Override fields of a fault, each checked against the field's type."""
    hints = get_type_hints(type(fault))
    toxic = ATTRIBUTES[fault.kind] if isinstance(fault, Toxic) else ()
    own = [field.name for field in fields(fault) if not (toxic and field.name in _OF_A_TOXIC)]
    allowed = [*own, *(name for name in toxic)]
    values: dict[str, Any] = {}
    attributes: dict[str, float] = {}
    for key, value in entry.settings.items():
        place = (*path, "settings", key)
        if key not in allowed:
            says = f"{entry.fault} has no such setting; {nearest(key, allowed)}"
            raise _Wrong(place, f"{says}allowed: {', '.join(allowed)}", value)
        if key in toxic:
            attributes[key] = _setting(place, float, value)
        else:
            values[key] = _setting(place, hints[key], value)
    if isinstance(fault, Toxic):
        values["attributes"] = tuple({**dict(fault.attributes), **attributes}.items())
    changed = replace(fault, **values)
    try:
        check_fault(changed)
    except EmptyFault as error:
        raise _Wrong((*path, "settings"), str(error), dict(entry.settings)) from error
    return changed


def _setting(place: Path, hint: Any, value: float | str) -> Any:
    for kind in (Target, Death, Direction):
        if hint in (kind, kind | None):
            return _one_of(place, value, kind)
    if isinstance(value, str):
        raise _Wrong(place, "must be a number", value)
    return float(value)


def _one_of(place: Path, value: object, kind: type[Target | Death | Leg | Direction]) -> Any:
    names = [str(each) for each in kind]
    if value not in names:
        raise _Wrong(place, f"must be one of {', '.join(names)}", value)
    return kind(value)


def _placement(entry: FaultEntry, path: Path) -> Placement | None:
    """Return when an entry strikes; None when it does not say."""
    early, late = _window(entry, path)
    if entry.crossing is not None:
        return _crossing(entry, path, early or 0.0, late)
    for key, unset in (("actor", "any"), ("operation", ""), ("occurrence", 1)):
        if getattr(entry, key) != unset:
            raise _Wrong((*path, key), "goes with the key `crossing`", getattr(entry, key))
    if early is None:
        return None
    if late is None:
        raise _Wrong((*path, "earliest_s"), "needs `latest_s`; or write `at_s` alone", early)
    return At(earliest_s=early, latest_s=late)


def _window(entry: FaultEntry, path: Path) -> tuple[float | None, float | None]:
    if entry.at_s is not None:
        if entry.earliest_s is not None or entry.latest_s is not None:
            raise _Wrong(
                (*path, "at_s"), "stands alone, without earliest_s and latest_s", entry.at_s
            )
        return entry.at_s, None if entry.crossing else entry.at_s
    if entry.latest_s is not None and (
        entry.earliest_s is None or entry.earliest_s > entry.latest_s
    ):
        raise _Wrong((*path, "latest_s"), "needs an `earliest_s` that is not later", entry.latest_s)
    return entry.earliest_s, entry.latest_s


def _crossing(entry: FaultEntry, path: Path, after_s: float, latest_s: float | None) -> AtCrossing:
    """Read `database reply COMMIT`: whose crossing, which leg of it, how its label begins."""
    place = (*path, "crossing")
    words = (entry.crossing or "").split(maxsplit=2)
    if len(words) < 2:  # noqa: PLR2004 - target and leg
        says = 'must be a target, a leg and a label, such as "database reply COMMIT"'
        raise _Wrong(place, says, entry.crossing)
    if words[0] not in set(Target) or words[1] not in set(Leg):
        says = f"must begin with {'|'.join(Target)}, then {'|'.join(Leg)}"
        raise _Wrong(place, says, entry.crossing)
    if entry.operation and entry.operation not in OPERATIONS:
        says = f"must be one of {', '.join(OPERATIONS)}"
        raise _Wrong((*path, "operation"), says, entry.operation)
    return AtCrossing(
        target=Target(words[0]),
        leg=Leg(words[1]),
        label=words[2] if len(words) > 2 else "",  # noqa: PLR2004 - the label is optional
        actor=Actor(entry.actor),
        operation=entry.operation,
        after_s=after_s,
        after_latest_s=latest_s,
        occurrence=entry.occurrence,
    )
