"""Crowds at one row: who waits, who is woken, who is a deadlock's victim, and the run's hash."""

from typing import Any

from sqlalchemy import Connection, insert, update

from tests.model.postgres.world import PostgresWorld, state_of, stock, tickets

CROWD = "ABCDEFGH"


def _row(number: int) -> Any:
    return update(stock).where(stock.c.id == number, stock.c.left > 0).values(left=stock.c.left - 1)


def _outcome(world: PostgresWorld, order: list[str]) -> dict[str, Any]:
    results = world.run()
    return {
        "order": order,
        "told": {name: state_of(result) or "well" for name, result in sorted(results.items())},
        "left": world.left(),
        "waits": len(world.postgres.lock_waits_s),
        "deadlocks": world.postgres.deadlocks,
        "hash": world.kernel.trace.digest(),
    }


def one_row(database: str = "postgres") -> dict[str, Any]:
    """Eight statements wait for one row, which the end of one transaction frees."""
    world = PostgresWorld(left=50, database=database)
    order: list[str] = []

    def first(connection: Connection) -> None:
        connection.execute(_row(1))
        world.kernel.sleep(1.0)

    def take(connection: Connection, name: str) -> None:
        connection.execute(_row(1))
        order.append(name)

    world.transaction(0.0, "first", first)
    for turn, name in enumerate(CROWD):
        world.transaction(0.1 + 0.01 * turn, name, lambda c, name=name: take(c, name))
    return _outcome(world, order)


def one_key(database: str = "postgres") -> dict[str, Any]:
    """Eight inserts of one key wait for a transaction that rolls back: all are woken at once."""
    world = PostgresWorld(database=database)
    order: list[str] = []

    def hesitate(connection: Connection) -> None:
        connection.execute(insert(tickets).values(id=7))
        world.kernel.sleep(1.0)
        connection.rollback()

    def take(connection: Connection, name: str) -> None:
        connection.execute(insert(tickets).values(id=7))
        order.append(name)

    world.transaction(0.0, "first", hesitate)
    for turn, name in enumerate(CROWD):
        world.transaction(0.1 + 0.01 * turn, name, lambda c, name=name: take(c, name))
    return _outcome(world, order)


def deadlocks(database: str = "postgres") -> dict[str, Any]:
    """Three who want three rows in turn and a pair in opposite orders, with a crowd behind them."""
    world = PostgresWorld(left=50, rows=5, database=database)
    order: list[str] = []

    def both(connection: Connection, name: str, rows: tuple[int, int]) -> None:
        connection.execute(_row(rows[0]))
        world.kernel.sleep(0.5)
        connection.execute(_row(rows[1]))
        order.append(name)

    cycles = {"X": (1, 2), "Y": (2, 3), "Z": (3, 1), "V": (4, 5), "W": (5, 4)}
    for turn, (name, rows) in enumerate(cycles.items()):
        world.transaction(0.01 * turn, name, lambda c, name=name, rows=rows: both(c, name, rows))
    for turn, name in enumerate(CROWD):
        rows = (1 + turn % 5, 1 + turn % 5)
        world.transaction(
            0.2 + 0.01 * turn, name, lambda c, name=name, rows=rows: both(c, name, rows)
        )
    return _outcome(world, order)


def all_of_them() -> dict[str, dict[str, Any]]:
    """Each crowd once."""
    told = {"one row": one_row(), "one key": one_key(), "deadlocks": deadlocks()}
    PostgresWorld.close_all()
    return told
