"""Fault plans placed in a scenario, and plans of a scenario's own."""

import re
from pathlib import Path

import pytest

from chaos.faults import (
    Actor,
    AppKill,
    At,
    AtCrossing,
    Death,
    Leg,
    LostReplies,
    PlannedFault,
    RedisDeath,
    StorePause,
    Target,
    Toxic,
)
from chaos.plans import UnknownFault, plan
from chaos.toxics import Direction, ToxicKind
from model.scenario import Arrivals, FaultEntry, Plan, Sale, Scenario
from model.scenario_file import ScenarioError, load_scenario
from model.scenario_plans import busy_window, resolve_plan


def with_plan(*faults: dict[str, object]) -> Scenario:
    """Return a scenario with one plan of its own, `mine`."""
    entries = tuple(FaultEntry.model_validate(fault) for fault in faults)
    return Scenario(name="test", plans={"mine": Plan(summary="my own", faults=entries)})


def placed(**entry: object) -> tuple[PlannedFault, ...]:
    """Return the faults that one entry of a plan becomes."""
    return resolve_plan("mine", with_plan(entry)).faults


def test_a_rush_is_busy_from_when_the_stock_is_held() -> None:
    """100 tickets for 700 buyers of 3 are held within a second, plus 8 s to think."""
    busy = busy_window(Scenario(name="x"))
    assert busy.start_s == pytest.approx(8.7, abs=0.1)
    assert busy.end_s == pytest.approx(60 + 2 * (120 + 0.36 * 37 + 0.64 * 2))
    assert busy.ttl_s == 900.0


def test_a_steady_sale_is_busy_later() -> None:
    """Its stock fills slowly, and it goes on until most have come."""
    steady = Arrivals(kind="steady", buyers=120, duration_s=3600.0)
    busy = busy_window(Scenario(name="x", arrivals=steady))
    assert busy.start_s == pytest.approx(3600 * 100 / 360 + 8)
    assert busy.end_s > 0.75 * 3600


def test_a_sale_that_never_fills_is_busy_in_its_middle() -> None:
    """With more tickets than people want, half of the buyers is the mark."""
    steady = Arrivals(kind="steady", buyers=10, duration_s=100.0)
    busy = busy_window(Scenario(name="x", sale=Sale(capacity=1000), arrivals=steady))
    assert busy.start_s == pytest.approx(50 + 8)


def test_a_trace_is_busy_where_its_arrivals_are() -> None:
    """Times and quantities of the trace decide."""
    trace = Scenario(
        name="x",
        sale=Sale(capacity=10),
        arrivals=Arrivals(kind="trace", trace="x.csv", buyers=4),
        trace_arrivals_s=(100.0, 130.0, 110.0, 120.0),
        trace_quantities=(5, 5, 5, 5),
    )
    assert busy_window(trace).start_s == pytest.approx(120.0 + 8.0)


def test_bundled_plans_are_placed_in_the_busy_time() -> None:
    """Names of the bundled plans, and several joined, go to `chaos.plans`."""
    scenario = Scenario(name="x")
    name = "redis-kill+slow-fsync"
    assert resolve_plan(name, scenario).faults == plan(name, busy_window(scenario)).faults
    assert resolve_plan("none", scenario).faults == ()


def test_own_plans_come_first_and_join_with_bundled_ones() -> None:
    """`mine+slow-fsync` is the scenario's plan and the bundled one."""
    scenario = with_plan({"fault": "redis-kill", "at_s": 30.0})
    joined = resolve_plan("mine+slow-fsync", scenario)
    assert joined.name == "mine+slow-fsync"
    assert joined.summary.startswith("my own; ")
    assert len(joined.faults) == 2


def test_an_unknown_plan_is_told_with_all_names() -> None:
    """The scenario's own plans are among the names, and may be the nearest."""
    with pytest.raises(UnknownFault, match="unknown fault 'mne'; did you mean 'mine'") as raised:
        resolve_plan("mne", with_plan({"fault": "app-kill"}))
    assert "Faults: mine, none, redis-restart" in str(raised.value)


def test_an_entry_strikes_at_its_time() -> None:
    """One moment, or a window from which the moment is drawn."""
    death = RedisDeath(death=Death.SIGKILL, down_s=2.0)
    assert placed(fault="redis-kill", at_s=30.0) == (
        PlannedFault(fault=death, when=At(earliest_s=30.0, latest_s=30.0)),
    )
    assert placed(fault="redis-kill", earliest_s=30.0, latest_s=40.0) == (
        PlannedFault(fault=death, when=At(earliest_s=30.0, latest_s=40.0)),
    )


