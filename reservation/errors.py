"""What a reservation call can end with, other than its answer.

ReservationError
|-- Refused            a definite no; the buyer holds and owes nothing through this call
|   |-- SoldOut            not enough tickets, or the seat is taken
|   |-- HoldExpired        the hold is not there any more (expired, released or lost)
|   |-- PaymentDeclined    the payment provider said no; nothing was captured
|   `-- OrderRefused       paid, but the tickets were gone: the payment was refunded
|-- NotApplied         the call surely had no effect; it may be repeated
`-- UnknownOutcome     the call may have had its effect; repeat it only with the same key
"""


class ReservationError(Exception):
    """The root of every error a strategy raises on purpose."""


class Refused(ReservationError):
    """A definite no: the call is over and left nothing behind."""


class SoldOut(Refused):
    """There are not enough tickets, or a wanted seat is taken."""


class HoldExpired(Refused):
    """The hold is not there any more: it expired, was released, or the store lost it."""


class PaymentDeclined(Refused):
    """The payment provider refused; nothing was captured."""


class OrderRefused(Refused):
    """The payment was captured, the tickets were gone, and the payment was refunded."""


class NotApplied(ReservationError):
    """The call surely had no effect, for a technical reason; it may be repeated."""


class UnknownOutcome(ReservationError):
    """The call may or may not have had its effect; repeat it only with the same key."""
