"""What `holdfast live` does once its options are read; returns the exit status."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from chaos.persistence import Persistence
from chaos.servers.health import LOG_ENDS
from chaos.stacks.contract import Stack, StackBroken, StackError, StackMissing
from holdfast import interrupts
from holdfast.choices import parse_names, parse_overrides, parse_persistence, parse_strategies
from holdfast.commands import compare_status, complain, print_json
from holdfast.errors import ExitStatus, WrongCommand
from holdfast.experiment import Experiment, plan_experiment
from holdfast.gate import check_required
from holdfast.live.agreement import agree, measure_before
from holdfast.live.choices import LiveChoices
from holdfast.live.experiment import FAST_END, LiveResult, run_live_experiment
from holdfast.live.report import live_as_dict, print_live
from holdfast.live.stacks import make_stack
from holdfast.terminal import output, progress_bar, reader_may_leave
from model.database import SQLITE, DatabaseUnavailable, UnknownDatabase, prepare
from model.live.nursery import Nursery
from model.live.run import Arm
from model.run import sweep_bound_s
from model.scenario_file import load_scenario


def run_live_command(choices: LiveChoices) -> ExitStatus:
    """Run on real servers, print, and gate on what is required."""
    check_required(choices.compare.required)
    _prepare_agreement(choices)
    stack = make_stack(choices.stack)
    experiment = _experiment(choices, stack)
    _say_how_long(experiment, choices.factor)
    try:
        with _started(stack) as arm_stack, Nursery() as nursery:
            arm = Arm(
                stack=arm_stack, nursery=nursery, factor=choices.factor, stop=interrupts.check
            )
            return _run(experiment, arm, choices)
    except StackMissing as error:
        raise WrongCommand(str(error)) from error
    except StackBroken as error:
        complain(str(error))
        return ExitStatus.INCONCLUSIVE


def _prepare_agreement(choices: LiveChoices) -> None:
    """Find or start what the other arm is simulated on, before any server is."""
    if choices.agree_database == SQLITE:
        return
    if not choices.agree:
        raise WrongCommand("--agree-db: goes with --agree")
    try:
        prepare(choices.agree_database)
    except (UnknownDatabase, DatabaseUnavailable) as error:
        raise WrongCommand(str(error).replace("--db", "--agree-db")) from error


@contextmanager
def _started(stack: Stack) -> Iterator[Stack]:
    """Start and stop the stack without being torn out of the middle of either."""
    with interrupts.patiently(FAST_END):
        stack.__enter__()
    try:
        interrupts.check()
        yield stack
    finally:
        with interrupts.patiently(FAST_END):
            stack.__exit__(*sys.exc_info())


def _run(experiment: Experiment, arm: Arm, choices: LiveChoices) -> ExitStatus:
    options = choices.compare
    total = len(experiment.cells) * experiment.runs
    measured = measure_before(experiment, arm, choices.agree_database) if choices.agree else {}
    with progress_bar(f"{total} live runs") as on_run:
        live = run_live_experiment(
            experiment, arm, out=options.out, budget_s=options.budget_s, on_run=on_run
        )
    agreements = agree(live, measured, choices.agree_database) if choices.agree else None
    with reader_may_leave():
        if options.as_json:
            print_json(live_as_dict(live, agreements))
        else:
            print_live(live, output(), agreements)
    return _status(live, options.required)


def _status(live: LiveResult, required: Sequence[str]) -> ExitStatus:
    status = compare_status(live.result, required)
    log = live.broken.partition(LOG_ENDS)[2]
    if log:
        complain(f"its log ends:{log}")
    return ExitStatus.INCONCLUSIVE if live.broken and status is ExitStatus.DONE else status


def _experiment(choices: LiveChoices, stack: Stack) -> Experiment:
    options = choices.compare
    scenario = load_scenario(options.scenario, parse_overrides(options.settings))
    experiment = plan_experiment(
        scenario,
        strategies=None if options.strategies is None else parse_strategies(options.strategies),
        faults=_faults(choices),
        persistence=_persistence(choices, stack),
        runs=options.runs,
        seed=options.seed,
    )
    return replace(experiment, database="postgres")


def _persistence(choices: LiveChoices, stack: Stack) -> Sequence[Persistence] | None:
    if choices.compare.persistence is not None:
        return parse_persistence(choices.compare.persistence)
    try:
        kept = stack.keeps()
    except StackError as error:
        raise WrongCommand(str(error)) from error
    return None if kept is None else [kept]


def _faults(choices: LiveChoices) -> Sequence[str] | None:
    if choices.compare.faults is not None:
        return parse_names("--faults", choices.compare.faults)
    # Somebody else's servers are not ours to kill: what breaks there by default is the client.
    return ("none", "lost-replies") if choices.stack.name == "external" else None


def _say_how_long(experiment: Experiment, factor: float) -> None:
    """Tell on standard error what is about to be waited for: real time cannot be skipped."""
    scenario = experiment.scenario
    arrivals_s = max(scenario.trace_arrivals_s, default=scenario.arrivals.duration_s)
    checkout_s = scenario.buyers.checkout_median_s + scenario.payment.plain_s
    one_s = (arrivals_s + checkout_s + scenario.hold.ttl_s + sweep_bound_s(scenario)) / factor
    runs = len(experiment.cells) * experiment.runs
    complain(
        f"runs: {runs}, about {one_s:.0f} s each, {max(1.0, runs * one_s / 60.0):.0f} min in all "
        f"(--time-factor {factor:g}, --runs, --strategies and --budget change that)"
    )
