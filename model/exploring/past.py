"""What invariants over time must remember of the past, and which turns it keeps from being swapped.

Two histories that end in one state are judged once. So whatever else than the state decides a
verdict is kept here, as part of the state: who lived when somebody was told yes (`no-overhold`),
and when, in which order and on which side of a release each checkout was answered
(`hold-honoured`). Where a hold is asked for again beside another call about it, which of them had
ended when the other began decides what was held when.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from model.exploring.overlap import live_claims, too_many
from model.history import Operation, Outcome

ACKS = "acks"
RELEASED, TOLD = "released:", "told:"
VISIBLE_STARTS = frozenset({"release", "checkout"})


class Past:
    """The past of one execution; `told`, `reads` and `writes` are those of the turn under way."""

    def __init__(self, capacity: int, visits: Mapping[str, str]) -> None:
        """`visits` says what each buyer does; `+` are calls about one hold at the same time."""
        self._capacity = capacity
        self._sharing = frozenset(name for name, visit in visits.items() if "+" in visit)
        self._repeating = frozenset(name for name in self._sharing if "again" in visits[name])
        self._over: set[tuple[str, ...]] = set()
        self._releases: Counter[str] = Counter()  # begun, by hold
        self._calls: dict[str, list[tuple[Any, ...]]] = {}  # each with those that had ended by then
        self._ended: dict[str, list[str]] = {}  # the calls about a hold, as they ended
        self._names: dict[int, str] = {}  # of calls: who made it, and their how manieth
        self._deadlines_told: Counter[str] = Counter()
        self._told_then: dict[int, int] = {}  # when a checkout began, by its number
        self._answers: dict[str, list[tuple[Any, ...]]] = {}
        self.turn_begins()

    def turn_begins(self) -> None:
        """Forget what the last turn told and touched."""
        self.told: list[int] = []
        self.reads: set[str] = set()
        self.writes: set[str] = set()

    def began(self, operation: Operation, by: str) -> None:
        """A call was made in this turn, by an actor."""
        repeating = operation.actor in self._repeating
        if operation.kind in VISIBLE_STARTS:
            self.reads.add(ACKS)
        if operation.kind in VISIBLE_STARTS or repeating:
            self._order(operation)
        if repeating:
            calls = self._calls.setdefault(operation.hold_id, [])
            name = f"{by} {sum(each[0] == by for each in calls)}"
            calls.append((by, *self._ended.get(operation.hold_id, ())))
            self._names[operation.op_id] = name
        if operation.kind == "release":
            self._releases[operation.hold_id] += 1
        elif operation.kind == "checkout":
            self._told_then[operation.op_id] = self._deadlines_told[operation.hold_id]

    def answered(self, operation: Operation, operations: Iterable[Operation], now_s: float) -> None:
        """A call ended in this turn, however; `operations` are all there were so far."""
        self.told.append(operation.op_id)
        if operation.op_id in self._names:
            name = self._names[operation.op_id]
            self._ended.setdefault(operation.hold_id, []).append(name)
        if operation.kind == "checkout":
            releases = self._releases[operation.hold_id]
            told = self._told_then[operation.op_id]
            answer = (str(operation.outcome), operation.reason, now_s, releases, told)
            self._answers.setdefault(operation.hold_id, []).append(answer)
        elif operation.kind == "hold" and operation.outcome is Outcome.OK:
            self._deadlines_told[operation.hold_id] += 1
        elif operation.kind == "release":
            self.writes.add(f"{RELEASED}{operation.hold_id}")
        self._order(operation)
        if operation.outcome is not Outcome.OK or operation.kind not in {"hold", "checkout"}:
            return
        self.reads |= {ACKS, f"{RELEASED}*"}
        self.writes.add(ACKS)
        live = live_claims(operations, now_s)
        if too_many(live, self._capacity):
            states = (f"{key} {claim.state}" for key, claim in sorted(live.items()))
            self._over.add((operation.hold_id, *states))

    def _order(self, operation: Operation) -> None:
        """Keep this turn in its place among those about the same hold."""
        if operation.actor in self._sharing:
            self.writes.add(f"{TOLD}{operation.hold_id}")

    def state(self) -> list[Any]:
        """What a digest takes in."""
        calls = [(hold_id, sorted(calls)) for hold_id, calls in sorted(self._calls.items())]
        return [
            sorted(self._over),
            sorted(self._answers.items()),
            calls,
            sorted(self._ended.items()),
        ]
