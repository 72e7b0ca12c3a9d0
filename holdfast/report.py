"""The text of a comparison: what ran, the matrix, one sentence a strategy, the stories."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from holdfast.comparison import CompareResult
from holdfast.experiment import Cell
from holdfast.findings import findings
from holdfast.json_output import replay_command
from holdfast.matrix import database_lines, number_lines, verdict_lines
from holdfast.shrink import buyers_of
from holdfast.stories import Story, StoryLine
from holdfast.terminal import fold, put, width
from holdfast.wording import at
from model.database import SQLITE, shown
from properties.telling import counted


def print_comparison(
    result: CompareResult,
    console: Console,
    *,
    preface: Iterable[str] = (),
    repeatable: bool = True,
) -> None:
    """Print everything, in the order in which it is read.

    `preface` are sentences for below the heading. What is not `repeatable` has no replay command:
    its stories name the stored history instead.
    """
    wide = width(console)
    for line in _heading(result, wide):
        put(console, line)
    for sentence in preface:
        for line in fold(sentence, wide):
            put(console, line)
    sections: list[tuple[str, Iterable[Text | str]]] = [
        ("Verdicts", verdict_lines(result.cells, wide)),
        ("Per run (mean, ± half its 95 % interval)", number_lines(result.cells, wide)),
        ("What it says", _wrapped(findings(result.cells, repeatable=repeatable), wide)),
    ]
    if not any(cell.runs for cell in result.cells):
        put(console)
        put(console, "No run was finished: nothing can be said.")
        return
    if result.experiment.database != SQLITE and repeatable:
        title = "The database, per run (mean, ± half its 95 % interval)"
        sections.insert(2, (title, database_lines(result.cells, wide)))
    if result.stories or result.untold:
        title = "the smallest failing run found" if repeatable else "the first failing run"
        stories = _stories(result, wide, repeatable=repeatable)
        sections.append((f"Stories: {title}", stories))
    for title, lines in sections:
        put(console)
        put(console, Text(title, style="bold underline"))
        for line in lines:
            put(console, line)


def _heading(result: CompareResult, wide: int) -> Iterator[Text | str]:
    experiment = result.experiment
    scenario = experiment.scenario
    sells = "tickets" if scenario.sale.kind.value == "general" else "seats"
    yield Text(
        f"{scenario.name}: {scenario.summary}" if scenario.summary else scenario.name, "bold"
    )
    yield from fold(
        f"{counted(buyers_of(scenario), 'buyer')} for {scenario.sale.capacity} {sells}, holds of "
        f"{scenario.hold.ttl_s:g} s, database {shown(experiment.database)}; "
        f"seed {experiment.seed}, {counted(experiment.runs, 'run')} a cell, the same seeds in "
        "every cell",
        wide,
    )
    if result.cut_short:
        done = [len(cell.runs) for cell in result.cells]
        told = (
            f"PARTIAL: {result.cut_short}; {sum(done)} of {experiment.runs * len(done)} runs are "
            f"finished, {min(done)} to {max(done)} a cell"
        )
        for line in fold(told, wide):
            yield Text(line, style="bold yellow")


def _stories(result: CompareResult, wide: int, *, repeatable: bool) -> Iterator[Text | str]:
    told: dict[tuple[int, tuple[StoryLine, ...]], str] = {}
    for story in result.stories:
        before = told.setdefault((story.cell, story.lines), story.invariant)
        cell = result.cells[story.cell].cell
        yield from _story(story, cell, wide, before, repeatable=repeatable)
    for invariant, why in result.untold.items():
        yield Text.assemble((invariant, "bold"), f": no story: {why.strip().splitlines()[-1]}")


def _story(
    story: Story, cell: Cell, wide: int, told_under: str, *, repeatable: bool
) -> Iterator[Text | str]:
    """One story; the same events that another invariant's story has told are not told again."""
    fault = "with no fault" if cell.fault == "none" else f"under {cell.fault}"
    mode = "" if cell.persistence is None else f", persistence {cell.persistence.value}"
    world = f"{story.buyers} buyer{'s' if story.buyers > 1 else ''}, capacity {story.capacity}"
    if story.small:
        world += f" (shrunk from {story.from_buyers} and {story.from_capacity})"
    elif repeatable:
        world += " (no smaller failing run was found)"
    yield Text.assemble(
        (story.invariant, "bold"),
        (" VIOLATED ", "bold red"),
        f"by {cell.strategy.title} {fault}{mode}",
    )
    yield f"  {world}, seed {story.seed}"
    if told_under == story.invariant:
        yield from _lines(story, wide)
    else:
        yield f"  told above, under {told_under}"
    for row in fold(story.conclusion, wide, first="  => "):
        yield Text(row, style="bold")
    yield f"  {replay_command(story.path)}" if repeatable else f"  history {story.path}"
    yield ""


def _lines(story: Story, wide: int) -> Iterator[Text | str]:
    if story.left_out:
        yield f"  ... {story.left_out} earlier operations are left out"
    wide_at = max((len(at(line.at_s)) for line in story.lines), default=0)
    wide_who = max((len(line.actor) for line in story.lines), default=0)
    for line in story.lines:
        head = f"  {at(line.at_s):>{wide_at}}  {line.actor or '***':<{wide_who}}  "
        for row in fold(line.text, wide, first=head):
            yield Text(row, style="" if line.actor else "magenta")


def _wrapped(sentences: Iterable[str], wide: int) -> Iterator[str]:
    for sentence in sentences:
        yield from fold(sentence, wide, first="- ")
