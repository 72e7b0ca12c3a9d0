"""Runs tasks on several processes: bounded in flight, stopped cleanly, nothing left behind.

The answers do not depend on the number of processes: a task is a value, its function is pure, and
whoever collects the answers sorts them. Worker processes ignore Ctrl-C (the parent decides) and end
when their parent ends, however it ends.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Self, TypeVar

from holdfast import interrupts
from holdfast.errors import WorkersLost
from model.postgres import address

T = TypeVar("T")
R = TypeVar("R")
PRELOAD = [
    "holdfast.cli",
    "holdfast.judged",
    "holdfast.stories",
]  # imported once, in the fork server
IN_FLIGHT_PER_WORKER = 2


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """A context manager over `jobs` processes; one job means this very process, and no other."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[int] = set()

    def __enter__(self) -> Self:
        if self._jobs > 1:
            self._others = {child.pid or 0 for child in multiprocessing.active_children()}
            self._pool = ProcessPoolExecutor(
                max_workers=self._jobs,
                mp_context=process_context(),
                initializer=start_worker,
                initargs=(address.known(),),
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        if kind is None:
            self._pool.shutdown()
            return
        # First the processes (in the middle of a long run, or still starting: they own nothing but
        # themselves), then the pool, whose locks a starting process would miss with a traceback.
        for child in multiprocessing.active_children():
            if child.pid not in self._others:
                child.kill()
                child.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def each(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield the function's answers as they come, taking tasks only as workers get free.

        Raises:
            WorkersLost: a worker process died.
        """
        if self._pool is None:
            for task in tasks:
                with interrupts.patiently():
                    answer = function(task)
                yield answer
                interrupts.check()
            return
        pending: set[Future[R]] = set()
        waiting = iter(tasks)
        try:
            while True:
                self._fill(pending, function, waiting)
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkersLost(
                "a worker process died (killed, or out of memory); --jobs 1 runs without any"
            ) from error

    def _fill(
        self, pending: set[Future[R]], function: Callable[[T], R], waiting: Iterator[T]
    ) -> None:
        assert self._pool is not None
        while len(pending) < self._jobs * IN_FLIGHT_PER_WORKER:
            try:
                task = next(waiting)
            except StopIteration:
                return
            with interrupts.held_back():
                pending.add(self._pool.submit(function, task))


def process_context() -> BaseContext:
    """How worker processes are started: from a fork server that has imported what they need."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def start_worker(servers: dict[str, address.Address]) -> None:
    """Make a new worker deaf to Ctrl-C and mortal with its parent, and show it its databases."""
    address.use(servers)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
