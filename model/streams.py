"""Named random streams: one seed, and a generator of its own for everything that draws.

A draw is named by its path, such as (1, "arrival", 12): seed 1, the arrival of buyer 12. Because
nobody shares a generator, adding a strategy, a fault or a buyer shifts nobody else's draws. Two
strategies then meet the very same buyers, and their difference is not blurred by chance (common
random numbers).
"""

from hashlib import blake2b
from random import Random


def _encode(part: str | int) -> str:
    """Spell one part of a path; `|` separates parts and is escaped within them."""
    if isinstance(part, int):
        return str(part)
    if "|" in part or "\\" in part:
        return part.replace("\\", "\\\\").replace("|", "\\|")
    return part


def _number(seed: int, names: tuple[str | int, ...], size: int) -> int:
    """Hash a path to `size` bytes; BLAKE2b is the same everywhere, unlike `hash()`."""
    if not names:
        raise ValueError("a stream needs a name besides its seed, such as stream(1, 'arrival', 12)")
    path = "|".join(map(_encode, (seed, *names)))
    return int.from_bytes(blake2b(path.encode(), digest_size=size).digest(), "big")


def stream(seed: int, *names: str | int) -> Random:
    """Return the generator that belongs to a path, always at its beginning.

    Ask once for each thing that draws, and keep the generator: asking again starts it again. The
    hash of the path (`1|arrival|12`) seeds it, so that it is the same in every process, whatever
    PYTHONHASHSEED is. A number and its decimal spelling are the same name.

    Raises:
        ValueError: no name was given; the seed alone would be everybody's stream.
    """
    return Random(_number(seed, names, 16))


class Streams:
    """The generators of one run; each is made when it is first asked for, and kept."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: dict[tuple[str, str | int], Random] = {}

    def draw(self, purpose: str, whose: str | int) -> Random:
        """The generator of one purpose and one actor."""
        key = (purpose, whose)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = stream(self._seed, purpose, whose)
        return found


def seed_of(seed: int, *names: str | int) -> int:
    """Return the 64-bit number that belongs to a path, to start a generator of one's own.

    Raises:
        ValueError: as for `stream`.
    """
    return _number(seed, names, 8)


def fraction(seed: int, *names: str | int) -> float:
    """Return the one number in [0, 1) that belongs to a path.

    For a thing that draws once. It costs a third of `stream(...).random()`, which differs from it:
    most of the time of a short-lived generator goes into seeding it.

    Raises:
        ValueError: as for `stream`.
    """
    return (_number(seed, names, 8) >> 11) * 2.0**-53
