"""Put something between two statements of one actor: another actor, or the end of the server."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class ServerDied(BaseException):
    """The application server is gone: no handler of the code under test may run on."""


def die() -> None:
    """End the server here."""
    raise ServerDied


@contextmanager
def before_statement(
    engine: Engine, start: str, act: Callable[[], None], *, occurrence: int = 1
) -> Iterator[None]:
    """Run `act` before the `occurrence`-th statement on `engine` that starts with `start`.

    Raises:
        AssertionError: there was no such statement, so the test would prove nothing.
    """
    seen = 0

    def strike(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal seen
        if statement.startswith(start):
            seen += 1
            if seen == occurrence:
                act()

    event.listen(engine, "before_cursor_execute", strike)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", strike)
    assert seen >= occurrence, f"only {seen} statements started with {start!r}"


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Collect the first two words of each statement on `engine`."""
    collected: list[str] = []

    def collect(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        collected.append(" ".join(statement.split()[:2]).rstrip(","))

    event.listen(engine, "before_cursor_execute", collect)
    try:
        yield collected
    finally:
        event.remove(engine, "before_cursor_execute", collect)


@contextmanager
def connections_held(engine: Engine) -> Iterator[Callable[[], int]]:
    """Count the connections lent by `engine` at any moment; the count is read by calling."""
    held = 0

    def lend(*_: Any) -> None:
        nonlocal held
        held += 1

    def take_back(*_: Any) -> None:
        nonlocal held
        held -= 1

    event.listen(engine, "checkout", lend)
    event.listen(engine, "checkin", take_back)
    try:
        yield lambda: held
    finally:
        event.remove(engine, "checkout", lend)
        event.remove(engine, "checkin", take_back)
