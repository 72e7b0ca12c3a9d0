"""The matrix fits the terminal, says every verdict in a short word, and bounds every zero."""

from dataclasses import replace

import pytest

from holdfast.findings import findings
from holdfast.matrix import database_lines, number_lines, verdict_lines
from properties.judge import INVARIANTS
from properties.statistics import zero_bound_95
from tests.holdfast.made_up import MakeResults, MakeRun


def text(lines: list[object]) -> str:
    """Join lines as they are printed."""
    return "\n".join(str(line) for line in lines)


def row(printed: str, label: str) -> list[str]:
    """Return the values of the row with this label."""
    line = next(line for line in printed.splitlines() if line.startswith(f"  {label}"))
    return line.removeprefix(f"  {label}").split()


def test_verdicts_are_short_words(judged: MakeRun, results: MakeResults) -> None:
    """Violated in k of n, holds, holds where it could be told, and a question mark."""
    runs = [
        judged(0, ("no-overbooking",), unclear=("seat-sold-once", "no-leak", "orders-durable")),
        judged(1, (), unclear=("seat-sold-once", "orders-durable")),
        judged(2, ("no-overbooking",)),
        judged(3),
    ]
    other = [judged(run) for run in range(4)]
    printed = text(verdict_lines(results({"db-cart/none/-": runs, "db-derived/none/-": other}), 80))
    words = row(printed, "no fault")
    assert words[:5] == ["2/4", "holds", "holds", "holds", "ok"]
    assert words[5:8] == ["3", "holds", "ok"]
    assert "INCONCLUSIVE in every cell: seat-sold-once" in printed
    bound = f"{100 * zero_bound_95(4):.1f} %"
    assert f"holds  HOLDS in 4 of 4 runs: breaks at most {bound} of runs (95 %)" in printed
    assert "VIOLATED in k of the n runs that could tell" in printed
    assert "95 % intervals: 2/4 7-93 %" in printed  # Clopper-Pearson, from tables


def test_short_headings_have_their_key(judged: MakeRun, results: MakeResults) -> None:
    """Under the matrix stands what its columns are, in their order."""
    runs = [judged(run, unclear=("seat-sold-once",)) for run in range(2)]
    printed = text(verdict_lines(results({"db-cart/none/-": runs}), 200))
    (key,) = [line for line in printed.splitlines() if line.startswith("cols   ")]
    names = key.removeprefix("cols   ").split(", ")
    assert names == [name for name in INVARIANTS if name != "seat-sold-once"]


def test_columns_that_do_not_fit_are_named(judged: MakeRun, results: MakeResults) -> None:
    """A narrow terminal says what it leaves out and where it is; a wide one leaves out nothing."""
    measured = dict.fromkeys(
        (
            "broken_promises",
            "overheld_tickets",
            "leaked_tickets",
            "sold_tickets",
            "refunds",
            "hold_latency_ms_p99",
            "db_statements_per_buyer",
        ),
        1000.0,
    )
    cells = results({"db-cart/none/-": [judged(run, **measured) for run in range(3)]})
    narrow = text(number_lines(cells, 80))
    assert "too wide for 80 columns, in --format json: " in narrow
    assert "SQL per buyer" in " ".join(narrow.split())
    assert "too wide" not in text(number_lines(cells, 200))


def test_what_cannot_be_told_is_a_question_mark(judged: MakeRun, results: MakeResults) -> None:
    """An invariant that one cell could judge and another could not is never left blank."""
    unclear = [judged(run, unclear=("no-leak",)) for run in range(2)]
    clear = [judged(run, unclear=()) for run in range(2)]
    cells = results({"db-cart/none/-": unclear, "db-derived/none/-": clear})
    printed = text(verdict_lines(cells, 80))
    assert row(printed, "no fault").count("?") == 1
    assert "?      INCONCLUSIVE" in printed


