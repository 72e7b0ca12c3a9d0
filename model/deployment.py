"""What buyers and housekeeping ask of the place a sale is held on, simulated or real.

`model.servers.Cloud` is the simulated one and `model.live.cloud.LiveCloud` the real one; the very
same buyers, sweepers and delayed tasks drive both. Times are the scenario's seconds on both.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from random import Random
from typing import Any, Protocol, TypeVar

import simpy

from model.history import Operation
from model.link import Pace
from model.provider import LedgerEntry
from model.spec import RunSpec
from reservation.api import Strategy


class Host(Protocol):
    """An application server, as who sends requests to it sees it."""

    @property
    def name(self) -> str:
        """Its name in histories: app-0, app-1, ..."""

    @property
    def alive(self) -> bool:
        """Whether its process runs (a paused one does)."""


AnyHost = TypeVar("AnyHost", bound=Host)


def first_alive(servers: Sequence[AnyHost], number: int) -> AnyHost | None:
    """The server a sticky load balancer gives to client `number`; None when all are down."""
    for step in range(len(servers)):
        server = servers[(number + step) % len(servers)]
        if server.alive:
            return server
    return None


class Tasks(Protocol):
    """The durable queue of delayed tasks."""

    on_due: Callable[[str, str], None]
    """Called with a task's name and argument when it is due."""


class Deployment(Protocol):
    """Servers that run strategy calls, and the provider's ledger."""

    @property
    def env(self) -> simpy.Environment:
        """The clock and the schedule, in the scenario's seconds since the sale opened."""

    @property
    def spec(self) -> RunSpec:
        """The run."""

    @property
    def servers(self) -> Sequence[Host]:
        """The application servers, dead or alive."""

    @property
    def tasks(self) -> Tasks:
        """The queue of delayed tasks."""

    @property
    def ledger(self) -> Mapping[str, LedgerEntry]:
        """The payment provider's ledger by idempotency key: the truth about the money."""

    def draw(self, purpose: str, whose: str | int) -> Random:
        """The named child generator of one purpose and one actor."""

    def server_for(self, number: int) -> Host | None:
        """The server a sticky load balancer gives to client `number`; None when all are down."""

    def attend(
        self,
        operation: Operation,
        kind: str,
        pace: Pace,
        server: Host | None,
        call: Callable[[Strategy], Any],
    ) -> Generator[simpy.Event, Any, Any]:
        """Run one strategy call of a buyer or a sweeper (`kind`); returns and raises what it does.

        Raises:
            NotApplied: there is no server, or it died before a worker was free.
            ServerDied: the server died with the call in it.
        """

    def note_end(self, operation: Operation) -> None:
        """Hear that an operation is over (for traces)."""


class FaultsInForce(Protocol):
    """As much of an injector as housekeeping looks at."""

    @property
    def sweepers_stopped(self) -> int:
        """How many faults keep sweepers and delayed tasks from running now."""
