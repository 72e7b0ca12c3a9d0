"""`holdfast explore`: search the schedules of a small world, and tell how it breaks."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast, get_args

from chaos.persistence import Persistence
from holdfast import interrupts
from holdfast.choices import parse_names, parse_strategies
from holdfast.commands import complain
from holdfast.crew import ProcessCrew
from holdfast.errors import ExitStatus, WrongCommand, check_names
from holdfast.gate import check_required, exit_status
from holdfast.sequence.diagrams import mermaid, svg
from holdfast.sequence.report import Told, as_dict, print_exploration
from holdfast.terminal import reader_may_leave
from holdfast.workers import Workers, cores
from model.database import check_database, prepare
from model.exploring.small_world import CALLS, EVENTS, SmallWorld
from model.scenario import Isolation
from properties.exploration.ahead import Walker
from properties.exploration.execution import Executions, NotDeterministic
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.finding import EXPLORED, INTERRUPTED, ORDERED, SWEPT_ALONG, Exploration
from properties.exploration.sampling import Sampling
from properties.exploration.shrinking import Counterexample, Shrinker
from properties.exploration.trace import trace_text
from reservation.catalogue import find

SAMPLES = ("pct", "random")
SEARCHES = ("auto", "exhaustive", *SAMPLES)
MOST_EXHAUSTIVE = (5, 4)  # buyers, happenings
NOTHING_YET = "interrupted: nothing was covered yet"
BETWEEN_MOVES = ""  # a move takes a moment: there is nothing to say
EXHAUSTIVE_SHARE = 0.6  # of the budget of `auto`
TWO = 2  # buyers, unless it is said how many
CHUNK = 20  # schedules a worker draws at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreChoices:
    """The options of `holdfast explore`, as written."""

    strategy: str
    buyers: int | None
    capacity: int
    visits: str | None
    faults: str | None
    persistence: str | None
    database: str
    isolation: str
    search: str
    budget_s: float
    seed: int
    preemptions: int | None
    depth: int | None
    twice: bool
    jobs: int | None
    as_json: bool
    required: Sequence[str]
    out: Path


def run_explore(choices: ExploreChoices) -> ExitStatus:
    """Search, shrink what broke, print, and gate on what is required."""
    check_required(choices.required)
    small = small_world(choices)
    _check_folder(choices.out)
    try:
        prepare(small.database)  # one server for all processes of this command
        interrupts.check()
    except KeyboardInterrupt:
        complain(NOTHING_YET)
        return ExitStatus.INCONCLUSIVE
    try:
        found = search(small, choices)
        stories, all_told = _tell(found, choices)
    except NotDeterministic as difference:
        complain(str(difference))
        return ExitStatus.INCONCLUSIVE
    with interrupts.patiently(BETWEEN_MOVES), reader_may_leave():
        if choices.as_json:
            print(json.dumps(as_dict(found, stories), indent=2))  # noqa: T201 - the answer
        else:
            print_exploration(found, stories)
    if not all_told:
        complain("interrupted: not every counterexample was shrunk and told")
        return ExitStatus.INCONCLUSIVE
    return _status(found, choices.required)


def _status(found: Exploration, required: Sequence[str]) -> ExitStatus:
    status = exit_status(required, [found.statuses()])
    if found.crash:
        complain(f"the code under test crashed: {found.crash}")
    if status is ExitStatus.DONE and (not found.complete or found.crash):
        return ExitStatus.INCONCLUSIVE
    return status


def small_world(choices: ExploreChoices) -> SmallWorld:
    """Read the options as a world.

    Raises:
        WrongCommand, WorldError, UnknownStrategy, BadOption: they name none.
    """
    check_names("--search", [choices.search], SEARCHES)
    check_database(choices.database)
    check_names("--isolation", [choices.isolation], get_args(Isolation))
    picked = parse_strategies(choices.strategy)
    if len(picked) != 1:
        raise WrongCommand(
            f"explore: {choices.strategy!r} names {len(picked)} strategies; name one"
        )
    happenings = _happenings(choices.faults)
    visits = _visits(choices)
    if choices.search in SAMPLES:
        _refuse_bounds(choices)
    exhaustive = choices.search == "exhaustive"
    if exhaustive and (len(visits) > MOST_EXHAUSTIVE[0]):
        raise WrongCommand(
            f"--buyers {len(visits)}: too large to search exhaustively (at most"
            f" {MOST_EXHAUSTIVE[0]}); use --search pct or --search random"
        )
    if exhaustive and sum(happenings.values()) > MOST_EXHAUSTIVE[1]:
        raise WrongCommand(
            f"--faults {choices.faults}: too many to search exhaustively (at most"
            f" {MOST_EXHAUSTIVE[1]} in all); use --search pct or --search random"
        )
    uses_redis = find(picked[0].name).uses_redis
    persistence = _persistence(choices.persistence, uses_redis=uses_redis)
    return SmallWorld(
        strategy=picked[0].name,
        options=dict(picked[0].options),
        visits=visits,
        capacity=choices.capacity,
        happenings=happenings,
        persistence=persistence,
        database=choices.database,
        isolation=cast("Isolation", choices.isolation),
    )


def _refuse_bounds(choices: ExploreChoices) -> None:
    for option, value in (("--depth", choices.depth), ("--preemptions", choices.preemptions)):
        if value is not None:
            raise WrongCommand(
                f"{option} {value}: bounds an exhaustive search, not samples; leave it out, or use"
                " --search exhaustive"
            )


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written before the search, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> WrongCommand:
    return WrongCommand(f"--out {out}: cannot be written: {error.strerror}; name a folder that can")


def _persistence(text: str | None, *, uses_redis: bool) -> Persistence | None:
    if text is None:
        return Persistence.NONE if uses_redis else None
    check_names("--persistence", [text], Persistence)
    return Persistence(text) if uses_redis else None


def _visits(choices: ExploreChoices) -> tuple[str, ...]:
    if choices.visits is None:
        return ("pay",) * (choices.buyers or TWO)
    visits = tuple(piece.strip() for piece in choices.visits.split(","))
    for visit in visits:
        check_names("--visits", visit.replace(">", "+").split("+"), CALLS)
    if choices.buyers not in {None, len(visits)}:
        raise WrongCommand(
            f"--buyers {choices.buyers}: --visits says what {len(visits)} buyers do; leave"
            " --buyers out, or name a visit for each"
        )
    return visits


def _happenings(text: str | None) -> dict[str, int]:
    """Read `redis-kill,lost-reply:2`."""
    if text is None or text.strip() == "none":
        return {}
    found: dict[str, int] = {}
    for piece in parse_names("--faults", text):
        name, colon, count = piece.partition(":")
        check_names("--faults", [name], EVENTS)
        if colon and not (count.isdecimal() and int(count)):
            raise WrongCommand(f"--faults: {piece!r}: write {name}:2 for two of them")
        found[name] = int(count) if colon else 1
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    small: SmallWorld
    how: str
    seed: int
    first: int
    seconds: float
    twice: bool


def _draw(chunk: _Chunk) -> Exploration:
    """Draw one worker's chunk of schedules."""
    bounds = Bounds(seconds=chunk.seconds)
    return Sampling(
        chunk.small,
        bounds,
        how=chunk.how,
        seed=chunk.seed,
        schedules=CHUNK,
        first=chunk.first,
        twice=chunk.twice,
    ).run()


