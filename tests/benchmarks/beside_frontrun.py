"""The same code under frontrun (PyPI, the extra `bench`), as far as it can: threads, real stores.

frontrun runs real threads and finds their conflicts by watching sockets and SQL, so it needs a real
redis-server (in the wheel of the extra `live`) and a SQLite file. `measure` says how long it takes
to explore what `bench_explore` explores: one seat, and so many buyers who hold and pay.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from sqlalchemy import event, select

from reservation.api import Stores
from reservation.errors import ReservationError
from reservation.seat_setnx import INFOS
from reservation.tables import metadata, orders
from tests.reservation.fakes import FakeClock, FakeGateway, FakeTasks
from tests.reservation.shop import Shop, sqlite_engine


@contextmanager
def redis_server() -> Iterator[int]:
    """A redis-server of our own on a free port of the loopback interface."""
    beside = Path(sys.executable).with_name("redis-server")
    binary = str(beside) if beside.exists() else shutil.which("redis-server")
    if binary is None:
        raise FileNotFoundError("no redis-server: pip install 'holdfast[live]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        client = Redis(port=port)
        for _ in range(100):
            try:
                client.ping()
                break
            except ConnectionError:
                time.sleep(0.05)
            except Exception:  # noqa: BLE001 - redis-py's own, until the server listens
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


class Sale:
    """One execution's state: a fresh file, an empty Redis."""

    def __init__(self, folder: Path, port: int) -> None:
        clock = FakeClock()
        engine = sqlite_engine(folder / "shop.db", clock)

        @event.listens_for(engine, "connect")
        def _patient(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA busy_timeout=2000")

        self.redis = Redis(port=port)
        self.redis.flushall()
        stores = Stores(
            engine=engine,
            redis=self.redis,
            payments=FakeGateway(),
            clock=clock,
            tasks=FakeTasks(),
        )
        self.shop = Shop(stores, clock, stores.payments, stores.tasks)  # type: ignore[arg-type]
        metadata.drop_all(engine)
        metadata.create_all(engine)
        self.shop.open(1, ["A1"])

    def buy(self, number: int) -> None:
        """Hold the seat and pay for it."""
        strategy = self.shop.build(INFOS[0])
        try:
            hold = strategy.hold(self.shop.ask(f"h{number}", seat_names=["A1"]))
            strategy.checkout(self.shop.pay(hold))
        except ReservationError:
            return

    def sold_once(self) -> bool:
        """At most one order."""
        with self.shop.engine.connect() as connection:
            return len(connection.execute(select(orders.c.id)).all()) <= 1


def measure(buyers: int, limit_s: float) -> dict[str, Any]:
    """Explore with frontrun; says how long it took, what it covered, and how it ended."""
    import frontrun

    with redis_server() as port, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()

        def worker(number: int) -> Any:
            return lambda sale: sale.buy(number)

        try:
            found = frontrun.explore(
                lambda: Sale(Path(folder), port),
                [worker(number) for number in range(buyers)],
                lambda sale: sale.sold_once(),
                total_timeout=limit_s,
                preemption_bound=None,
            )
        except Exception as error:  # noqa: BLE001 - what another tool raises is its answer
            ended = f"ended by {type(error).__name__}: {str(error)[:120]}"
            explored: Any = None
        else:
            explored, ended = getattr(found, "num_explored", None), "done"
        took_s = time.perf_counter() - began
        if ended == "done" and took_s >= limit_s:
            ended = "time limit"
        return {"seconds": took_s, "executions": explored, "ended": ended}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), float(sys.argv[2]))), flush=True)
