"""Which cells a comparison has, and that every cell gets the same seeds."""

import pytest

from chaos.persistence import Persistence
from chaos.plans import EmptyFault
from holdfast.choices import parse_strategies
from holdfast.errors import WrongCommand
from holdfast.experiment import Experiment, plan_experiment
from model.database import UnknownDatabase
from model.scenario import Plan, Scenario
from model.scenario_file import load_scenario
from reservation.catalogue import STRATEGIES, BadOption, UnknownStrategy


@pytest.fixture
def small() -> Scenario:
    """The smallest bundled scenario."""
    return load_scenario("small")


def rows(experiment: Experiment) -> list[tuple[str, str, str | None]]:
    """Return the cells as plain tuples."""
    return [
        (cell.strategy.label, cell.fault, cell.persistence.value if cell.persistence else None)
        for cell in experiment.cells
    ]


def test_defaults_compare_everything_that_sells_what_is_sold(small: Scenario) -> None:
    """Every strategy that admits the sale; without a fault only the first persistence."""
    found = rows(plan_experiment(small))
    assert list(dict.fromkeys(name for name, _, _ in found)) == [
        name for name, info in STRATEGIES.items() if small.sale.kind in info.admits
    ]
    assert [row for row in found if row[0] == "db-cart"] == [
        ("db-cart", "none", None),
        ("db-cart", "redis-kill", None),
    ]
    assert [row for row in found if row[0] == "redis-hold"] == [
        ("redis-hold", "none", "none"),
        ("redis-hold", "redis-kill", "none"),
        ("redis-hold", "redis-kill", "aof-everysec"),
    ]


def test_persistence_asked_for_is_run_under_every_fault(small: Scenario) -> None:
    """Whoever names persistence gets it also without a fault; a database strategy has none."""
    experiment = plan_experiment(
        small,
        strategies=parse_strategies("db-cart,redis-hold"),
        faults=["none"],
        persistence=[Persistence.RDB, Persistence.NONE],
    )
    assert rows(experiment) == [
        ("db-cart", "none", None),
        ("redis-hold", "none", "rdb"),
        ("redis-hold", "none", "none"),
    ]


def test_every_cell_gets_the_same_seeds(small: Scenario) -> None:
    """Common random numbers: run r of every cell has the seed S * 1_000_003 + r."""
    experiment = plan_experiment(small, runs=3, seed=2)
    for cell in experiment.cells:
        seeds = [experiment.spec(cell, run).seed for run in range(3)]
        assert seeds == [2_000_006, 2_000_007, 2_000_008]


def test_options_of_the_scenario_and_of_the_command_are_joined(small: Scenario) -> None:
    """The command's option wins, and text becomes what the option's default is."""
    scenario = small.model_copy(update={"options": {"db-cart": {"give_back": "split", "batch": 5}}})
    experiment = plan_experiment(scenario, strategies=parse_strategies("db-cart:batch=7"))
    assert experiment.cells[0].strategy.options == {"give_back": "split", "batch": 7}


def test_plans_of_the_scenario_can_be_named(small: Scenario) -> None:
    """A plan of the scenario's own stands beside the bundled ones, also in a sum."""
    own = {"mine": Plan.model_validate({"faults": [{"fault": "redis-kill", "at_s": 10.0}]})}
    scenario = small.model_copy(update={"plans": own})
    experiment = plan_experiment(
        scenario, strategies=parse_strategies("db-cart"), faults=["mine", "mine+db-restart"]
    )
    assert [cell.fault for cell in experiment.cells] == ["mine", "mine+db-restart"]


def test_names_for_files_are_plain(small: Scenario) -> None:
    """A cell's slug has no character that a shell or a file system minds."""
    experiment = plan_experiment(
        small, strategies=parse_strategies("db-cart:give_back=split,reclaim=cron-scan")
    )
    assert experiment.cells[1].slug == (
        "db-cart_give_back_split_reclaim_cron-scan--redis-kill--no-redis"
    )


def test_wrong_choices_are_refused_before_anything_runs(small: Scenario) -> None:
    """Each message names the option, the value and what is allowed."""
    with pytest.raises(UnknownStrategy, match=r"redis-hol.*did you mean 'redis-hold'"):
        plan_experiment(small, strategies=parse_strategies("redis-hol"))
    with pytest.raises(BadOption, match=r"give_back.*'half'.*atomic, split"):
        plan_experiment(small, strategies=parse_strategies("db-cart:give_back=half"))
    with pytest.raises(WrongCommand, match=r"seat-setnx.*does not sell by 'general'.*db-cart"):
        plan_experiment(small, strategies=parse_strategies("seat-setnx"))
    with pytest.raises(WrongCommand, match=r"--faults.*redis-kil'.*redis-kill"):
        plan_experiment(small, faults=["none", "redis-kil"])
    with pytest.raises(WrongCommand, match=r"--faults: 'a\+a' names a fault twice"):
        plan_experiment(small, faults=["a+a"])
    with pytest.raises(WrongCommand, match="--runs: 0"):
        plan_experiment(small, runs=0)
    with pytest.raises(UnknownDatabase, match=r"mysql.*sqlite"):
        plan_experiment(small, database="mysql")


def test_a_wrong_option_in_the_scenario_is_refused_even_if_unused(small: Scenario) -> None:
    """A scenario file with a mistake never runs in silence."""
    scenario = small.model_copy(update={"options": {"db-cart": {"give_back": "half"}}})
    with pytest.raises(BadOption, match="half"):
        plan_experiment(scenario, strategies=parse_strategies("redis-hold"))


def test_empty_faults_never_reach_a_run() -> None:
    """The error for a fault that does nothing is one of those that mean wrong input."""
    from holdfast.errors import WRONG_INPUT

    assert EmptyFault in WRONG_INPUT