def search(small: SmallWorld, choices: ExploreChoices) -> Exploration:
    """Search as asked; `auto` searches exhaustively and, if time runs out, samples.

    Raises:
        NotDeterministic: the same choices led elsewhere.
    """
    how, budget_s = choices.search, choices.budget_s
    large = len(small.visits) > MOST_EXHAUSTIVE[0]
    if how in SAMPLES or (how == "auto" and large):
        return _sample(small, choices, "pct" if how == "auto" else how, budget_s)
    share = EXHAUSTIVE_SHARE if how == "auto" else 1.0
    bounds = Bounds(
        depth=choices.depth,
        preemptions=choices.preemptions,
        seconds=share * budget_s,
        share=f"{share:.0%} of the budget of {budget_s:g} s, the rest is for samples"
        if share < 1.0
        else "",
    )
    histories = any(name in choices.required for name in ORDERED)
    jobs = choices.jobs or idle_cores()
    crew = partial(ProcessCrew, jobs, Walker, small=small, reduce=True, histories=histories)
    with interrupts.patiently(BETWEEN_MOVES):
        found = Search(
            small,
            bounds,
            twice=choices.twice,
            histories=histories,
            until=_go_on,
            crew=crew if jobs > 1 else None,
        ).run()
    if how == "exhaustive" or found.complete or found.cut in {INTERRUPTED, SWEPT_ALONG}:
        return found
    for other in ("pct", "random"):
        more = _sample(small, choices, other, (1.0 - share) / 2 * budget_s)
        found.add(more)
        if more.cut == INTERRUPTED:
            found.cut = INTERRUPTED
            break
    return found


