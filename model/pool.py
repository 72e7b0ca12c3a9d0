"""A pool of database connections whose queue stands in virtual time, whatever the database."""

import logging
from typing import Any

from sqlalchemy import exc
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from model.kernel import Kernel, Places

# SQLAlchemy logs a pool's failures and raises them; without a handler they reach the terminal too.
logging.getLogger(__name__).addHandler(logging.NullHandler())


class VirtualTimePool(Pool):
    """SQLAlchemy's queue pool, with the wait for a free connection in virtual time."""

    def __init__(
        self, creator: Any, kernel: Kernel, places: Places, timeout_s: float, **kwargs: Any
    ) -> None:
        super().__init__(creator, **kwargs)
        self._kernel = kernel
        self._places = places
        self._place_timeout_s = timeout_s
        self._idle: list[ConnectionPoolEntry] = []
        self._placed: set[int] = set()

    def _do_get(self) -> ConnectionPoolEntry:
        placed = self._kernel.current is not None
        if placed and not self._kernel.acquire(self._places, self._place_timeout_s):
            raise exc.TimeoutError(
                f"QueuePool limit of size {self._places.capacity} overflow 0 reached,"
                f" connection timed out, timeout {self._place_timeout_s:.2f}"
            )
        try:
            record = self._idle.pop() if self._idle else self._create_connection()
        except BaseException:
            if placed:
                self._places.free()
            raise
        if placed:
            self._placed.add(id(record))
        return record

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._idle.append(record)
        if id(record) in self._placed:
            self._placed.remove(id(record))
            self._places.free()

    def recreate(self) -> "VirtualTimePool":
        """An empty pool of the same kind (SQLAlchemy asks for one when an engine is disposed)."""
        return VirtualTimePool(
            self._creator,
            self._kernel,
            self._places,
            self._place_timeout_s,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def status(self) -> str:
        """For SQLAlchemy's logs."""
        return f"VirtualTimePool places {self._places.capacity} in use {self._places.taken}"
