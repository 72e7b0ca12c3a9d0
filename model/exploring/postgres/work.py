"""An open transaction, as far as the future depends on it.

Its statements and what they answered are known from what its actor was told. What they did besides
also depends on the committed data they met, so that is remembered: a digest of the tables each
statement looked at, in order (a snapshot looks at all of them). Under REPEATABLE READ and above
there is also what was committed since the snapshot: changing such a row fails, even when it is back
to what it was.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from model.exploring.postgres.locking import Access
from model.exploring.touching import DATABASE_SESSION, Touched

if TYPE_CHECKING:
    from model.exploring.postgres.contents import Contents


class Work:
    """One open transaction."""

    __slots__ = ("_met", "changed_since", "keeps_a_snapshot", "published", "shared", "taken")

    def __init__(self, *, keeps_a_snapshot: bool) -> None:
        """Under READ COMMITTED there is none: each statement has its own."""
        self.keeps_a_snapshot = keeps_a_snapshot
        self.changed_since: set[str] = set()
        self.published: set[str] = set()
        self.shared: set[str] = set()
        self.taken: set[str] = set()
        self._met = hashlib.blake2b(digest_size=16)

    def note(self, access: Access, contents: "Contents") -> None:
        """A statement takes effect on what is committed now."""
        self.published |= access.published
        self.shared |= access.kept[0]
        self.taken |= access.kept[1]
        self.meet(access, contents)

    def meet(self, access: Access, contents: "Contents") -> None:
        """A statement looks at what is committed now: when it begins, and after each wait."""
        for resource in sorted(access.looked_at):
            self._met.update(contents.of(resource))

    @property
    def ending(self) -> Touched:
        """What its commit touches: the data it changes, and the locks that are free then."""
        return frozenset({*self.shared, DATABASE_SESSION}), frozenset(self.taken | self.published)

    @property
    def locks(self) -> Touched:
        """The locks it has."""
        return frozenset(self.shared), frozenset(self.taken)

    def state(self) -> Any:
        """As plain values."""
        return self._met.digest(), sorted(self.changed_since), sorted(self.taken)
