"""What driving a real PostgreSQL in virtual time costs, in real time.

Targets of the project: a run takes at most 1.5 times as long as the same statements issued directly
over psycopg, one after the other; telling blocked from slow costs under 2 ms; a cluster starts
within 2 s; two processes do the work of at least 1.7 (efficiency 0.85).

The Redis commands of a strategy that has some are issued too, by redis-py, between the statements
as they came in the run, to a simulated server.
"""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from random import Random
from typing import Any
from unittest.mock import patch

import psycopg
from redis.exceptions import NoScriptError

from chaos.faults import Target
from chaos.persistence import Persistence
from model.kernel import Kernel, Places
from model.link import Link, TravelTime
from model.postgres import address
from model.postgres.client import VirtualConnection
from model.postgres.flight import Flight
from model.postgres.server import PostgresServer
from model.postgres.stock import stock_of
from model.redis.client import make_client
from model.redis.server import ServerSocket, SimulatedRedis
from model.run import simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from reservation.catalogue import STRATEGIES
from tests.model.postgres.world import TAKE_ONE, PostgresWorld

ROUNDS = 8
PARALLEL_RUNS = 16
TIMED = ("db-cart", "db-cart-row-lock", "db-derived", "redis-hold-recheck")

REDIS = 0
"""The session of Redis commands: a name, and as parameters the moment and the arguments."""

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


def recorded(wanted: RunSpec) -> Sent:
    """Every statement and Redis command of a run, as they ended: session, text, parameters."""
    sent: Sent = []
    told: dict[int, Sent] = {}
    real, real_command = VirtualConnection.cross, VirtualConnection._command
    real_drive, real_process = PostgresServer.drive, ServerSocket._process_command

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

    def process(self: ServerSocket, fields: list[bytes]) -> None:
        sent.append((REDIS, fields[0].decode(), (self._simulated.kernel.now, fields[1:])))
        real_process(self, fields)

    with (
        patch.object(ServerSocket, "_process_command", process),
        patch.object(VirtualConnection, "cross", cross),
        patch.object(VirtualConnection, "_command", command),
        patch.object(PostgresServer, "drive", drive),
    ):
        simulate(wanted)
    schema = ("CREATE", "SELECT pg_catalog")  # found in place by every run but the first
    return [entry for entry in sent if not entry[1].lstrip().startswith(schema)]


class RedisAlone:
    """A simulated Redis, its clock set by hand, and redis-py's client without a link between."""

    def __init__(self) -> None:
        self._kernel = Kernel()
        self._client = make_client(
            self._kernel,
            SimulatedRedis(self._kernel, Persistence.AOF_EVERYSEC),
            Link(self._kernel, Target.REDIS, timeout_s=5.0),
            TravelTime(1.0, 1.0),
            places=Places(self._kernel.env, 1),
            timeout_s=5.0,
            retries=0,
            draw=Random(1),
        )
        self._client.response_callbacks.clear()  # of a command that a MULTI queues: it has none

    def ask(self, name: str, at_s: float, arguments: list[bytes]) -> None:
        """Execute one command."""
        self._kernel.env._now = at_s
        with suppress(NoScriptError):  # as the first time in a run
            self._client.execute_command(name, *arguments)


def direct_s(sent: Sent) -> float:
    """Issue the same statements over psycopg, on as many connections, one after the other.

    The floor: the same texts, parameters and transactions on the same server, by psycopg as it
    comes, apart from the time to connect and to empty the tables, which a run's time includes. It
    keeps to one processor as a run does; that is no slower, and does not depend on other work.
    """
    stock = stock_of("postgres")
    stock.empty()
    sessions = {
        pid: psycopg.connect(
            stock.address.conninfo,
            dbname=stock.name,
            options="-c lock_timeout=5s -c plan_cache_mode=auto",
        )
        for pid in {pid for pid, _, _ in sent} - {REDIS}
    }
    redis = RedisAlone()
    stock.processor.take([each.info.backend_pid for each in sessions.values()])
    started = time.perf_counter()
    for pid, statement, parameters in sent:
        if pid == REDIS:
            redis.ask(statement, *parameters)
            continue
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
    stock.processor.leave()
    for session in sessions.values():
        session.close()
    return taken_s


