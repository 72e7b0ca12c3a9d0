"""A counterexample in plain words: what was answered to whom, what struck, and which turns matter.

The turns that matter are two or three: what somebody had learned before others moved (or the hold
that a strike wiped out), what made it untrue, and the move that relied on it all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.exploring.small_world import EVENTS
from model.exploring.touching import conflict
from model.exploring.turn import GROUP, Turn
from model.history import Operation, Outcome
from properties.exploration.shrinking import Counterexample

MARKS = "①②③"
WAITS = "waits for "  # a statement that was not answered in its turn
WORLD = ""  # the column of what is nobody's move
_OPENED = "b'OK'; b'QUEUED'"  # what the commands of a MULTI are answered before its EXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One entry of the table: who, what, and its mark if it matters."""

    actor: str
    text: str
    mark: str = ""
    answer: str = ""  # what was answered to the buyer here


def actors_of(found: Counterexample) -> list[str]:
    """Everybody who moves, in the order of their names; the world's own column is last."""
    names = {turn.actor for turn in found.turns}
    return sorted(names - {WORLD}) + ([WORLD] if WORLD in names else [])


def sentence(op: Operation) -> str:
    """How a call ended, with its owner as the subject."""
    what = f"seat {' '.join(op.seats)}" if op.seats else f"{op.quantity} ticket"
    what += "s" if op.quantity > 1 and not op.seats else ""
    if op.kind in {"sweep", "task"}:
        back = f" and gives {op.returned} back" if op.returned else ""
        return f"{op.actor} sweeps{back}" if op.kind == "sweep" else f"{op.actor} runs{back}"
    if op.outcome is Outcome.OK:
        order = f"order {op.order_id}"
        return {
            "hold": f"{op.actor} holds {what}",
            "release": f"{op.actor} gives {what} back",
            "checkout": f"{op.actor} pays for {what}: {order}",
        }[op.kind]
    asked = {"hold": "asking for", "release": "giving back", "checkout": "paying for"}[op.kind]
    how = {
        Outcome.REFUSED: f"is refused ({op.reason})",
        Outcome.NOT_APPLIED: "is told that nothing happened",
        Outcome.UNKNOWN: "gets no clear answer",
    }[op.outcome]
    return f"{op.actor}, {asked} {what}, {how}"


def strike(turn: Turn) -> str:
    """What struck in a turn, in words; empty when nothing did."""
    if turn.choice in EVENTS:
        words = {
            "redis-kill": "Redis is killed and",
            "redis-power-loss": "Redis loses its power and",
            "db-restart": "the database restarts",
            "expire": "time passes a deadline:",
        }[turn.choice]
        return f"{words} {turn.result}".strip()
    _, _, how = turn.choice.partition(GROUP)
    if how == "lost":
        return f"the reply to {turn.actor}'s {turn.crossing.split()[-1]} is lost"
    return f"{turn.actor}'s server dies after {turn.crossing}" if how else ""


def story(found: Counterexample) -> list[str]:
    """The whole counterexample in a few sentences."""
    return [text for _, text in _told(found)]


def _told(found: Counterexample) -> Iterator[tuple[int, str]]:
    operations = {op.op_id: op for op in found.history.operations}
    for index, turn in enumerate(found.turns):
        if words := strike(turn):
            yield index, words
        for number in turn.told:
            yield index, sentence(operations[number])


def marks(found: Counterexample) -> dict[int, str]:
    """The turns that matter, by index, each with its plain words."""
    told: dict[int, str] = {}
    for index, text in _told(found):
        told[index] = f"{told[index]}; {text}" if index in told else text
    turns = found.turns
    strikes = [index for index, turn in enumerate(turns) if strike(turn)]
    chosen = _around(found, strikes[0]) if strikes else _race(turns)
    return {
        index: told.get(index) or _crossing_words(turns[index])
        for index in sorted(dict.fromkeys(chosen))[:3]
    }


