"""`holdfast explore`, as a user calls it."""

import json
import signal
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdfast import explore, interrupts
from holdfast.cli import app
from holdfast.crew import ProcessCrew
from holdfast.sequence.table import table
from model.exploring.small_world import SmallWorld
from model.exploring.turn import Turn
from model.exploring.world import World
from properties.exploration.ahead import Walker
from properties.exploration.execution import Executions
from properties.exploration.exhaustive import Search
from properties.exploration.shrinking import Counterexample, Shrinker
from properties.judge import INVARIANTS
from tests.properties.exploration.crews import everything


def call(*arguments: str, columns: int = 80) -> tuple[int, str, str]:
    """Run a command; returns exit status, standard output, standard error."""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})
    return result.exit_code, result.stdout, result.stderr


def test_a_good_strategy_is_searched_wholly(tmp_path: Path) -> None:
    """The JSON of a complete search: complete, counted, holding; exit 0 with what is required."""
    code, printed, _ = call(
        "explore", "db-cart", "--format", "json", "--require", "no-overbooking",
        "--out", str(tmp_path),
    )  # fmt: skip
    answer = json.loads(printed)
    assert code == 0
    assert answer["command"] == "explore"
    assert answer["complete"]
    assert answer["status"] == "holds"
    assert answer["states"] > answer["schedules"] > 1
    assert answer["invariants"]["no-overbooking"]["status"] == "holds"
    assert answer["story"] == []
    assert answer["replay"] is None


@pytest.mark.parametrize("columns", [80, 120])
def test_a_counterexample_is_told_at_any_width(tmp_path: Path, columns: int) -> None:
    """The table fits, the turns that matter are marked, the last line is the replay; exit 1."""
    code, printed, _ = call(
        "explore", "db-cart-naive", "--require", "no-overbooking", "--out", str(tmp_path),
        columns=columns,
    )  # fmt: skip
    lines = printed.splitlines()
    assert code == 1
    assert "no-overbooking VIOLATED: event 1 sold 2 tickets of 1" in printed
    assert all(len(line) <= columns for line in lines if not line.startswith("holdfast replay"))
    for mark in "①②③":
        assert sum(line.startswith(mark) for line in lines) >= 2  # in words, and in the table
    folder = tmp_path / "explored"
    assert (folder / "db-cart-naive-no-overbooking.mmd").read_text().startswith("sequenceDiagram")
    picture = (folder / "db-cart-naive-no-overbooking.svg").read_text()
    assert picture.startswith("<svg")
    assert picture.rstrip().endswith("</svg>")
    assert picture.count("<rect") == picture.count("rx=") + 1
    for mark in "①②③":
        assert mark in picture


def test_the_same_events_are_told_once(tmp_path: Path) -> None:
    """Three invariants break in one story: its table is printed under the first of them."""
    code, printed, _ = call("explore", "redis-hold-racy", "--out", str(tmp_path))
    assert code == 0
    assert printed.count("VIOLATED: ") == 3
    assert printed.count("told above, under no-overbooking") == 2
    assert printed.count("=> B pays for 1 ticket: order 2") == 1
    assert printed.count("holdfast replay ") == 3
    assert "QUEUED" not in printed  # of a transaction, what EXEC answered