def test_many_runs_are_told_in_percent(judged: MakeRun, results: MakeResults) -> None:
    """From a hundred runs on k/n does not fit, and rare violations do not round to nothing."""
    runs = [judged(run, ("no-leak",) if run == 0 else ()) for run in range(250)]
    runs = [
        replace(
            run,
            verdicts={
                **run.verdicts,
                "no-overbooking": judged(0, ("no-overbooking",)).verdicts["no-overbooking"],
            },
        )
        if run.run < 50
        else run
        for run in runs
    ]
    printed = text(verdict_lines(results({"db-cart/none/-": runs}), 80))
    assert "20 %" in printed
    assert "<1 %" in printed


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize(
    "fault", ["none", "redis-power-loss", "redis-power-loss+slow-fsync+payment-timeout"]
)
def test_every_line_fits(judged: MakeRun, results: MakeResults, width: int, fault: str) -> None:
    """Columns are left out, by name, or labels nested; nothing is cut and nothing wraps."""
    runs = [
        judged(
            run, ("no-overbooking",), (), overbooked_tickets=150.0 * run, db_reclaim_s=99.0 * run
        )
        for run in range(9)
    ]
    cells = results(
        {f"redis-hold-read-check/{fault}/aof-everysec": runs, f"db-cart/{fault}/-": runs}
    )
    asked = database_lines(cells, width)
    left_out = " ".join(text(asked).partition("too wide")[2].split())
    assert ("sweeps" in str(asked[0])) != ("sweeps ms" in left_out)
    for lines in (verdict_lines(cells, width), number_lines(cells, width), asked):
        assert max(len(str(line)) for line in lines) <= width
        assert "aof-everysec" in text(lines)


def test_a_wide_terminal_shows_intervals_and_bounds(judged: MakeRun, results: MakeResults) -> None:
    """Zero violated runs are printed with the rate that could still hide; others with theirs."""
    never = [judged(run) for run in range(20)]
    often = [judged(run, ("no-overbooking",) if run < 17 else ()) for run in range(20)]
    printed = text(
        number_lines(results({"db-cart/none/-": never, "redis-hold/redis-kill/none": often}), 120)
    )
    assert "0/20 (<= 13.9 %)" in printed
    assert "17/20 (62-97 %)" in printed


def test_each_strategy_is_summed_up_in_a_sentence(judged: MakeRun, results: MakeResults) -> None:
    """What broke, where, how often, and how much more than without the fault."""
    quiet = [judged(run, broken_promises=0.0) for run in range(4)]
    hit = [judged(run, ("no-overbooking",), overbooked_tickets=12.0 + run % 2) for run in range(4)]
    said = findings(
        results(
            {
                "redis-hold/none/none": quiet,
                "redis-hold/redis-kill/none": hit,
                "db-cart/none/-": quiet,
                "db-derived/none/-": quiet,
            }
        )
    )
    assert said[0].startswith(
        "redis-hold overbooks under redis-kill/none (4/4 runs, 40-100 %; 12.5 "
    )
    assert said[1] == (
        "db-cart, db-derived: no violation seen; 4 runs a cell leave room for 52.7 % of runs "
        "(95 %)."
    )


def test_nothing_is_called_safe_when_nothing_could_be_told(
    judged: MakeRun, results: MakeResults
) -> None:
    """A cell without conclusive runs, or without runs, has no good news."""
    assert findings(results({"db-cart/none/-": []})) == ["db-cart: no run was finished."]
    quiet = [judged(0, unclear=tuple(INVARIANTS))]
    assert findings(results({"db-cart/none/-": quiet})) == ["db-cart: too little happened to tell."]


def test_a_fault_that_never_struck_is_named(judged: MakeRun, results: MakeResults) -> None:
    """How to see the crossings there were is said where a history can be replayed."""
    run = replace(judged(0), witnesses={"fault-struck": 0})
    idle = results({"db-cart/redis-kill/-": [run]})
    says = "redis-kill struck in 0 of 1 run: look at its times and crossings"
    assert findings(idle)[0].startswith(f"{says} (`holdfast replay")
    assert findings(idle, repeatable=False)[0] == f"{says}."


def test_a_bound_is_that_of_the_runs_that_could_tell(judged: MakeRun, results: MakeResults) -> None:
    """The invariant that was judged least has the weakest one; a cell without a run has none."""
    some = [judged(0), judged(1, unclear=("no-leak",)), judged(2, unclear=("no-leak",))]
    (said,) = findings(results({"db-cart/none/-": some}))
    assert said == (
        "db-cart: no violation seen; 3 runs a cell, of which at least 1 could tell, which leaves"
        " room for 95.0 % of runs (95 %)."
    )
    assert findings(results({"db-cart/none/-": some, "db-cart/redis-kill/-": []})) == [
        "db-cart: no violation seen, but not every cell has a run."
    ]
