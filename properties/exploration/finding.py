"""What a search found out: how much it covered, and what every invariant says to it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from model.exploring.small_world import SmallWorld
from model.history import History
from properties import sometimes
from properties.evidence import gather
from properties.judge import INVARIANTS, judge_evidence
from properties.verdicts import Status, Verdict

COMPLETE = ""
INTERRUPTED = "interrupted"
SWEPT_ALONG = (
    "at a URL whoever is woken runs on at once, so schedules in which somebody else is first are"
    " left out; --db postgres has them"
)
NOT_EXPLORED = {"sale-goes-on": "an explored world has no durations: nothing takes time in it"}
ORDERED = {
    "linearizable": "no violation, but only one history of each final state was judged, and this"
    " claim is about the order of calls within a history; --require linearizable has every order"
    " judged (some five times the states)"
}
"""Claims that more than a state decides: only a search that tells `histories` apart proves them."""

CONFLICTS = {"deadlock": "deadlock detected", "serialization-failure": "could not serialize"}
"""What a real PostgreSQL may answer for another transaction's sake, and the words it does it in."""

EXPLORED = tuple(name for name in INVARIANTS if name not in NOT_EXPLORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one final history says: which *sometimes* it reached, and a verdict per invariant."""

    seen: tuple[str, ...]
    verdicts: Mapping[str, Verdict]


def judge_history(history: History) -> Judged:
    """Judge one final history on everything an explored world can say something about."""
    evidence = gather(history)
    witnesses = sometimes.count(evidence)
    verdicts = judge_evidence(evidence, witnesses)
    said = {op.reason for op in history.operations if op.reason}
    return Judged(
        seen=(
            *(name for name, count in witnesses.items() if count),
            *(name for name, words in CONFLICTS.items() if any(words in each for each in said)),
        ),
        verdicts={name: verdicts[name] for name in EXPLORED},
    )


@dataclass(slots=True, kw_only=True)
class Breach:
    """The first schedule found that violates an invariant.

    `reduced` says what its moves are: with it whole transactions, where nothing can strike inside.
    """

    invariant: str
    message: str
    schedule: tuple[str, ...]
    found_after: int  # schedules
    reduced: bool = True


@dataclass(slots=True, kw_only=True)
class Claim:
    """One invariant over all final states: chances, holding and violated ones, why it is open.

    `broken` are the final states in which it is violated (one that was sampled twice is one).
    `undecided` says why a checker could not decide about one of them.
    """

    examined: int = 0
    held: int = 0
    broken: set[bytes] = field(default_factory=set)
    open_reason: str = ""
    undecided: str = ""

    @property
    def violated(self) -> int:
        """In how many final states it is violated."""
        return len(self.broken)

    def status(self, *, complete: bool) -> Status:
        """HOLDS needs a complete search, all of it decided, and a final state that might fail."""
        if self.broken:
            return Status.VIOLATED
        sure = complete and self.held and not self.undecided
        return Status.HOLDS if sure else Status.INCONCLUSIVE


@dataclass(slots=True, kw_only=True)
class Exploration:
    """A search's result. `cut` says what ended it early; empty when it is complete.

    `schedules` counts paths followed to their end or to a state already searched, `states` the
    distinct states, `turns` the moves made anew, `replayed` those made again to come back to a
    state. `reduced` is as in `Breach`. `finals` are the digests of the states in which everybody
    had ended. With `histories` states are told apart by the order of their calls too.
    """

    world: SmallWorld
    search: str
    histories: bool = False
    reduced: bool = True
    cut: str = "not begun"
    schedules: int = 0
    turns: int = 0
    replayed: int = 0
    depth: int = 0
    seconds: float = 0.0
    visited: set[bytes] = field(default_factory=set)
    finals: set[bytes] = field(default_factory=set)
    claims: dict[str, Claim] = field(default_factory=dict)
    breaches: dict[str, Breach] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    crash: str = ""
    crash_schedule: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in INVARIANTS:
            self.claims.setdefault(name, Claim(open_reason=NOT_EXPLORED.get(name, "")))

    @property
    def states(self) -> int:
        """Distinct states."""
        return len(self.visited)

    @property
    def complete(self) -> bool:
        """Whether every schedule within the world was covered."""
        return not self.cut

    def statuses(self) -> Mapping[str, Status]:
        """What each invariant says to the whole search."""
        return {
            name: claim.status(complete=self.complete and (self.histories or name not in ORDERED))
            for name, claim in self.claims.items()
        }

    @property
    def status(self) -> Status:
        """VIOLATED if anything was; HOLDS if the search is complete; else INCONCLUSIVE."""
        if self.breaches:
            return Status.VIOLATED
        return Status.HOLDS if self.complete and not self.crash else Status.INCONCLUSIVE

    def add(self, other: "Exploration") -> None:
        """Add what another search of the same world found."""
        if other.search != self.search:
            self.search = f"{self.search}+{other.search}"
        for name, breach in other.breaches.items():
            if name not in self.breaches:
                breach.found_after += self.schedules
                self.breaches[name] = breach
        self.schedules += other.schedules
        self.turns += other.turns
        self.replayed += other.replayed
        self.depth = max(self.depth, other.depth)
        self.seconds += other.seconds
        self.visited |= other.visited
        self.finals |= other.finals
        self.seen.update(other.seen)
        self.crash = self.crash or other.crash
        self.crash_schedule = self.crash_schedule or other.crash_schedule
        for name, claim in other.claims.items():
            mine = self.claims[name]
            mine.examined += claim.examined
            mine.held += claim.held
            mine.broken |= claim.broken
            mine.open_reason = mine.open_reason or claim.open_reason
            mine.undecided = mine.undecided or claim.undecided

    def judge(self, judged: "Judged", state: bytes, schedule: tuple[str, ...]) -> list[str]:
        """Count one final history in, that of a state; returns the invariants it violates."""
        self.seen.update(dict.fromkeys(judged.seen, 1))
        violated = []
        for name, verdict in judged.verdicts.items():
            claim = self.claims[name]
            claim.undecided = claim.undecided or (verdict.reason if verdict.undecided else "")
            claim.examined += verdict.examined
            if verdict.status is Status.VIOLATED:
                claim.broken.add(state)
                violated.append(name)
                self._note(name, verdict.violations[0].message, schedule)
            elif verdict.status is Status.HOLDS:
                claim.held += 1
            else:
                claim.open_reason = claim.open_reason or verdict.reason
        return violated

    def _note(self, invariant: str, message: str, schedule: tuple[str, ...]) -> None:
        known = self.breaches.get(invariant)
        if known is None:
            self.breaches[invariant] = Breach(
                invariant=invariant,
                message=message,
                schedule=schedule,
                found_after=self.schedules + 1,
                reduced=self.reduced,
            )
        elif len(schedule) < len(known.schedule):
            known.schedule, known.message = schedule, message
