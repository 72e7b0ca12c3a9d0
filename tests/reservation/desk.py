"""A till with a strategy that says yes until a test says otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from reservation.api import Hold, Order
from reservation.errors import HoldExpired, UnknownOutcome
from reservation.till import Till
from tests.reservation.shop import Shop


@dataclass
class Desk:
    """A till with a strategy that says yes until a test says otherwise."""

    shop: Shop
    till: Till
    valid: bool = True
    takes: bool = True
    dropped: list[str] = field(default_factory=list)
    during_take: Callable[[], None] | None = None
    drop_fails: bool = False

    def sell(
        self, hold_id: str = "h1", key: str | None = None, seats: tuple[str, ...] = ()
    ) -> Order:
        """Check one hold out."""
        hold = Hold(
            hold_id=hold_id,
            event_id=1,
            customer_id="ann",
            quantity=len(seats) or 2,
            seats=seats,
            expires_at=self.shop.clock.now() + 900,
        )
        request = self.shop.pay(hold, key)
        return self.till.sell(request, verify=self._verify, take=self._take, drop=self._drop)

    def _verify(self, hold: Hold) -> None:
        if not self.valid:
            raise HoldExpired(hold.hold_id)

    def _take(self, _connection: Connection, _hold: Hold) -> bool:
        hook, self.during_take = self.during_take, None
        if hook is not None:
            hook()
        return self.takes

    def _drop(self, hold: Hold) -> None:
        if self.drop_fails:
            raise UnknownOutcome("Redis is gone")
        self.dropped.append(hold.hold_id)