def detection_ms() -> dict[bool, list[float]]:
    """How long it takes, from the first look for an answer on, to know that a statement waits.

    By whether somebody waits already: then it is looked at sooner.
    """
    taken: dict[bool, list[float]] = {True: [], False: []}
    real = PostgresServer._brought_home

    def timed(self: PostgresServer, flight: Flight) -> bool:
        others = any(each is not flight for each in self.waiting)
        started = time.perf_counter()
        answered = real(self, flight)
        if not answered:
            taken[others].append(1000.0 * (time.perf_counter() - started))
        return answered

    world = PostgresWorld(left=200)

    def buy(connection: Any) -> None:
        connection.execute(TAKE_ONE)
        world.kernel.sleep(0.01)

    for turn in range(60):
        world.transaction(0.001 * turn, f"buyer-{turn}", buy)
    for turn in range(60):  # two at a time: one waits, alone
        world.transaction(100.0 + turn // 2, f"pair-{turn}", buy)
    with patch.object(PostgresServer, "_brought_home", timed):
        world.run()
    PostgresWorld.close_all()
    return taken


def timed_run(wanted: RunSpec) -> tuple[float, float]:
    """A run's seconds, and of these the ones in which its database was made ready and left."""
    ready_s = 0.0

    def timed(real: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*given: Any) -> None:
            nonlocal ready_s
            started = time.perf_counter()
            real(*given)
            ready_s += time.perf_counter() - started

        return wrapped

    with (
        patch.object(PostgresServer, "__init__", timed(PostgresServer.__init__)),
        patch.object(PostgresServer, "close", timed(PostgresServer.close)),
    ):
        started = time.perf_counter()
        simulate(wanted)
        return time.perf_counter() - started, ready_s


def ratios() -> None:
    """Print, for each strategy, a run beside its statements issued directly."""
    print("ratio of a run to its statements, directly: at most 1.5; without: making ready left out")
    print(
        f"{'strategy':20}{'statements':>11}{'Redis':>7}{'run s':>8}{'ready s':>9}{'direct s':>10}"
        f"{'ratio':>7}{'without':>9}"
    )
    for name in TIMED:
        wanted = spec(name)
        sent = recorded(wanted)
        runs: list[tuple[float, float]] = []
        direct: list[float] = []
        for _ in range(ROUNDS):
            runs.append(timed_run(wanted))
            direct.append(direct_s(sent))
        (taken, ready), floor = min(runs), min(direct)
        commands = sum(1 for session, _, _ in sent if session == REDIS)
        print(
            f"{name:20}{len(sent) - commands:>11,}{commands:>7,}{taken:>8.2f}{ready:>9.3f}"
            f"{floor:>10.2f}{taken / floor:>7.2f}{(taken - ready) / floor:>9.2f}"
        )


_sent: Sent = []


def prepare(known: dict[str, address.Address], sent: Sent) -> None:
    """In another process: use this command's cluster, and these statements for `replay`."""
    address.use(known)
    simulate(spec("db-cart"))  # makes the tables
    _sent.extend(sent)


def replay(_seed: int) -> None:
    """The statements of one run, directly."""
    direct_s(_sent)


def play(seed: int) -> None:
    """One run."""
    simulate(spec("db-cart", seed))


def parallel_s(jobs: int, work: Callable[[int], None], sent: Sent) -> float:
    """The same work in so many processes on one cluster, after each has had some."""
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=prepare,
        initargs=(address.known(), sent),
    ) as pool:
        list(pool.map(work, range(jobs * 2)))
        started = time.perf_counter()
        list(pool.map(work, range(PARALLEL_RUNS)))
        return time.perf_counter() - started


def efficiency() -> None:
    """Print what two processes do of twice the work of one, and what psycopg alone reaches."""
    sent = recorded(spec("db-cart"))
    for told, work in (("runs", play), ("their statements, directly", replay)):
        one = two = float("inf")
        for _ in range(2):
            one = min(one, parallel_s(1, work, sent))
            two = min(two, parallel_s(2, work, sent))
        aim = " (at least 0.85)" if work is play else ""
        print(
            f"{PARALLEL_RUNS} {told}: {one:.2f} s in one process, {two:.2f} s in two:"
            f" efficiency {one / two / 2.0:.2f}{aim}"
        )


def main() -> None:
    """Print each figure beside its target."""
    started = time.perf_counter()
    address.address_of("postgres")
    print(f"cluster start {time.perf_counter() - started:.2f} s (at most 2)")
    ratios()
    for others, found in detection_ms().items():
        print(
            f"blocked {'behind others' if others else 'alone':13} detected in"
            f" {statistics.median(found):.2f} ms at the median of {len(found)},"
            f" {sorted(found)[int(0.95 * len(found))]:.2f} ms at the 95th percentile (at most 2)"
        )
    efficiency()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"load of this machine at the end: {load} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
