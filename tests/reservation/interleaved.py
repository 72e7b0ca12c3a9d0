"""Tools that put one buyer's step between two steps of another, or break a call at a chosen one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fakeredis
from redis.exceptions import ConnectionError  # noqa: A004  redis-py's own name
from sqlalchemy import Engine, event

from tests.reservation.shop import Shop


class Died(BaseException):
    """The application server is gone in the middle of a request."""


def die() -> None:
    """Stop the application server here."""
    raise Died


class InterleavedRedis(fakeredis.FakeRedis):
    """A client on which tests act before a command, resend it, and count what was sent.

    `before[name]` runs once, before the next command of that name outside a pipeline. A name in
    `resend` is executed twice and the second reply returned: what redis-py's own retry does after
    a lost reply. `fail_before` and `fail_after` name commands whose sending, or reply, is lost.
    """

    def __init__(self, server: fakeredis.FakeServer) -> None:
        super().__init__(server=server)
        self.before: dict[str, Callable[[], Any]] = {}
        self.resend: set[str] = set()
        self.fail_before: set[str] = set()
        self.fail_after: set[str] = set()
        self.sent: Counter[str] = Counter()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run the command, with whatever the test put around it."""
        name = str(args[0])
        hook = self.before.pop(name, None)
        if hook is not None:
            hook()
        if name in self.fail_before:
            raise ConnectionError(f"{name}: connection lost")
        self.sent[name] += 1
        reply = self._send(*args, **options)
        if name in self.resend:
            reply = self._send(*args, **options)
        if name in self.fail_after:
            raise ConnectionError(f"{name}: connection lost")
        return reply

    def _send(self, *args: Any, **options: Any) -> Any:
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's


def with_interleaving(shop: Shop, server: fakeredis.FakeServer) -> tuple[Shop, InterleavedRedis]:
    """Give the shop a client of its own on the same Redis, and return both."""
    client = InterleavedRedis(server)
    return replace(shop, stores=replace(shop.stores, redis=client)), client


def before_sql(engine: Engine, start: str, act: Callable[[], Any]) -> None:
    """Run `act` once, before the next statement of `engine` that starts with `start`."""
    done: list[bool] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _before(_c: Any, _cur: Any, statement: str, _p: Any, _ctx: Any, _many: bool) -> None:  # noqa: FBT001  SQLAlchemy's signature
        if not done and statement.startswith(start):
            done.append(True)
            act()


def count_sql(engine: Engine) -> Counter[str]:
    """Count the statements of `engine` from now on, by their first word."""
    statements: Counter[str] = Counter()

    @event.listens_for(engine, "before_cursor_execute")
    def _before(_c: Any, _cur: Any, statement: str, _p: Any, _ctx: Any, _many: bool) -> None:  # noqa: FBT001  SQLAlchemy's signature
        statements[statement.split(maxsplit=1)[0]] += 1

    return statements
