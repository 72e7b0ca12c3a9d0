"""Questions asked of carts outside a sale's transaction: may it be paid, was it held before."""

from dataclasses import dataclass

from sqlalchemy import Engine

from reservation.api import Hold, HoldRequest
from reservation.boundary import database_reading
from reservation.cart_sql import CartSql
from reservation.carts import seats_of
from reservation.database_time import Moments
from reservation.errors import HoldExpired


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstHold:
    """The hold a repeated request got the first time; `live` until it is paid or ends."""

    hold: Hold
    live: bool


class CartReader:
    """Reads carts by the chosen clock."""

    def __init__(self, engine: Engine, statements: CartSql, moments: Moments) -> None:
        self._engine = engine
        self._sql = statements
        self._moments = moments

    def verify(self, hold: Hold, margin_s: float = 0.0) -> None:
        """Let a cart be paid that is held and has more than `margin_s` left.

        Raises:
            HoldExpired: it is not so.
            NotApplied: the database failed.
        """
        asked = {"cart": hold.hold_id, **self._moments.at(margin_s)}
        with database_reading(self._engine) as connection:
            row = connection.execute(self._sql.validity, asked).first()
        if row is not None and row.status == "held" and row.alive:
            return
        state = "not there" if row is None else row.status
        rule = f", and a checkout needs {margin_s:g} s before that" if margin_s else ""
        raise HoldExpired(
            f"cart {hold.hold_id} is {state}; it was valid until {hold.expires_at:.3f}{rule}"
        )

    def first_hold(self, request: HoldRequest, refusal: Exception) -> FirstHold:
        """Answer a request whose hold_id is taken: most likely its first answer was lost.

        Raises:
            HoldExpired: the hold this hold_id named has ended.
            NotApplied: the database failed.
            Exception: `refusal`, when there is no such cart after all.
        """
        asked = {"cart": request.hold_id, **self._moments.at()}
        with database_reading(self._engine) as connection:
            row = connection.execute(self._sql.look_up, asked).first()
        if row is None:
            raise refusal
        live = row.status == "held" and bool(row.alive)
        if not live and row.status != "paid":
            raise HoldExpired(f"hold {request.hold_id} has ended: ask again with a new hold_id")
        first = HoldRequest(
            hold_id=request.hold_id,
            event_id=request.event_id,
            customer_id=request.customer_id,
            quantity=row.quantity,
            seats=seats_of(row.seats),
        )
        return FirstHold(hold=Hold.granted(first, expires_at=row.expires_at), live=live)

    def is_held(self, cart_id: str) -> bool:
        """Say whether a cart is still held, due or not.

        Raises:
            NotApplied: the database failed.
        """
        asked = {"cart": cart_id, **self._moments.at()}
        with database_reading(self._engine) as connection:
            row = connection.execute(self._sql.validity, asked).first()
        return row is not None and row.status == "held"
