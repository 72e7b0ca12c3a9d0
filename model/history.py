"""What happened in one run: operations, fault spans and the final audit.

Times are seconds after the sale opened (virtual in the simulated arm, wall clock in the live one).
A history is what every invariant is judged on; it is stored as JSON Lines (`model.history_file`).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How an operation ended, for the one who asked."""

    OK = "ok"
    REFUSED = "refused"  # a definite no
    NOT_APPLIED = "not-applied"  # failed, surely without effect
    UNKNOWN = "unknown"  # no answer, or an answer that leaves the effect in doubt


@dataclass(slots=True, kw_only=True)
class Operation:
    """One call of the reservation code.

    `kind`: hold, release, checkout, sweep or task. `completed_s` is None when the run ended
    first; such an operation's outcome is UNKNOWN. For an ok hold, `expires_s` is the deadline it
    was told (same time scale); for a checkout, `captured_s` is when the payment was captured, if it
    was. `reason` names the error class of an operation that was not ok.
    """

    op_id: int
    actor: str  # buyer-12, sweeper-app-0
    kind: str
    invoked_s: float
    event_id: int = 1
    hold_id: str = ""
    key: str = ""  # idempotency key of a checkout
    quantity: int = 0
    seats: tuple[str, ...] = ()
    completed_s: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    reason: str = ""
    expires_s: float | None = None
    captured_s: float | None = None
    order_id: int | None = None
    returned: int = 0  # tickets a sweep or task gave back


@dataclass(slots=True, kw_only=True)
class FaultSpan:
    """A fault as it really struck: what, when, whom, until when (None: to the end).

    `struck` is False when it turned out to have nothing to break, such as lost replies of which
    none was lost; such a fault is no evidence of anything.
    """

    fault: str
    started_s: float
    ended_s: float | None
    detail: str = ""
    struck: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order as the database has it at the end."""

    order_id: int
    key: str
    hold_id: str
    customer_id: str
    event_id: int
    quantity: int
    seats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """A payment as the *provider* has it at the end: how often captured and refunded."""

    key: str
    amount_cents: int
    captured_s: float | None
    refunded_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRow:
    """An event's stock at the end: the database's counter and the strategy's own view.

    `sellable` is what a new hold could get, `held` what live holds keep.
    """

    event_id: int
    capacity: int
    remaining_ticket: int
    sellable: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The state read at rest, after every fault was healed and every hold had ended.

    `quiet_s` is how long the run went on after the last buyer had left, with sweepers running.
    """

    at_s: float
    quiet_s: float
    stock: tuple[StockRow, ...]
    orders: tuple[OrderRow, ...]
    payments: tuple[PaymentRow, ...]


@dataclass(slots=True, kw_only=True)
class History:
    """One run, whole or cut short.

    `meta` carries what is needed to run it again (see `model.run.RunSpec.as_dict`) plus
    `trace_hash`; `capacity` maps event to capacity; `ttl_s` and `sweep_bound_s` are the bounds
    promised (a hold's length; how long after its end its stock may stay unsellable).
    `problems` lists what could not be read from a damaged file, with line numbers.
    """

    meta: dict[str, Any] = field(default_factory=dict)
    capacity: dict[int, int] = field(default_factory=dict)
    ttl_s: float = 900.0
    sweep_bound_s: float = 0.0
    operations: list[Operation] = field(default_factory=list)
    faults: list[FaultSpan] = field(default_factory=list)
    audit: Audit | None = None
    problems: list[str] = field(default_factory=list)
