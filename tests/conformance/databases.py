"""The two arms of a database test: the simulated SQLite and a real PostgreSQL."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Engine, create_engine, event, exc, text

from tests.model.driving import SmallWorld

BEAT_S = 0.15  # of a real clock: long beside a statement, also on a busy machine


class DatabaseArm(Protocol):
    """An empty database, and a way to run calls that overlap. Times are counted in beats."""

    engine: Engine
    is_simulated: bool

    def at(self, beat: float, name: str, call: Callable[[], Any]) -> None:
        """Have `call` begin then."""

    def pause(self, beats: float) -> None:
        """Let time pass inside a call."""

    def cut(self, beat: float, name: str) -> None:
        """Break the connection of a call that is under way then."""

    def run(self) -> Mapping[str, Any]:
        """Run everything; the result of each call, or its error."""


class SimulatedDatabase:
    """The simulated SQLite; a beat is a virtual second."""

    is_simulated = True

    def __init__(self) -> None:
        self.world = SmallWorld()
        self.engine = self.world.engine

    def at(self, beat: float, name: str, call: Callable[[], Any]) -> None:
        """See `DatabaseArm`."""
        self.world.at(beat, name, call)

    def pause(self, beats: float) -> None:
        """See `DatabaseArm`."""
        self.world.kernel.sleep(beats)

    def cut(self, beat: float, name: str) -> None:
        """The caller's server dies, and with it its connection."""
        self.world.do(beat, lambda: self.world.kill(name))

    def run(self) -> Mapping[str, Any]:
        """See `DatabaseArm`."""
        return self.world.run()


@dataclass
class RealDatabase:
    """A real PostgreSQL; calls are threads, and a beat is a part of a second."""

    url: str
    is_simulated: bool = False
    results: dict[str, Any] = field(default_factory=dict)
    _calls: list[tuple[float, str, Callable[[], Any]]] = field(default_factory=list)
    _backends: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = create_engine(self.url, pool_size=5)
        event.listen(self.engine, "checkout", self._note)

    def _note(self, connection: Any, *_pool: Any) -> None:
        self._backends[threading.current_thread().name] = connection.info.backend_pid

    def at(self, beat: float, name: str, call: Callable[[], Any]) -> None:
        """See `DatabaseArm`."""
        self._calls.append((beat, name, call))

    def pause(self, beats: float) -> None:
        """See `DatabaseArm`."""
        time.sleep(beats * BEAT_S)

    def cut(self, beat: float, name: str) -> None:
        """Its server process is told to end."""

        def terminate() -> None:
            with self.engine.connect() as connection:
                ended = text("SELECT pg_terminate_backend(:pid)")
                connection.execute(ended, {"pid": self._backends[name]})

        self.at(beat, f"cut {name}", terminate)

    def run(self) -> Mapping[str, Any]:
        """See `DatabaseArm`."""

        def body(beat: float, name: str, call: Callable[[], Any]) -> None:
            time.sleep(beat * BEAT_S)
            try:
                self.results[name] = call()
            except exc.SQLAlchemyError as error:
                self.results[name] = error

        threads = [
            threading.Thread(target=body, args=each, name=each[1], daemon=True)
            for each in self._calls
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
            assert not thread.is_alive(), f"{thread.name} does not end"
        return self.results

    def close(self) -> None:
        """Hang up."""
        with suppress(exc.SQLAlchemyError):
            self.engine.dispose()
