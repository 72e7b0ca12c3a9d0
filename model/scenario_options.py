"""Checks the options a scenario gives to strategies, against the catalogue."""

from model.scenario import Scenario
from model.scenario_problems import Problem


def check_options(scenario: Scenario) -> list[Problem]:
    """Return what is wrong under `options`: unknown strategies, options and values.

    The catalogue, and with it every strategy, is imported only when there is something to check.
    """
    if not scenario.options:
        return []
    from reservation.catalogue import BadOption, UnknownStrategy, find, resolve_options

    problems = []
    for strategy, options in scenario.options.items():
        try:
            resolve_options(find(strategy), options)
        except (UnknownStrategy, BadOption) as error:
            problems.append(Problem(path=("options", strategy), says=str(error)))
    return problems
