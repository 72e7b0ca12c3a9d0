"""What a stack of real servers offers, whatever it is made of.

The live arm (`model.live`) knows stacks only by this contract: it asks for fresh servers, lets the
stack break what is the stack's to break (servers, disks, the network), and has it healed and proved
healthy before anything is judged. Application servers, sweepers and the payment provider are not
here: they belong to the live arm itself.

Errors (drawn here once):

    StackError             a message names the component and the remedy
    |- StackMissing        something is not installed, not running, or not allowed: exit status 2
    |- StackBroken         a component that was there died or never became healthy: exit status 3
"""

from dataclasses import dataclass
from typing import Protocol, Self

from chaos.faults import Fault
from chaos.persistence import Persistence


class StackError(Exception):
    """A stack cannot do what it was asked; the message names the component and the remedy."""


class StackMissing(StackError):
    """A component is not installed, not reachable, too old, or not allowed: repair it first."""


class StackBroken(StackError):
    """A component died, or did not become healthy in time, while it was in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the servers of a stack listen.

    The application uses the first two, which lead through the proxy when there is one; audits and
    health checks use the direct ones, which never do. Database URLs are SQLAlchemy's
    (`postgresql+psycopg://`).
    """

    redis_url: str
    database_url: str
    direct_redis_url: str
    direct_database_url: str
    proxied: bool


class Breakage(Protocol):
    """A fault that is in force; whoever struck it heals it, on every way out."""

    detail: str
    """What was struck, in a few words, for the history's fault span."""

    struck: bool
    """False when there turned out to be nothing to break (a slow fsync without an AOF)."""

    def heal(self) -> None:
        """Undo it and wait until the server answers with its data loaded; repeatable.

        Raises:
            StackBroken: the server did not become healthy within its bound.
        """


class Stack(Protocol):
    """A Redis, a PostgreSQL and perhaps a Toxiproxy, started for this command alone.

    A context manager: leaving it, on any exit path, stops all that it started and removes all that
    it made.
    """

    name: str  # embedded | compose | external

    def __enter__(self) -> Self:
        """Start everything and wait until it is healthy.

        Raises:
            StackMissing: a component is not to be had; the message says how to get it.
            StackBroken: a server did not become healthy.
        """

    def __exit__(self, *failure: object) -> None:
        """Stop and remove everything."""

    def renew(self, persistence: Persistence | None) -> Endpoints:
        """Give an empty Redis with this persistence (None: it is not used) and an empty database.

        Ports and URLs stay the same for the life of the stack. Called before each run.

        Raises:
            StackBroken: a server did not become healthy.
        """

    def keeps(self) -> Persistence | None:
        """Say how Redis keeps its data, where that is not ours to choose; None: as `renew` is told.

        Raises:
            StackMissing: it cannot be reached, or does not tell. StackBroken: it failed.
        """

    def refuses(self, fault: Fault) -> str | None:
        """Say why this stack cannot do `fault` and what would enable it; None: it can."""

    def strike(self, fault: Fault) -> Breakage:
        """Break something now; returns as soon as it is broken.

        Durations inside `fault` are ignored: the caller heals when they have passed.

        Raises:
            UnsupportedFault: `refuses` said so.
            StackBroken: it could not be broken (the server had died by itself).
        """

    def check(self) -> None:
        """Prove that every server answers, with its data loaded and no toxic left.

        Raises:
            StackBroken: one does not; the message says which.
        """