def test_an_entry_without_a_time_strikes_where_the_bundled_plan_does() -> None:
    """So that a scenario can change a length and nothing else."""
    faults = placed(fault="redis-kill", settings={"down_s": 7.0})
    assert [each.fault for each in faults] == [RedisDeath(death=Death.SIGKILL, down_s=7.0)] * 2
    bundled = plan("redis-kill", busy_window(Scenario(name="x"))).faults
    assert [each.when for each in faults] == [each.when for each in bundled]


def test_settings_override_fields_of_the_fault() -> None:
    """Numbers, and the names of targets and deaths."""
    (lost,) = placed(
        fault="lost-replies", at_s=1.0, settings={"target": "database", "probability": 0.5}
    )
    assert isinstance(lost.fault, LostReplies)
    assert (lost.fault.target, lost.fault.probability) == (Target.DATABASE, 0.5)
    (died,) = placed(fault="redis-kill", at_s=1.0, settings={"death": "power-loss"})
    assert died.fault == RedisDeath(death=Death.POWER_LOSS, down_s=2.0)


def test_settings_of_a_toxic_are_its_attributes() -> None:
    """Target, direction, toxicity and the attributes by name; those not named stay."""
    settings = {"target": "database", "direction": "upstream", "toxicity": 0.5, "latency": 20.0}
    (planned,) = placed(fault="redis-latency", at_s=1.0, settings=settings)
    assert planned.fault == Toxic(
        target=Target.DATABASE,
        kind=ToxicKind.LATENCY,
        direction=Direction.UPSTREAM,
        attributes=(("latency", 20.0), ("jitter", 50.0)),
        toxicity=0.5,
        duration_s=15.0,
    )
    (paused,) = placed(fault="redis-pause", at_s=1.0, settings={"target": "database"})
    assert paused.fault == StorePause(target=Target.DATABASE, duration_s=5.0)


