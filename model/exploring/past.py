"""What invariants over time must remember of the past, and which turns it keeps from being swapped.

Two histories that end in one state are judged once. So whatever else than the state decides a
verdict is kept here, as part of the state: who lived when somebody was told yes (`no-overhold`),
and when, in which order and on which side of a release each checkout was answered
(`hold-honoured`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from model.exploring.overlap import live_claims, too_many
from model.history import Operation, Outcome

ACKS = "acks"
RELEASED, TOLD = "released:", "told:"
VISIBLE_STARTS = frozenset({"release", "checkout"})


class Past:
    """The past of one execution; `told`, `reads` and `writes` are those of the turn under way."""

    def __init__(self, capacity: int, sharing: Iterable[str]) -> None:
        """`sharing` are the buyers who make two calls about their hold at the same time."""
        self._capacity = capacity
        self._sharing = frozenset(sharing)
        self._over: set[tuple[str, ...]] = set()
        self._releases: Counter[str] = Counter()  # begun, by hold
        self._held: dict[str, list[str]] = {}  # its requests and releases, as they began and ended
        self._places: dict[int, int] = {}  # where a call began in the list of its hold
        self._anew: set[str] = set()  # holds asked for after a release had begun
        self._deadlines_told: Counter[str] = Counter()
        self._told_then: dict[int, int] = {}  # when a checkout began, by its number
        self._answers: dict[str, list[tuple[Any, ...]]] = {}
        self.turn_begins()

    def turn_begins(self) -> None:
        """Forget what the last turn told and touched."""
        self.told: list[int] = []
        self.reads: set[str] = set()
        self.writes: set[str] = set()

    def began(self, operation: Operation) -> None:
        """A call was made in this turn."""
        if operation.kind in VISIBLE_STARTS:
            self.reads.add(ACKS)
            self._order(operation)
        self._log(operation, "")
        if operation.kind == "release":
            self._releases[operation.hold_id] += 1
        elif operation.kind == "hold" and self._releases[operation.hold_id]:
            self._anew.add(operation.hold_id)
        elif operation.kind == "checkout":
            self._told_then[operation.op_id] = self._deadlines_told[operation.hold_id]

    def answered(self, operation: Operation, operations: Iterable[Operation], now_s: float) -> None:
        """A call ended in this turn, however; `operations` are all there were so far."""
        self.told.append(operation.op_id)
        self._log(operation, str(operation.outcome))
        if operation.kind == "checkout":
            releases = self._releases[operation.hold_id]
            told = self._told_then[operation.op_id]
            held = self._held[operation.hold_id] if operation.hold_id in self._anew else ()
            answer = (str(operation.outcome), operation.reason, now_s, releases, told, *held)
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

    def _log(self, operation: Operation, outcome: str) -> None:
        """Note a hold's calls: on which side of which answer a payment began decides its term."""
        held = self._held.setdefault(operation.hold_id, [])
        place = self._places.setdefault(operation.op_id, len(held))
        held.append(f"{operation.kind} {place} {outcome}")

    def _order(self, operation: Operation) -> None:
        """Keep this turn in its place among those about the same hold."""
        if operation.actor in self._sharing:
            self.writes.add(f"{TOLD}{operation.hold_id}")

    def state(self) -> list[Any]:
        """What a digest takes in."""
        return [sorted(self._over), sorted(self._answers.items())]