def _around(found: Counterexample, struck: int) -> list[int]:
    """The last answer before a strike, the strike, and the next hold or sale after it."""
    operations = {op.op_id: op for op in found.history.operations}
    good = [
        index
        for index, turn in enumerate(found.turns)
        if any(operations[number].outcome is Outcome.OK for number in turn.told)
    ]
    before = [index for index in good if index < struck]
    after = [index for index in good if index > struck]
    ends = [index for index, turn in enumerate(found.turns) if index > struck and turn.told]
    return [*before[-1:], struck, *(after or ends)[:1]]


def _race(turns: Sequence[Turn]) -> list[int]:
    """Where somebody was overtaken: what they had learned, what changed it, what they did then."""
    for index, turn in enumerate(turns[:-1]):
        if turns[index + 1].actor == turn.actor:
            continue
        back = next((i for i in range(index + 1, len(turns)) if turns[i].actor == turn.actor), None)
        if back is None:
            continue
        changed = [
            i
            for i in range(index + 1, back)
            if _shared(turns[i]) and conflict(*_touched(turns[i]), _touched(turn))
        ]
        if changed:
            late = [i for i in range(back, len(turns)) if _stores(turns[i].writes)]
            return [index, changed[-1], *[i for i in late if turns[i].actor == turn.actor][:1]]
    return [len(turns) - 1]


def _touched(turn: Turn) -> tuple[frozenset[str], frozenset[str]]:
    return _stores(turn.reads), _stores(turn.writes)


def _stores(touched: frozenset[str]) -> frozenset[str]:
    return frozenset(each for each in touched if ":" in each and "(" not in each) - {"db:lock"}


def _shared(turn: Turn) -> bool:
    return bool(_stores(turn.writes))


def _crossing_words(turn: Turn) -> str:
    answer = "" if turn.result.startswith(WAITS) else "answer "
    return f"{turn.actor}: {turn.crossing}, {answer}{_short(turn.result)}"


def _short(result: str) -> str:
    """An answer in one line; of a transaction's many, the last: what EXEC gave."""
    if result.startswith(_OPENED):
        result = result.rpartition("; ")[2]
    return result if len(result) <= 40 else result[:37] + "..."  # noqa: PLR2004 - a line's worth


def cells(found: Counterexample) -> list[Cell]:
    """The table's entries: one a marked or answered turn, one for all turns in between."""
    marked = marks(found)
    answers: dict[int, list[str]] = {}
    operations = {op.op_id: op for op in found.history.operations}
    for index, turn in enumerate(found.turns):
        answers[index] = [sentence(operations[number]) for number in turn.told]
    rows: list[Cell] = []
    run: list[Turn] = []
    symbols = dict(zip(marked, MARKS, strict=False))
    for index, turn in enumerate(found.turns):
        if run and run[-1].actor != turn.actor:
            rows.append(_merged(run))
            run = []
        alone = index in marked or answers[index] or strike(turn)
        if not alone:
            run.append(turn)
            continue
        if run:
            rows.append(_merged(run))
            run = []
        rows.append(_alone(turn, symbols.get(index, ""), answers[index]))
    if run:
        rows.append(_merged(run))
    return rows


def _merged(run: Sequence[Turn]) -> Cell:
    return Cell(actor=run[0].actor, text=", ".join(_brief(turn) for turn in run))


def _alone(turn: Turn, mark: str, answers: Sequence[str]) -> Cell:
    text = strike(turn)
    if not text:
        result = _short(turn.result)
        text = f"{_brief(turn)}: {result}" if result else _brief(turn)
    elif turn.choice not in EVENTS:
        text = f"{_brief(turn)}: {text}"
    return Cell(actor=turn.actor, text=text, mark=mark, answer="; ".join(answers))


def _brief(turn: Turn) -> str:
    for store in ("database ", "redis ", "payment "):
        if turn.crossing.startswith(store):
            return turn.crossing.removeprefix(store)
    return turn.crossing