def test_a_table_of_six_buyers_fits() -> None:
    """Six buyers and what strikes, in 80 columns: no line is wider, no actor is left out."""
    small = SmallWorld(
        strategy="redis-hold-blind", visits=("leave",) * 6, happenings={"redis-kill": 1}
    )
    executions = Executions(small, reduce=False)
    world = executions.fresh()
    world.take("redis-kill")
    while not world.over:
        world.take(world.choices()[0])
    turns, history = tuple(world.turns), world.settle()
    world.close()
    executions.close()
    example = Counterexample(
        world=small,
        invariant="no-overhold",
        schedule=tuple(turn.choice for turn in turns),
        turns=turns,
        history=history,
        violation=INVARIANTS["no-overhold"].check(history).violations[0],
    )
    lines = table(example, 80)
    assert max(map(len, lines)) <= 80
    assert "".join(lines[0].split()) == "ABCDEFwhat"
    assert lines[1].split() == ["strikes"]
    assert sum("=> F" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explore", "redis-hld"], "did you mean 'redis-hold'"),
        (["explore", "db-cart", "--buyers", "9"], "1 to 6"),
        (["explore", "db-cart", "--buyers", "6", "--search", "exhaustive"], "--search pct"),
        (["explore", "db-cart", "--faults", "redis-kill"], "no Redis"),
        (["explore", "redis-hold", "--faults", "redis-kil"], "did you mean 'redis-kill'"),
        (["explore", "redis-hold", "--faults", "redis-kill:x"], "redis-kill:2"),
        (["explore", "db-cart", "--visits", "pey"], "did you mean 'pay'"),
        (["explore", "db-cart", "--visits", "pay,pay", "--buyers", "3"], "for each"),
        (["explore", "db-cart", "--preemptions", "-1"], "0 or more"),
        (["explore", "db-cart", "--search", "all"], "allowed: auto"),
        (["explore", "db-cart", "--db", "oracle"], "allowed: sqlite"),
        (["explore", "redis-hold", "--persistence", "aof"], "aof-always"),
        (["explore", "db-cart", "--require", "luck"], "unknown"),
        (["explore", "db-cart,db-derived"], "name one"),
        (["explore", "db-cart", "--search", "pct", "--depth", "9"], "--depth 9: bounds"),
        (["explore", "db-cart", "--search", "random", "--preemptions", "1"], "--preemptions 1"),
        (["explore", "db-cart", "--out", __file__], "name a folder that can"),
    ],
)
def test_wrong_input_is_one_message(arguments: list[str], said: str) -> None:
    """Exit 2; the place, the value and the repair; nothing on standard output."""
    code, printed, complaint = call(*arguments)
    assert code == 2
    assert not printed
    assert said in complaint


