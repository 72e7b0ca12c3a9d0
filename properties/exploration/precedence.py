"""In which order the calls of a history came and went, as far as a claim about order can ask.

Of two calls it matters whether one had ended when the other began, and of a call and a fault which
of them was first; in which order two calls began does not matter, nor in which they ended.
"""

from collections.abc import Sequence
from typing import Any

from model.history import History

ENDED = "ended:"
ENDINGS = f"{ENDED}*"
"""What the beginning of a call reads, each actor's ending writes their part of, and a fault writes:
so that searches try both orders of a beginning and an ending."""


def precedence(history: History, callers: Sequence[str]) -> list[tuple[Any, ...]]:
    """For each call: which had ended before it began, and how many faults were over by then.

    `callers` says who made each operation of the history (a buyer who clicks twice is two).
    """
    named = [
        ((caller, callers[:number].count(caller)), op)
        for number, (caller, op) in enumerate(zip(callers, history.operations, strict=True))
    ]
    faults = [span.started_s for span in history.faults]
    ended = [(op.completed_s, call) for call, op in named if op.completed_s is not None]
    return sorted(
        (
            call,
            sorted(other for at_s, other in ended if at_s < op.invoked_s),
            sum(at_s < op.invoked_s for at_s in faults),
            -1 if op.completed_s is None else sum(at_s < op.completed_s for at_s in faults),
        )
        for call, op in named
    )
