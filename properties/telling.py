"""Which operations and actors tell a violation, and in which words."""

from collections.abc import Iterable

from model.history import Operation
from properties.evidence import HoldLife, Sold


def counted(count: int, thing: str) -> str:
    """Write a number of things: 1 run, 2 runs."""
    return f"{count} {thing}{'s' * (count != 1)}"


def tickets(count: int, kind: str = "") -> str:
    """Write a number of tickets, perhaps of a `kind`: 1 ticket, 2 unsold tickets."""
    return counted(count, f"{kind} ticket".strip())


def in_order(operations: Iterable[Operation]) -> tuple[int, ...]:
    """Return the operations' ids in order of invocation, each once."""
    ordered = sorted(operations, key=lambda op: (op.invoked_s, op.op_id))
    return tuple(dict.fromkeys(op.op_id for op in ordered))


def sale_op_ids(sales: Iterable[Sold]) -> tuple[int, ...]:
    """List the holds and payments behind some sales, in order of invocation."""
    return life_op_ids(sale.life for sale in sales if sale.life is not None)


def life_op_ids(lives: Iterable[HoldLife]) -> tuple[int, ...]:
    """List the operations of some holds, in order of invocation."""
    return in_order(op for life in lives for op in life.story())


def sale_actors(sales: Iterable[Sold]) -> tuple[str, ...]:
    """Name the owners, each once, in the order of their sales."""
    return tuple(dict.fromkeys(sale.owner for sale in sales))