@pytest.mark.parametrize(
    "bounds", [("--preemptions", "2"), ("--preemptions", "2", "--depth", "60")]
)
def test_what_a_search_with_bounded_preemptions_finds_is_told(
    tmp_path: Path, bounds: tuple[str, ...]
) -> None:
    """Its moves are single crossings, also where nothing could strike inside a transaction."""
    code, printed, complaint = call(
        "explore", "db-cart-naive", *bounds, "--require", "no-overhold", "--search", "exhaustive",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 1, complaint
    assert "no-overhold VIOLATED" in printed
    (trace,) = (tmp_path / "explored").glob("*no-overhold.json")
    code, printed, _ = call("replay", str(trace))
    assert code == 0
    assert "reproduced byte for byte" in printed


def test_a_cut_search_is_inconclusive(tmp_path: Path) -> None:
    """A search that could not finish never passes: exit 3."""
    code, printed, _ = call(
        "explore", "db-cart", "--buyers", "3", "--search", "exhaustive", "--depth", "4",
        "--require", "no-overbooking", "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 3
    assert "CUT" in printed


def test_ctrl_c_tells_what_was_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted search prints what it has and exits 3."""
    check = Search._check

    def interrupted(search: Search) -> None:
        if search.found.states > 8:
            raise KeyboardInterrupt
        check(search)

    monkeypatch.setattr(Search, "_check", interrupted)
    code, printed, _ = call("explore", "db-cart", "--out", str(tmp_path))
    assert code == 3
    assert "CUT" in printed
    assert "interrupted" in printed


def test_ctrl_c_while_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was searched: that is said, and it is no verdict either; exit 3."""
    monkeypatch.setattr(interrupts, "_asked", [signal.SIGINT])
    code, printed, complaint = call("explore", "db-cart", "--out", str(tmp_path))
    assert code == 3
    assert not printed
    assert complaint == "holdfast: interrupted: nothing was covered yet\n"


def test_ctrl_c_waits_for_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """While options are read and modules imported a first request is kept; a second one is not."""
    monkeypatch.setattr(interrupts, "_asked", [])
    monkeypatch.setattr(interrupts, "_starting", [])
    interrupts.wait_for_the_command()
    interrupts._interrupt(signal.SIGINT, None)
    interrupts.command_begins()
    with pytest.raises(KeyboardInterrupt):
        interrupts.check()
    interrupts.wait_for_the_command()
    with pytest.raises(KeyboardInterrupt):
        interrupts._interrupt(signal.SIGINT, None)


def test_auto_speaks_of_the_budget_that_was_given(tmp_path: Path) -> None:
    """The exhaustive search has a share of it, and says so."""
    code, printed, _ = call(
        "explore", "redis-hold-racy", "--buyers", "4", "--budget", "0.5", "--jobs", "1",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 3
    assert "cut: 60% of the budget of 0.5 s, the rest is for samples" in printed.replace("\n", " ")


def test_ctrl_c_waits_for_the_end_of_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never strikes within the code under test, which might swallow it and go another way."""
    take, moves = World.take, count(1)

    def struck(world: World, choice: str, *, whole: bool = False) -> Turn:
        if next(moves) == 40:
            try:
                interrupts._interrupt(signal.SIGINT, None)
            except KeyboardInterrupt as error:
                raise AssertionError("in the middle of a move") from error
        return take(world, choice, whole=whole)

    monkeypatch.setattr(interrupts, "_asked", [])
    monkeypatch.setattr(World, "take", struck)
    code, printed, _ = call(
        "explore", "db-cart", "--buyers", "3", "--jobs", "1", "--out", str(tmp_path)
    )
    assert code == 3
    assert "cut: interrupted" in printed


def test_two_processes_find_what_one_finds() -> None:
    """Real processes, from the first node on: all is the same, and they are gone at the end."""
    small = SmallWorld(strategy="redis-hold", visits=("pay", "leave"), happenings={"redis-kill": 1})
    crew = ProcessCrew(2, Walker, small=small, reduce=True, histories=False)
    processes = list(crew._processes)
    deadline = time.monotonic() + 60.0
    while not crew.ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    together = Search(small, crew=lambda: crew, alone_s=0.0).run()
    assert everything(together) == everything(Search(small).run())
    assert together.breaches
    assert not any(process.is_alive() for process in processes)


def test_a_dead_worker_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed in the middle ends the search with the repair."""
    started = []

    def doomed(*arguments: Any, **more: Any) -> ProcessCrew:
        started.append(ProcessCrew(*arguments, **more))
        started[0]._processes[1].kill()
        return started[0]

    monkeypatch.setattr(explore, "ProcessCrew", doomed)
    monkeypatch.setitem(Search.__init__.__kwdefaults__, "alone_s", 0.0)
    code, printed, complaint = call(
        "explore", "db-cart-naive", "--faults", "lost-reply", "--jobs", "2", "--out", str(tmp_path)
    )
    assert code != 0
    assert not printed
    assert "--jobs 1" in complaint
    assert not started[0]._processes


def test_a_short_search_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends within a moment is not made slower by starting a crew."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a crew for a search that takes a moment")

    monkeypatch.setattr(explore, "ProcessCrew", refused)
    code, printed, _ = call("explore", "db-cart", "--jobs", "2", "--out", str(tmp_path))
    assert code == 0
    assert "COMPLETE" in printed


@pytest.mark.parametrize(("load", "jobs"), [(0.2, 4), (1.6, 2), (9.0, 1)])
def test_a_busy_machine_gets_no_crew(
    monkeypatch: pytest.MonkeyPatch, load: float, jobs: int
) -> None:
    """Unless `--jobs` says otherwise, only processors that nobody else uses are taken."""
    monkeypatch.setattr(explore, "cores", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert explore.idle_cores() == jobs


def test_what_is_required_is_judged_in_every_order(tmp_path: Path) -> None:
    """`--require linearizable` tells the orders of calls apart, so that it can hold."""
    common = ("explore", "db-cart", "--format", "json", "--out", str(tmp_path))
    code, printed, _ = call(*common, "--require", "linearizable")
    told, answer = json.loads(printed), json.loads(call(*common)[1])
    assert code == 0
    assert told["histories"]
    assert told["invariants"]["linearizable"]["status"] == "holds"
    assert told["states"] > answer["states"]
    assert answer["invariants"]["linearizable"]["status"] == "inconclusive"
    assert "--require linearizable" in answer["invariants"]["linearizable"]["reason"]


def test_ctrl_c_while_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while it shrinks, it prints what the search found all the same; exit 3."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Shrinker, "shrink", interrupted)
    code, printed, complaint = call("explore", "db-cart-naive", "--out", str(tmp_path))
    assert code == 3
    assert "no-overbooking   VIOLATED" in printed
    assert "not every counterexample was shrunk" in complaint


def test_samples_on_two_processes(tmp_path: Path) -> None:
    """PCT on two processes finds the race, and says that it is a sample."""
    code, printed, _ = call(
        "explore", "redis-hold-racy", "--search", "pct", "--budget", "4", "--jobs", "2",
        "--format", "json", "--require", "no-overbooking", "--out", str(tmp_path),
    )  # fmt: skip
    answer = json.loads(printed)
    assert code == 1
    assert not answer["complete"]
    assert answer["replay"].startswith("holdfast replay ")
