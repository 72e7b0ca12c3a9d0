"""The live payment provider: its ledger is in the runner, and is the ground truth of the money.

It draws the same fates as the simulated one (`model.provider.payment_fate`), so that a payment
takes as long and ends alike in both arms. Times are the scenario's.
"""

from collections.abc import Callable, Generator
from random import Random
from typing import Any

import simpy

from model.provider import LedgerEntry, payment_fate
from model.scenario import Payment
from reservation.api import PaymentStatus

Reply = Callable[[PaymentStatus | None], None]
"""Called with the answer; None stands for the silence that the caller takes for a timeout."""


class LiveProvider:
    """The provider; `loss` is the chance that an answer is lost (`PaymentTimeouts`)."""

    def __init__(
        self,
        env: simpy.Environment,
        settings: Payment,
        seed: int,
        *,
        now_s: Callable[[], float],
        draw: Callable[[str], Random],
    ) -> None:
        """Use `now_s` for the moment of a capture: events of `env` may be handled late."""
        self.env = env
        self.settings = settings
        self.seed = seed
        self.ledger: dict[str, LedgerEntry] = {}
        self.loss = 0.0
        self.lost = 0
        self._now_s = now_s
        self._draw = draw
        self._under_way: dict[str, simpy.Event] = {}

    def handle(self, what: str, key: str, amount_cents: int, actor: str, reply: Reply) -> None:
        """Take one call of an application server; `reply` comes when the provider has an answer."""
        self.env.process(self._call(what, key, amount_cents, actor, reply))

    def _call(
        self, what: str, key: str, amount_cents: int, actor: str, reply: Reply
    ) -> Generator[simpy.Event, Any, None]:
        entry = self.ledger.get(key)
        if what == "capture" and entry is None:
            yield self._payment(key, amount_cents)
            entry = self.ledger[key]
        if what == "refund" and entry is not None and entry.status is PaymentStatus.CAPTURED:
            entry.status = PaymentStatus.REFUNDED
            entry.refunded_s = self._now_s()
        if self.loss and self._draw(actor).random() < self.loss:
            self.lost += 1
            yield self.env.timeout(self.settings.timeout_s)
            reply(None)
            return
        if entry is None:
            reply(PaymentStatus.UNKNOWN)
        elif what == "capture" and entry.captured_s is not None:
            reply(PaymentStatus.CAPTURED)
        else:
            reply(entry.status)

    def _payment(self, key: str, amount_cents: int) -> simpy.Event:
        """Begin a payment, unless it is under way; it goes on whatever becomes of the caller."""
        done = self._under_way.get(key)
        if done is None:
            duration_s, declined = payment_fate(self.settings, self.seed, key)
            done = self._under_way[key] = self.env.timeout(duration_s)
            assert done.callbacks is not None
            done.callbacks.append(lambda _done: self._book(key, amount_cents, declined=declined))
        return done

    def _book(self, key: str, amount_cents: int, *, declined: bool) -> None:
        self._under_way.pop(key, None)
        entry = self.ledger[key] = LedgerEntry(amount_cents, PaymentStatus.DECLINED)
        if not declined:
            entry.status = PaymentStatus.CAPTURED
            entry.captured_s = self._now_s()
