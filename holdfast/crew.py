"""A crew: worker processes that each answer one question after the other, over a pipe.

For work whose next question depends on the last answers, where `holdfast.workers` would wait. Like
there, workers are deaf to Ctrl-C (the parent decides) and end when their parent ends.
"""

import contextlib
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any

from holdfast import interrupts
from holdfast.errors import WorkersLost, lost_database
from holdfast.workers import process_context, start_worker
from model.postgres import address

PATIENCE_S = 5.0  # for a process that was told to end


class ProcessCrew:
    """As many processes as asked for, each with `make(*arguments)` of its own to ask."""

    def __init__(self, size: int, make: Callable[..., Any], **arguments: Any) -> None:
        """Start the processes; they are `ready` a moment later."""
        self.size = size
        self._ends: list[Connection] = []
        self._processes: list[Any] = []
        self._waiting = set(range(size))  # workers that have not said yet that they are ready
        context = process_context()
        try:
            for _ in range(size):
                self._start(context, make, arguments)
        except BaseException:
            self.close()
            raise

    def _start(
        self, context: BaseContext, make: Callable[..., Any], arguments: dict[str, Any]
    ) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]  # every context but the base has it
            target=_serve, args=(theirs, address.known(), make, arguments), daemon=True
        )
        with interrupts.held_back():
            self._ends.append(ours)
            self._processes.append(process)
            process.start()
        theirs.close()

    def ready(self) -> bool:
        """Whether every worker has made what it needs.

        Raises:
            WorkersLost: a worker died.
        """
        self._gather(0.0, self._waiting)
        return not self._waiting

    def send(self, worker: int, errand: Any) -> None:
        """Ask a worker; questions wait at its end until it has answered those before.

        Raises:
            WorkersLost: it died.
        """
        try:
            self._ends[worker].send(errand)
        except OSError as error:
            raise _lost() from error

    def receive(self, *, wait: bool) -> list[tuple[int, Any]]:
        """Return the answers that have come; with `wait`, at least one.

        Raises:
            WorkersLost: a worker died.
        """
        return self._gather(None if wait else 0.0, range(self.size))

    def _gather(self, patience_s: float | None, workers: Iterable[int]) -> list[tuple[int, Any]]:
        by_end = {id(self._ends[worker]): worker for worker in workers}
        found = []
        for end in wait([self._ends[worker] for worker in by_end.values()], patience_s):
            worker = by_end[id(end)]
            try:
                answer = self._ends[worker].recv()
            except (EOFError, OSError) as error:
                raise _lost() from error
            if isinstance(answer, _Failure):
                raise WorkersLost(answer.text)
            if worker in self._waiting:
                self._waiting.discard(worker)
            else:
                found.append((worker, answer))
        return found

    def close(self) -> None:
        """Hang up: every process ends after the question it is at, or is killed.

        One that drives a real server must not be killed between stopping a statement and going on
        with it.
        """
        for end in self._ends:
            end.close()
        for process in self._processes:
            if process.pid is not None:
                process.join(PATIENCE_S)
                process.kill()
                process.join()
        self._processes, self._ends = [], []


class _Failure:
    """An exception in a worker, as text: what it was cannot always cross a pipe."""

    def __init__(self, text: str) -> None:
        self.text = text


def _lost() -> WorkersLost:
    return WorkersLost(
        "a worker process died (killed, or out of memory); --jobs 1 runs without any"
    )


def _serve(
    questions: Connection,
    servers: dict[str, address.Address],
    make: Callable[..., Any],
    arguments: dict[str, Any],
) -> None:
    """Answer until the other end is closed."""
    start_worker(servers)
    with contextlib.suppress(EOFError, OSError):
        try:
            answer = make(**arguments)
            questions.send("ready")
            while True:
                questions.send(answer(questions.recv()))
        except (EOFError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - the parent raises it
            said = f"a worker failed with {type(error).__name__}: {error}; --jobs 1 shows where"
            questions.send(_Failure(lost_database(error) or said))
