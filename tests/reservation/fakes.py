"""The world a strategy touches, in memory and by hand: a clock, a provider, a task queue."""

from collections.abc import Callable
from dataclasses import dataclass, field

from reservation.api import PaymentStatus, PaymentTimeout, Strategy

SALE_OPENS = 1_700_000_000.0  # epoch seconds


@dataclass(slots=True)
class FakeClock:
    """A clock that stands still until a test moves it; `skew_s` makes another server's."""

    true_s: list[float] = field(default_factory=lambda: [SALE_OPENS])
    skew_s: float = 0.0

    def now(self) -> float:
        """Read the time with this server's skew."""
        return self.true_s[0] + self.skew_s

    def sleep(self, seconds: float) -> None:
        """Move the time on."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the time on, for every server that shares it."""
        self.true_s[0] += seconds

    def skewed(self, skew_s: float) -> "FakeClock":
        """Make the clock of a server that is `skew_s` ahead, moving with this one."""
        return FakeClock(self.true_s, skew_s)


@dataclass(slots=True)
class FakeGateway:
    """A payment provider with a ledger of what it really did.

    `decline` names keys to refuse; `lose_replies` answers that many next calls with a timeout
    after doing what was asked; `during_capture` runs while the money is being taken, which is
    where a test lets other buyers act.
    """

    status: dict[str, PaymentStatus] = field(default_factory=dict)
    ledger: list[tuple[str, str]] = field(default_factory=list)
    decline: set[str] = field(default_factory=set)
    lose_replies: int = 0
    during_capture: Callable[[str], None] | None = None

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        """Take the money once per key."""
        hook, self.during_capture = self.during_capture, None
        if hook is not None:
            hook(key)
        if key not in self.status:
            declined = key in self.decline
            self.status[key] = PaymentStatus.DECLINED if declined else PaymentStatus.CAPTURED
            self.ledger.append((self.status[key].value, key))
        return self._reply(key)

    def refund(self, key: str) -> PaymentStatus:
        """Give the money back once per key."""
        if self.status.get(key) is PaymentStatus.CAPTURED:
            self.status[key] = PaymentStatus.REFUNDED
            self.ledger.append(("refunded", key))
        return self._reply(key)

    def lookup(self, key: str) -> PaymentStatus:
        """Say what happened to a key."""
        return self._reply(key)

    def count(self, status: str) -> int:
        """Count what was really done: captures, declines or refunds."""
        return sum(done == status for done, _ in self.ledger)

    def _reply(self, key: str) -> PaymentStatus:
        if self.lose_replies > 0:
            self.lose_replies -= 1
            raise PaymentTimeout(f"no answer for {key}")
        return self.status.get(key, PaymentStatus.UNKNOWN)


@dataclass(slots=True)
class FakeTasks:
    """A task queue that runs what is due when a test says so."""

    queue: list[tuple[float, str, str]] = field(default_factory=list)

    def schedule(self, at: float, name: str, argument: str) -> None:
        """Remember one task."""
        self.queue.append((at, name, argument))

    def run_due(self, strategy: Strategy, now: float) -> int:
        """Run the tasks due at `now`, once each; returns how many."""
        due = sorted(task for task in self.queue if task[0] <= now)
        self.queue = [task for task in self.queue if task[0] > now]
        for _, name, argument in due:
            strategy.run_task(name, argument)
        return len(due)
