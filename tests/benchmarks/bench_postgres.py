"""What driving a real PostgreSQL in virtual time costs, in real time.

Targets of the project: a run takes at most 1.5 times as long as the same statements issued directly
over psycopg, one after the other; telling blocked from slow costs under 2 ms; a cluster starts
within 2 s; two processes do the work of at least 1.7 (efficiency 0.85).
"""

import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import psycopg

from chaos.persistence import Persistence
from model.postgres import address
from model.postgres.client import VirtualConnection
from model.postgres.flight import Flight
from model.postgres.server import PostgresServer
from model.postgres.stock import stock_of
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from reservation.catalogue import STRATEGIES
from tests.model.postgres.world import TAKE_ONE, PostgresWorld

ROUNDS = 5
PARALLEL_RUNS = 16
TIMED = ("db-cart", "db-cart-row-lock", "db-derived", "redis-hold-recheck")

Sent = list[tuple[int, str, Any]]


def spec(strategy: str, seed: int = 1) -> RunSpec:
    """A run of the on-sale scenario on PostgreSQL."""
    persistence = Persistence.AOF_EVERYSEC if STRATEGIES[strategy].uses_redis else None
    return RunSpec(
        scenario=load_scenario("on-sale", {}),
        strategy=strategy,
        seed=seed,
        persistence=persistence,
        database="postgres",
    )


def run(wanted: RunSpec) -> None:
    """One run (at module level, for other processes)."""
    simulate(wanted)


def recorded(wanted: RunSpec) -> Sent:
    """Every statement of a run in the order in which they ended: session, text, parameters."""
    sent: Sent = []
    told: dict[int, Sent] = {}
    real, real_command = VirtualConnection.cross, VirtualConnection._command
    real_drive = PostgresServer.drive

    def cross(
        self: VirtualConnection,
        label: str,
        statement: Any = None,
        form: Any = None,
        parameters: Any = (None,),
    ) -> Any:
        given = [] if statement is None else list(parameters)
        told[self.pid] = [(self.pid, statement.text, each) for each in given]
        return real(self, label, statement, form, given)

    def command(self: VirtualConnection, verb: str) -> Any:
        results = real_command(self, verb)
        sent.append((self.pid, verb, None))
        return results

    def drive(self: PostgresServer, flight: Flight) -> Any:
        entries = told[flight.pid][:1]
        del told[flight.pid][:1]
        result = real_drive(self, flight)
        sent.extend(entries)
        return result

    with (
        patch.object(VirtualConnection, "cross", cross),
        patch.object(VirtualConnection, "_command", command),
        patch.object(PostgresServer, "drive", drive),
    ):
        simulate(wanted)
    schema = ("CREATE", "SELECT pg_catalog")  # found in place by every run but the first
    return [entry for entry in sent if not entry[1].lstrip().startswith(schema)]


def direct_s(sent: Sent) -> float:
    """Issue the same statements over psycopg, on as many connections, one after the other."""
    stock = stock_of("postgres")
    stock.empty()
    sessions = {
        pid: psycopg.connect(
            stock.address.conninfo,
            dbname=stock.name,
            prepare_threshold=None,
            options="-c lock_timeout=5s",
        )
        for pid in {pid for pid, _, _ in sent}
    }
    started = time.perf_counter()
    for pid, statement, parameters in sent:
        session = sessions[pid]
        if statement == "COMMIT":
            session.commit()
        elif statement == "ROLLBACK":
            session.rollback()
        else:
            cursor = session.cursor()
            cursor.execute(statement, parameters)
            if cursor.description is not None:
                cursor.fetchall()
    taken_s = time.perf_counter() - started
    for session in sessions.values():
        session.close()
    return taken_s


def detection_ms() -> list[float]:
    """How long it takes, from the probe on, to know that a statement waits for a lock."""
    taken: list[float] = []
    real = PostgresServer._waits

    def timed(self: PostgresServer, flight: Any) -> bool:
        started = time.perf_counter()
        waits = real(self, flight)
        if waits:
            taken.append(1000.0 * (time.perf_counter() - started) + 1.0)  # the probe's own 1 ms
        return waits

    world = PostgresWorld(left=200)

    def buy(connection: Any) -> None:
        connection.execute(TAKE_ONE)
        world.kernel.sleep(0.01)

    for turn in range(60):
        world.transaction(0.001 * turn, f"buyer-{turn}", buy)
    with patch.object(PostgresServer, "_waits", timed):
        world.run()
    PostgresWorld.close_all()
    return taken


def parallel_s(jobs: int) -> float:
    """The same runs in so many processes on one cluster, after each has had one."""
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=address.use,
        initargs=(address.known(),),
    ) as pool:
        list(pool.map(run, [spec("db-cart", seed) for seed in range(jobs * 2)]))
        started = time.perf_counter()
        list(pool.map(run, [spec("db-cart", seed) for seed in range(PARALLEL_RUNS)]))
        return time.perf_counter() - started


def main() -> None:
    """Print each figure beside its target."""
    started = time.perf_counter()
    address.address_of("postgres")
    print(f"cluster start {time.perf_counter() - started:.2f} s (at most 2)")
    print(
        f"{'strategy':22}{'statements':>11}{'run s':>8}{'direct s':>10}{'ratio':>7} (at most 1.5)"
    )
    for name in TIMED:
        wanted = spec(name)
        sent = recorded(wanted)
        runs, direct = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            simulate(wanted)
            runs.append(time.perf_counter() - started)
            direct.append(direct_s(sent))
        ratio = min(runs) / min(direct)
        print(f"{name:22}{len(sent):>11,}{min(runs):>8.2f}{min(direct):>10.2f}{ratio:>7.2f}")
    found = detection_ms()
    print(
        f"blocked detected in {statistics.median(found):.2f} ms at the median of {len(found)},"
        f" {sorted(found)[int(0.95 * len(found))]:.2f} ms at the 95th percentile (at most 2)"
    )
    one, two = parallel_s(1), parallel_s(2)
    print(
        f"{PARALLEL_RUNS} runs: {one:.2f} s in one process, {two:.2f} s in two:"
        f" efficiency {one / two / 2.0:.2f} (at least 0.85)"
    )


if __name__ == "__main__":
    main()
