"""Buyers that no scenario has: they cling to a hold, click twice, or cancel while they pay.

Each replaces one step of an ordinary visit and leaves the other steps, and their draws, alone.
"""

from collections.abc import Generator
from typing import Any

import simpy

from model.buyers import EVENT_ID, Crowd, Intentions
from model.history import Operation
from model.kernel import EPOCH_S
from reservation.api import CheckoutRequest, Hold, HoldRequest

Steps = Generator[simpy.Event, Any, Any]


class Clinging(Crowd):
    """Ask for the same hold again before paying: a page that refreshes itself, a second tab."""

    def refreshes_s(self, number: int) -> tuple[float, ...]:
        """When, in seconds after the sale opened, this buyer asks again."""
        return tuple(20.0 * turn + 0.1 * number for turn in range(1, 6))

    def _get_hold(self, number: int, wish: Intentions, travel: Any) -> Steps:
        hold = yield from super()._get_hold(number, wish, travel)
        if hold is None:
            return None
        for at_s in self.refreshes_s(number):
            if at_s > self.env.now:
                yield self.env.timeout(at_s - self.env.now)
                yield from self._ask_again(number, hold, travel)
        return hold

    def _ask_again(self, number: int, hold: Hold, travel: Any) -> Steps:
        request = HoldRequest(
            hold_id=hold.hold_id,
            event_id=EVENT_ID,
            customer_id=hold.customer_id,
            quantity=hold.quantity,
            seats=hold.seats,
        )
        again, last = yield from self._insist(
            number, travel, self._hold_operation(request), lambda s: s.hold(request)
        )
        if again is not None:
            last.expires_s = again.expires_at - EPOCH_S


class RefreshingAtTheReaper(Clinging):
    """Ask for the same hold again while the reaper, at 30 s, is between its two steps."""

    def refreshes_s(self, number: int) -> tuple[float, ...]:
        """Spread over the second in which the reaper is at work over a slow Redis."""
        return (30.0 + 0.04 * number,)


class DoubleClicking(Crowd):
    """Press the pay button twice; the two requests carry one key and meet two servers.

    A webhook and the browser's redirect that arrive together do the same.
    """

    def _pay(self, number: int, hold: Hold, travel: Any) -> Steps:
        clicks = [
            self.env.process(self._click(number + turn, number, hold, travel)) for turn in (0, 1)
        ]
        yield self.env.all_of(clicks)

    def _click(self, server: int, number: int, hold: Hold, travel: Any) -> Steps:
        request = CheckoutRequest(
            hold=hold,
            idempotency_key=f"pay-{hold.hold_id}",
            amount_cents=self.scenario.sale.price_cents * hold.quantity,
        )

        def operation() -> Operation:
            operation = self._operation(number, "checkout", hold)
            operation.key = request.idempotency_key
            operation.expires_s = hold.expires_at - EPOCH_S
            return operation

        order, last = yield from self._insist(
            server, travel, operation, lambda s: s.checkout(request)
        )
        if order is not None:
            last.order_id = order.order_id


class Wavering(Crowd):
    """Press cancel in one tab just before the payment in the other one is through."""

    def _pay(self, number: int, hold: Hold, travel: Any) -> Steps:
        cancel = self.env.process(self._release(number + 1, hold, travel))
        yield from super()._pay(number, hold, travel)
        yield cancel
