"""Carts as values: what flow 1 writes into the carts table and reads back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reservation.api import HoldRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCart:
    """A cart whose hold has just been ended, and what it must give back."""

    cart_id: str
    event_id: int
    quantity: int
    seats: tuple[str, ...]


def check_request(request: HoldRequest) -> None:
    """Refuse a request that no front end should send.

    Raises:
        ValueError: a quantity below 1 would add stock; seats must be as many as the quantity.
    """
    if request.quantity < 1:
        raise ValueError(
            f"hold {request.hold_id} asks for quantity {request.quantity}: ask for 1 or more"
        )
    if request.seats and len(set(request.seats)) != request.quantity:
        raise ValueError(
            f"hold {request.hold_id} names seats {', '.join(request.seats)} "
            f"for quantity {request.quantity}: name each seat once, as many as the quantity"
        )


def cart_row(request: HoldRequest) -> dict[str, Any]:
    """Make the row of a new cart, but for its times."""
    return {
        "id": request.hold_id,
        "event_id": request.event_id,
        "customer_id": request.customer_id,
        "quantity": request.quantity,
        "seats": seats_text(request.seats),
        "status": "held",
    }


def seats_text(seats: Sequence[str]) -> str:
    """Write seat numbers into one column."""
    return ",".join(seats)


def seats_of(text: str) -> tuple[str, ...]:
    """Read what `seats_text` wrote."""
    return tuple(text.split(",")) if text else ()