def test_an_entry_strikes_at_a_crossing() -> None:
    """Target, leg and the beginning of the label; who, in what, how often, from when."""
    (killed,) = placed(
        fault="app-kill",
        crossing="database reply UPDATE carts",
        actor="sweeper",
        operation="sweep",
        occurrence=3,
        earliest_s=900.0,
        latest_s=1000.0,
    )
    assert killed.fault == AppKill(restart_s=5.0)
    assert killed.when == AtCrossing(
        target=Target.DATABASE,
        leg=Leg.REPLY,
        label="UPDATE carts",
        actor=Actor.SWEEPER,
        operation="sweep",
        after_s=900.0,
        occurrence=3,
        after_latest_s=1000.0,
    )
    (at_once,) = placed(fault="app-kill", crossing="redis request")
    assert at_once.when == AtCrossing(target=Target.REDIS, leg=Leg.REQUEST)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"fault": "redis-kil"}, '.fault = "redis-kil": unknown fault; did you mean `redis-kill`?'),
        ({"fault": "none"}, '.fault = "none": unknown fault; '),
        ({"fault": "redis-kill+app-kill"}, '.fault = "redis-kill+app-kill": unknown fault; '),
        ({"fault": "app-kill", "settings": {"down_s": 1.0}}, ".settings.down_s = 1.0: app-kill h"),
        ({"fault": "app-kill", "settings": {"restart_s": "x"}}, '.settings.restart_s = "x": must '),
        ({"fault": "app-kill", "settings": {"restart_s": 0.0}}, '.settings = {"restart_s": 0.0}:'),
        ({"fault": "redis-slow", "settings": {"target": "x"}}, '.settings.target = "x": must be'),
        ({"fault": "redis-kill", "settings": {"death": 1.0}}, ".settings.death = 1.0: must be on"),
        ({"fault": "redis-slicer", "settings": {"rate": 1}}, ".settings.rate = 1.0: redis-slicer "),
        ({"fault": "redis-slicer", "settings": {"kind": "latency"}}, '.settings.kind = "latency":'),
        ({"fault": "db-bandwidth", "settings": {"rate": 0}}, '.settings = {"rate": 0.0}: rate = 0'),
        ({"fault": "db-reset", "settings": {"direction": "x"}}, '.settings.direction = "x": must '),
        ({"fault": "app-kill", "at_s": 1.0, "latest_s": 2.0}, ".at_s = 1.0: stands alone, without"),
        ({"fault": "app-kill", "earliest_s": 1.0}, ".earliest_s = 1.0: needs `latest_s`"),
        ({"fault": "app-kill", "latest_s": 1.0}, ".latest_s = 1.0: needs an `earliest_s`"),
        ({"fault": "app-kill", "earliest_s": 2.0, "latest_s": 1.0}, ".latest_s = 1.0: needs an `e"),
        ({"fault": "app-kill", "occurrence": 2}, ".occurrence = 2: goes with the key `crossing`"),
        ({"fault": "app-kill", "actor": "buyer"}, '.actor = "buyer": goes with the key `crossing`'),
        ({"fault": "app-kill", "operation": "hold"}, '.operation = "hold": goes with the key `cro'),
        ({"fault": "app-kill", "crossing": "database"}, '.crossing = "database": must be a target'),
        ({"fault": "app-kill", "crossing": ""}, '.crossing = "": must be a target, a leg and a la'),
        ({"fault": "app-kill", "crossing": "db reply"}, '.crossing = "db reply": must begin with'),
        ({"fault": "app-kill", "crossing": "redis back"}, '.crossing = "redis back": must begin w'),
        (
            {"fault": "app-kill", "crossing": "redis reply", "operation": "buy"},
            '.operation = "buy": must be one of hold, release, checkout, sweep, task',
        ),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(entry: dict[str, object], said: str) -> None:
    """The message has the scenario, the path of the key, the value and what is allowed."""
    with pytest.raises(ScenarioError) as raised:
        placed(**entry)
    assert str(raised.value).startswith(f"scenario test: plans.mine.faults[0]{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[plans.x]\nfaults = []", "plans.x.faults = []: must have at least one fault"),
        ("[plans.redis-kill]\nfaults = [{ fault = 'app-kill' }]", "plans.redis-kill: is the name"),
        ("[plans.'a+b']\nfaults = [{ fault = 'app-kill' }]", "plans.a+b: a plan's name must not"),
        ("[plans.x]\nfaults = [{ fault = 'app-kil' }]", 'plans.x.faults[0].fault = "app-kil": un'),
        ("[plans.x]\nfaults = [{ fault = 'app-kill', at_s = -1 }]", "plans.x.faults[0].at_s = -1:"),
        ("[plans.x]\nfaults = [{ fault = 'app-kill', whn = 1 }]", "plans.x.faults[0].whn = 1: un"),
    ],
)  # fmt: skip
def test_a_wrong_plan_is_found_on_loading(tmp_path: Path, text: str, said: str) -> None:
    """A bad plan is an error even when nobody asks for it, with the file and the key."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as raised:
        load_scenario(str(path))
    assert str(raised.value).startswith(f"{path}: {said}")


def test_a_plan_of_a_file_is_usable(tmp_path: Path) -> None:
    """From TOML to a placed fault."""
    path = tmp_path / "mine.toml"
    path.write_text(
        "[[plans.late-kill.faults]]\nfault = 'redis-kill'\nat_s = 5\nsettings = { down_s = 1 }\n",
        encoding="utf-8",
    )
    (planned,) = resolve_plan("late-kill", load_scenario(str(path))).faults
    assert planned.fault == RedisDeath(death=Death.SIGKILL, down_s=1.0)
    assert planned.when == At(earliest_s=5.0, latest_s=5.0)


def test_the_plan_in_the_page_on_stacks_is_usable(tmp_path: Path) -> None:
    """What docs/live-stacks.md shows loads, and becomes the faults it speaks of."""
    page = Path(__file__).parents[2] / "docs" / "live-stacks.md"
    (toml,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(toml, encoding="utf-8")
    far, paused, cut = (
        planned.fault for planned in resolve_plan("far-database", load_scenario(str(path))).faults
    )
    assert isinstance(far, Toxic)
    assert (dict(far.attributes), far.toxicity) == ({"latency": 250.0, "jitter": 40.0}, 0.5)
    assert paused == StorePause(target=Target.REDIS, duration_s=3.0)
    assert isinstance(cut, Toxic)
    assert (cut.target, dict(cut.attributes)) == (Target.DATABASE, {"bytes": 500.0})
