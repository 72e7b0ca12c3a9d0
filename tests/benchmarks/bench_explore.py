"""How fast small worlds are searched: one seat, SET NX hold with checkout, 2 to 5 buyers.

Prints schedules and states a second, what the reductions save (moves and time of the search without
them, as far as `UNREDUCED_S` goes), what a second process saves, and, if it is installed, how long
frontrun takes for the same code. Fails if a promise is broken.
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.crew import ProcessCrew
from holdfast.workers import cores
from model.exploring.small_world import SmallWorld
from properties.exploration.ahead import Walker
from properties.exploration.exhaustive import Bounds, Search
from properties.exploration.finding import Exploration

MOST_BUYERS = 5
UNREDUCED_S = 30.0
WITHIN_S = 10.0  # the promise for four buyers
TIMES_FASTER = 50.0  # the promise at three buyers, beside frontrun
FRONTRUN_S = 60.0
FRONTRUN_GRACE_S = 20.0  # to end by itself when its time is up
ROOT = Path(__file__).parents[2]


def world(buyers: int) -> SmallWorld:
    """One seat, and so many who want it and pay."""
    return SmallWorld(strategy="seat-setnx", visits=("pay",) * buyers)


def line(buyers: int, found: Exploration, whole: Exploration) -> str:
    """One row of the table."""
    moves, unreduced = found.turns + found.replayed, whole.turns + whole.replayed
    at_least = ">" if whole.cut else " "
    return (
        f"{buyers:>6} {'complete' if found.complete else found.cut:>9} {found.seconds:>8.2f} s"
        f" {found.schedules:>9} {found.states:>7} {found.schedules / found.seconds:>11.0f}"
        f" {found.states / found.seconds:>8.0f} {at_least}{unreduced / moves:>8.1f}"
        f" {at_least}{whole.seconds / found.seconds:>7.1f}"
    )


def ours() -> dict[int, float]:
    """Search for each number of buyers; returns the seconds each took."""
    print(
        f"{'buyers':>6} {'search':>9} {'time':>10} {'schedules':>9} {'states':>7}"
        f" {'schedules/s':>11}"
        f" {'states/s':>8} {'moves x':>9} {'time x':>8}"
    )
    took_s = {}
    for buyers in range(2, MOST_BUYERS + 1):
        found = Search(world(buyers)).run()
        whole = Search(world(buyers), Bounds(seconds=UNREDUCED_S), reduce=False).run()
        print(line(buyers, found, whole), flush=True)
        took_s[buyers] = found.seconds
        if not found.complete or (buyers == 4 and found.seconds > WITHIN_S):
            raise SystemExit(
                f"{buyers} buyers: {found.seconds:.1f} s, {found.cut or 'complete'}; promised:"
                f" complete, and at 4 buyers within {WITHIN_S:g} s"
            )
    return took_s


def together(alone_s: float) -> None:
    """The largest world once more, on as many processes as there are processors."""
    small, jobs = world(MOST_BUYERS), cores()
    crew = partial(ProcessCrew, jobs, Walker, small=small, reduce=True, histories=False)
    found = Search(small, crew=crew).run()
    print(
        f"{MOST_BUYERS} buyers with --jobs {jobs}: {found.seconds:.2f} s,"
        f" {alone_s / found.seconds:.2f} times as fast; the first 2 s are always on one"
    )


def beside(frontrun: Path, buyers: int) -> dict[str, Any]:
    """How frontrun fares with the same code, in `FRONTRUN_S` seconds."""
    module = "tests.benchmarks.beside_frontrun"
    command = [str(frontrun), sys.executable, "-m", module, str(buyers), str(FRONTRUN_S)]
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, _ = process.communicate(timeout=FRONTRUN_S + FRONTRUN_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its redis-server
            out, _ = process.communicate()
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        took_s = time.perf_counter() - began
        return {"seconds": took_s, "executions": None, "ended": "time limit"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def compare_with_frontrun(took_s: dict[int, float]) -> None:
    """Print frontrun's times beside ours."""
    frontrun = Path(sys.executable).with_name("frontrun")
    if not frontrun.exists():
        print("beside it: frontrun is not installed; pip install 'holdfast[bench]'")
        return
    print("beside it, frontrun on the same code (real threads, a real Redis, SQLite on disk):")
    for buyers in (2, 3):
        found = beside(frontrun, buyers)
        cut = found["ended"] == "time limit"
        its_s = FRONTRUN_S if cut else float(found["seconds"])
        times = its_s / took_s[buyers]
        shown = f">{FRONTRUN_S:g} s" if cut else f"{its_s:.1f} s"
        done = "" if found["executions"] is None else f", {found['executions']} executions"
        print(
            f"{buyers:>6} buyers: {shown}{done}, {found['ended']}; ours is"
            f" {'more than ' if cut else ''}{times:.0f} times as fast",
            flush=True,
        )
        if buyers == 3 and times < TIMES_FASTER and found["ended"] in {"done", "time limit"}:
            raise SystemExit(f"promised: {TIMES_FASTER:g} times as fast as frontrun at 3 buyers")


def main() -> None:
    """Measure and print."""
    took_s = ours()
    if cores() > 1:
        together(took_s[MOST_BUYERS])
    compare_with_frontrun(took_s)


if __name__ == "__main__":
    main()
