"""What flow 1 does to carts, seats and the event's counter, apart from how it guards each write.

The three database cart strategies are one flow (`reservation.cart_flow`) over three writers:
conditional updates, SELECT ... FOR UPDATE, and reading without a lock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Executable, Row

from reservation import cart_sql as sql
from reservation.api import Hold, HoldRequest
from reservation.carts import EndedCart, cart_row, seats_of
from reservation.database_time import Moments
from reservation.errors import SoldOut

Times = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CartWriter:
    """The writes of flow 1; each runs inside the caller's transaction.

    A `Times` is what `Moments.at` made for the moment to compare deadlines with.

    `reserve` writes the cart, claims its seats, deducts its tickets and returns its deadline; it
    raises SoldOut (the caller rolls back) and IntegrityError for a cart id that exists.
    `looks_first` says that it raises SoldOut before it could notice such an id.
    `deduct` takes tickets off an event's counter and says whether there were enough.
    `end` ends one held cart, with a `Times` only if it is due; None if it was not so.
    `end_batch` expires the oldest due carts, at most so many.
    `give_back` frees the seats and returns the tickets of carts just ended.
    `confirm` marks a live held cart paid and its seats sold, and says whether it was one.
    """

    reserve: Callable[[Connection, HoldRequest], float]
    looks_first: bool
    deduct: Callable[[Connection, int, int], bool]
    end: Callable[[Connection, str, str, Times | None], EndedCart | None]
    end_batch: Callable[[Connection, Times, int], list[EndedCart]]
    give_back: Callable[[Connection, Sequence[EndedCart]], None]
    confirm: Callable[[Connection, Hold, Times], bool]


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


def too_few(request: HoldRequest) -> SoldOut:
    """Say that an event has not enough tickets left."""
    return SoldOut(f"event {request.event_id} has fewer than {request.quantity} tickets left")


def seat_taken(request: HoldRequest) -> SoldOut:
    """Say that not all wanted seats are free."""
    return SoldOut(f"not all of the seats {', '.join(request.seats)} are free")
