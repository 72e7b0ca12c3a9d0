"""Buyers: arrive, think, hold, perhaps abandon, pay, and try again when in doubt.

Every buyer draws from generators of their own, in a fixed order, so that leaving one out or adding
one changes nobody else (common random numbers).
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

import simpy

from model.deployment import Deployment, Host
from model.history import History, Operation, Outcome
from model.kernel import EPOCH_S
from model.link import Pace
from model.outcomes import ENDINGS, write_down
from model.scenario import Buyers, Scenario
from model.streams import stream
from reservation.api import AdmissionKind, CheckoutRequest, Hold, HoldRequest, Strategy

EVENT_ID = 1


@dataclass(frozen=True, slots=True)
class Intentions:
    """What one buyer will do, drawn before anything happens."""

    quantity: int
    think_s: float
    abandons: bool
    releases: bool
    checkout_s: float
    before_deadline_s: float | None  # pays this long before the hold ends, whatever checkout_s says

    @classmethod
    def of(cls, settings: Buyers, draw: Random, quantity: int | None) -> "Intentions":
        """Draw them in a fixed order."""
        sizes, weights = tuple(settings.party_sizes), tuple(settings.party_sizes.values())
        size = draw.choices(sizes, weights)[0]
        return cls(
            quantity=size if quantity is None else quantity,
            think_s=draw.lognormvariate(log(settings.think_median_s), 0.5),
            abandons=draw.random() < settings.abandon,
            releases=draw.random() < settings.release_on_abandon,
            checkout_s=draw.lognormvariate(
                log(settings.checkout_median_s), settings.checkout_sigma
            ),
            before_deadline_s=(
                draw.uniform(0.0, settings.last_minute_s)
                if draw.random() < settings.last_minute
                else None
            ),
        )


class Counter:
    """Where calls meet the history: runs one operation and writes down how it ended."""

    def __init__(self, cloud: Deployment, history: History) -> None:
        self.cloud = cloud
        self.env = cloud.env
        self.history = history

    def perform(
        self,
        operation: Operation,
        kind: str,
        pace: Pace,
        server: Host | None,
        call: Callable[[Strategy], Any],
    ) -> Generator[simpy.Event, Any, Any]:
        """Run `call` on `server`, filling `operation`; returns the answer, or None.

        A `Refused` is an answer; failures become NOT_APPLIED or UNKNOWN. Anything else is a defect
        of the strategy or of the model, and ends the run.
        """
        operation.op_id = len(self.history.operations) + 1
        self.history.operations.append(operation)

        answer = None
        try:
            answer = yield from self.cloud.attend(operation, kind, pace, server, call)
            operation.outcome = Outcome.OK
        except ENDINGS as error:
            write_down(operation, error)
        operation.completed_s = self.env.now
        self.cloud.note_end(operation)
        return answer


class Crowd:
    """Everybody who comes to one sale."""

    def __init__(self, counter: Counter, scenario: Scenario, seed: int) -> None:
        self.counter = counter
        self.cloud = counter.cloud
        self.env = counter.env
        self.settings = scenario.buyers
        self.scenario = scenario
        self.seed = seed
        self.seats = scenario.sale.kind is AdmissionKind.SEATS

    def buyer(self, number: int, *, waited: bool) -> Generator[simpy.Event, Any, None]:
        """One buyer's visit; `waited` at the door means that the choice is made already."""
        quantities = self.scenario.trace_quantities
        quantity = quantities[number] if quantities else None
        # No generator outlives this line: 2.5 KB each for as long as a buyer stays.
        wish = Intentions.of(self.settings, stream(self.seed, "buyer", number), quantity)
        travel = Pace(self.seed, "travel", number)
        if not waited:
            yield self.env.timeout(wish.think_s)
        hold = yield from self._get_hold(number, wish, travel)
        if hold is None:
            return
        if wish.abandons:
            if wish.releases:
                yield self.env.timeout(wish.checkout_s / 2)
                yield from self._release(number, hold, travel)
            return
        pause_s = wish.checkout_s
        if wish.before_deadline_s is not None:
            left_s = hold.expires_at - EPOCH_S - self.env.now
            pause_s = max(0.0, left_s - wish.before_deadline_s)
        yield self.env.timeout(pause_s)
        yield from self._pay(number, hold, travel)

    def _get_hold(
        self, number: int, wish: Intentions, travel: Pace
    ) -> Generator[simpy.Event, Any, Hold | None]:
        retry: Random | None = None
        hold: Hold | None
        for attempt in range(1, self.settings.max_attempts + 1):
            request = HoldRequest(
                hold_id=f"h{number}-{attempt}",
                event_id=EVENT_ID,
                customer_id=f"buyer-{number}",
                quantity=wish.quantity,
                seats=self._choose_seats(number, attempt, wish.quantity),
            )
            hold, last = yield from self._insist(
                number, travel, self._hold_operation(request), _hold_call(request)
            )
            if hold is not None:
                last.expires_s = hold.expires_at - EPOCH_S
                return hold
            if last.outcome is not Outcome.REFUSED:
                return None
            if retry is None:
                retry = stream(self.seed, "retry", number)
            if retry.random() >= self.settings.retry_refused:
                return None
            yield self.env.timeout(retry.uniform(*self.settings.retry_delay_s))
        return None

    def _release(self, number: int, hold: Hold, travel: Pace) -> Generator[simpy.Event, Any, None]:
        def operation() -> Operation:
            return self._operation(number, "release", hold)

        yield from self._insist(number, travel, operation, lambda s: s.release(hold))

    def _pay(self, number: int, hold: Hold, travel: Pace) -> Generator[simpy.Event, Any, None]:
        key = f"pay-{hold.hold_id}"
        price = self.scenario.sale.price_cents
        request = CheckoutRequest(
            hold=hold, idempotency_key=key, amount_cents=price * hold.quantity
        )

        def operation() -> Operation:
            operation = self._operation(number, "checkout", hold)
            operation.key = key
            operation.expires_s = hold.expires_at - EPOCH_S
            return operation

        order, last = yield from self._insist(
            number, travel, operation, lambda s: s.checkout(request)
        )
        if order is not None:
            last.order_id = order.order_id

    def _insist(
        self,
        number: int,
        travel: Pace,
        new_operation: Callable[[], Operation],
        call: Callable[[Strategy], Any],
    ) -> Generator[simpy.Event, Any, Any]:
        """Call, and again with the same key while the outcome is unknown or nothing was applied."""
        for again in range(self.settings.unknown_retries + 1):
            operation = new_operation()
            server = self.cloud.server_for(number + again)  # a retry may meet another server
            answer = yield from self.counter.perform(operation, "buyer", travel, server, call)
            if operation.key:
                entry = self.cloud.ledger.get(operation.key)
                operation.captured_s = None if entry is None else entry.captured_s
            if operation.outcome in {Outcome.OK, Outcome.REFUSED}:
                break
            yield self.env.timeout(self.settings.unknown_delay_s * (1 + again))
        return answer, operation

    def _hold_operation(self, request: HoldRequest) -> Callable[[], Operation]:
        return lambda: Operation(
            op_id=0,
            actor=request.customer_id,
            kind="hold",
            invoked_s=self.env.now,
            hold_id=request.hold_id,
            quantity=request.quantity,
            seats=request.seats,
        )

    def _operation(self, number: int, kind: str, hold: Hold) -> Operation:
        return Operation(
            op_id=0,
            actor=f"buyer-{number}",
            kind=kind,
            invoked_s=self.env.now,
            hold_id=hold.hold_id,
            quantity=hold.quantity,
            seats=hold.seats,
        )

    def _choose_seats(self, number: int, attempt: int, quantity: int) -> tuple[str, ...]:
        """Neighbouring seats, the front rows first: everybody wants the same ones."""
        if not self.seats:
            return ()
        sale = self.scenario.sale
        draw = stream(self.seed, "seats", number, attempt)
        last_start = max(0, sale.capacity - quantity)
        start = min(last_start, int(draw.betavariate(1.0, 2.0) * (last_start + 1)))
        return tuple(seat_names(sale.capacity, sale.row_length)[start : start + quantity])


def _hold_call(request: HoldRequest) -> Callable[[Strategy], Hold]:
    return lambda strategy: strategy.hold(request)


_seat_maps: dict[tuple[int, int], tuple[str, ...]] = {}


def seat_names(capacity: int, row_length: int) -> tuple[str, ...]:
    """A1, A2, ..., B1, ...: rows are named like spreadsheet columns (A to Z, AA, AB, ...)."""
    names = _seat_maps.get((capacity, row_length))
    if names is None:
        names = tuple(
            f"{_row_name(index // row_length)}{index % row_length + 1}" for index in range(capacity)
        )
        _seat_maps[(capacity, row_length)] = names
    return names


def _row_name(row: int) -> str:
    letters = ""
    row += 1
    while row:
        row, letter = divmod(row - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters
