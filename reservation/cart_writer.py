"""What flow 1 does to carts, seats and the event's counter, apart from how it guards each write.

The three database cart strategies are one flow (`reservation.cart_flow`) over three writers:
conditional updates, SELECT ... FOR UPDATE, and reading without a lock.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import Connection, Executable, Row

from reservation import cart_sql as sql
from reservation.api import Hold, HoldRequest
from reservation.carts import EndedCart, cart_row, seats_of
from reservation.database_time import Moments

Times = dict[str, float]


class CartWriter(Protocol):
    """The guarded writes of flow 1; each runs inside the caller's transaction.

    `times` is what `Moments.at` made for the moment to compare with.
    """

    def reserve(self, connection: Connection, request: HoldRequest) -> float:
        """Write the cart, claim its seats, deduct its tickets; returns its deadline.

        Raises:
            SoldOut: there is not enough; the caller rolls back.
            IntegrityError: a cart with this id exists.
        """

    def deduct(self, connection: Connection, event_id: int, tickets: int) -> bool:
        """Take tickets off the counter if there are enough."""

    def end(
        self, connection: Connection, cart_id: str, to: str, due: Times | None
    ) -> EndedCart | None:
        """End a held cart; with `due`, only if its deadline has passed. None if it was not so."""

    def end_batch(self, connection: Connection, due: Times, batch: int) -> list[EndedCart]:
        """Expire the oldest held carts whose deadline has passed, at most `batch`."""

    def give_back(self, connection: Connection, ended: Sequence[EndedCart]) -> None:
        """Free the seats and return the tickets of carts just ended."""

    def confirm(self, connection: Connection, hold: Hold, alive: Times) -> bool:
        """Mark a cart paid and its seats sold if it is held and its deadline has not passed."""


class CartInserter:
    """Writes new carts with deadlines by the chosen clock."""

    def __init__(self, statements: sql.CartSql, moments: Moments, ttl_s: float) -> None:
        self._insert = statements.insert
        self._moments = moments
        self._ttl_s = ttl_s

    def insert(self, connection: Connection, request: HoldRequest) -> float:
        """Write a cart; returns its deadline.

        Raises:
            IntegrityError: a cart with this id exists.
        """
        row = cart_row(request)
        now = self._moments.at().get("moment")
        if now is not None:
            row["created_at"] = now
            row["expires_at"] = now + self._ttl_s
            connection.execute(self._insert, row)
            return now + self._ttl_s
        row |= {"shift": 0.0, "ttl": self._ttl_s}
        return float(connection.execute(self._insert, row).scalar_one())


def ended_carts(rows: Sequence[Row[*tuple[Any, ...]]]) -> list[EndedCart]:
    """Read carts from rows of `id, event_id, quantity, seats`."""
    return [
        EndedCart(cart_id=row[0], event_id=row[1], quantity=row[2], seats=seats_of(row[3]))
        for row in rows
    ]


def give_back_by_event(
    connection: Connection,
    ended: Sequence[EndedCart],
    free_seats: Executable,
    add_back: Callable[[Connection, int, int], None],
) -> None:
    """Return the stock of many carts with one counter write per event, seats first."""
    by_event = sorted(ended, key=lambda cart: cart.event_id)
    tickets: list[tuple[int, int]] = []
    for event_id, group in groupby(by_event, key=lambda cart: cart.event_id):
        of_event = list(group)
        numbers = sorted({number for cart in of_event for number in cart.seats})
        for start in range(0, len(numbers), sql.IN_LIST):
            some = numbers[start : start + sql.IN_LIST]
            connection.execute(free_seats, {"event": event_id, "numbers": some})
        tickets.append((event_id, sum(cart.quantity for cart in of_event)))
    for event_id, count in tickets:
        add_back(connection, event_id, count)
