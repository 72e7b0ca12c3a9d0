"""The simulated payment provider: idempotent by key, slow, and sometimes silent.

Its ledger is the ground truth of the money: the audit reads it, never the shop's own table.
Times and the share of declined payments are the scenario's (numbers: 3-D Secure).
"""

from dataclasses import dataclass
from typing import Any

from chaos.faults import Target
from model.kernel import Kernel
from model.link import Link, LinkCut, ReplyLost, TravelTime
from model.scenario import Payment
from model.streams import stream
from reservation.api import PaymentStatus, PaymentTimeout

_TRAVEL = TravelTime(20.0, 60.0)  # a call over the internet to the provider and back


@dataclass(slots=True)
class LedgerEntry:
    """What happened to one key's money."""

    amount_cents: int
    status: PaymentStatus
    captured_s: float | None = None
    refunded_s: float | None = None


def payment_fate(settings: Payment, seed: int, key: str) -> tuple[float, bool]:
    """How long a payment takes and whether it is declined: one draw per key, in both arms."""
    draw = stream(seed, "payment", key)
    challenged = draw.random() < settings.challenged
    challenge_s = draw.expovariate(1.0 / settings.challenge_mean_s)
    failed = draw.random() < settings.challenge_fail
    if challenged:
        return challenge_s, failed
    return settings.plain_s, False


class SimulatedProvider:
    """The provider; one object serves every application server."""

    def __init__(self, kernel: Kernel, settings: Payment, seed: int) -> None:
        self.kernel = kernel
        self.settings = settings
        self.seed = seed
        self.link = Link(kernel, Target.PAYMENT, settings.timeout_s)
        self.ledger: dict[str, LedgerEntry] = {}
        self._under_way: dict[str, float] = {}  # when each payment in progress will be done

    def capture(self, key: str, amount_cents: int) -> PaymentStatus:
        """Take the money (see `reservation.api.PaymentGateway`)."""
        leg_s = self._request("capture")
        entry = self.ledger.get(key)
        if entry is None:
            self._begin(key, amount_cents)
            while key in self._under_way:
                self.kernel.sleep(max(1e-6, self._under_way[key] - self.kernel.now))
            entry = self.ledger[key]
        self._reply("capture", leg_s)
        return PaymentStatus.CAPTURED if entry.captured_s is not None else entry.status

    def _begin(self, key: str, amount_cents: int) -> None:
        """Begin the payment, unless it is under way; it goes on whatever becomes of the caller."""
        if key in self._under_way:
            return
        duration_s, declined = payment_fate(self.settings, self.seed, key)

        def book(_event: Any = None) -> None:
            entry = self.ledger[key] = LedgerEntry(amount_cents, PaymentStatus.DECLINED)
            if not declined:
                entry.status = PaymentStatus.CAPTURED
                entry.captured_s = self.kernel.now
            self._under_way.pop(key, None)

        if self.kernel.current is None:
            book()
            return
        self._under_way[key] = self.kernel.now + duration_s
        done = self.kernel.env.timeout(duration_s)
        done.callbacks.append(book)

    def refund(self, key: str) -> PaymentStatus:
        """Give the money back."""
        leg_s = self._request("refund")
        entry = self.ledger.get(key)
        if entry is not None and entry.status is PaymentStatus.CAPTURED:
            entry.status = PaymentStatus.REFUNDED
            entry.refunded_s = self.kernel.now
        self._reply("refund", leg_s)
        return PaymentStatus.UNKNOWN if entry is None else entry.status

    def lookup(self, key: str) -> PaymentStatus:
        """What is known of `key`."""
        leg_s = self._request("lookup")
        entry = self.ledger.get(key)
        self._reply("lookup", leg_s)
        return PaymentStatus.UNKNOWN if entry is None else entry.status

    def _request(self, label: str) -> float:
        try:
            return self.link.request(label, _TRAVEL)
        except LinkCut as error:
            raise PaymentTimeout("the payment provider did not answer") from error

    def _reply(self, label: str, leg_s: float) -> None:
        try:
            self.link.reply(label, leg_s)
        except ReplyLost as error:
            kernel = self.kernel
            kernel.sleep(self.settings.timeout_s)
            actor = kernel.current.actor if kernel.current is not None else ""
            kernel.trace.note(kernel.now, actor, self.link.name, "reply", label, "timeout")
            raise PaymentTimeout("the payment provider's answer did not arrive") from error