def idle_cores() -> int:
    """How many processors nobody has used in the last minute, but one at least.

    On a busy machine a crew costs more than it wins; what is found does not depend on it.
    """
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # not on Windows
    return max(1, cores() - round(busy))


def _go_on(_found: Exploration) -> bool:
    """Never end early, but hear an interruption between two moves, where it breaks nothing."""
    interrupts.check()
    return False


def _sample(small: SmallWorld, choices: ExploreChoices, how: str, seconds: float) -> Exploration:
    """Draw schedules on all processes until the budget is spent."""
    began = time.perf_counter()
    found = Exploration(world=small, search=how, cut=f"{how} search: a sample of schedules")
    jobs = choices.jobs or cores()

    def chunks() -> Any:
        first = 0
        while (left := seconds - (time.perf_counter() - began)) > 0:
            yield _Chunk(
                small=small,
                how=how,
                seed=choices.seed,
                first=first,
                seconds=left,
                twice=choices.twice,
            )
            first += CHUNK

    try:
        with Workers(jobs) as workers:
            for part in workers.each(_draw, chunks()):
                found.add(part)
    except KeyboardInterrupt:
        found.cut = INTERRUPTED
    found.seconds = time.perf_counter() - began
    return found


def _tell(found: Exploration, choices: ExploreChoices) -> tuple[list[Told], bool]:
    """Shrink and store a counterexample for each violated invariant, unless interrupted."""
    told: list[Told] = []
    heard = found.cut == INTERRUPTED  # then this much is still wanted; a second request ends it
    try:
        with interrupts.patiently(BETWEEN_MOVES):
            for name in EXPLORED:
                breach = found.breaches.get(name)
                if breach is None:
                    continue
                executions = Executions(found.world, reduce=breach.reduced)
                schedule = executions.expand(breach.schedule)
                executions.close()
                pulse = _pass if heard else interrupts.check
                example = Shrinker(name, pulse=pulse).shrink(found.world, schedule)
                told.append(Told(found=example, trace=_store(example, choices.out)))
    except KeyboardInterrupt:
        return told, False
    return told, True


def _pass() -> None:
    """Go on."""


def _store(example: Counterexample, out: Path) -> Path:
    """Write trace and diagrams.

    Raises:
        WrongCommand: the folder cannot be written.
    """
    options = "".join(f"-{value}" for value in example.world.options.values())
    stem = f"{example.world.strategy}{options}-{example.invariant}"
    folder = out / "explored"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trace = folder / f"{stem}.json"
        trace.write_text(trace_text(example), encoding="utf-8")
        (folder / f"{stem}.mmd").write_text(mermaid(example), encoding="utf-8")
        (folder / f"{stem}.svg").write_text(svg(example), encoding="utf-8")
    except OSError as error:
        raise _unwritable(out, error) from error
    return trace
