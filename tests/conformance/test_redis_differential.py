"""Random sequences, with deaths and restarts, on the simulated Redis and on real ones."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chaos.persistence import Persistence
from tests.conformance.arms import RealArm, SimulatedArm
from tests.conformance.conftest import Servers
from tests.conformance.differential import (
    Command,
    Disagreement,
    Restart,
    Step,
    cut_down,
    disagreement,
)
from tests.conformance.sequences import sequences

MODES = list(Persistence)


EFFECTS_ONLY = (7,)


def compare(
    servers: Servers, where: str, persistence: Persistence, *, examples: int
) -> Counter[str]:
    """Hold the simulated Redis against a real one; returns how often what was tried."""
    server = servers(where, persistence)
    real = RealArm(server)
    tried: Counter[str] = Counter()

    def parted(steps: Sequence[Step]) -> Disagreement | None:
        return disagreement(real, SimulatedArm(persistence), steps)

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(sequences(persistence))
    def same(steps: list[Step]) -> None:
        if server.version < EFFECTS_ONLY:  # also on PATH: the wheel puts its server into venv/bin
            steps = [step for step in steps if not _loads_a_script(step)]
        if parted(steps) is not None:
            pytest.fail(str(parted(cut_down(steps, lambda shorter: parted(shorter) is not None))))
        tried.update(_tried(steps))

    try:
        same()
    finally:
        real.close()
    return tried


def _loads_a_script(step: Step) -> bool:
    """Redis before 7 writes SCRIPT LOAD to its append-only file (see `test_redis_restarts`)."""
    return isinstance(step, Command) and step.words[:2] == (b"SCRIPT", b"LOAD")


def _tried(steps: list[Step]) -> list[str]:
    return [
        f"{step.death}" if isinstance(step, Restart)
        else step.words[0].decode() if isinstance(step, Command)
        else type(step).__name__
        for step in steps
    ]  # fmt: skip


@pytest.mark.parametrize("persistence", MODES)
def test_the_simulated_redis_answers_and_forgets_as_the_real_one(
    servers: Servers, persistence: Persistence
) -> None:
    """Every reply, and after each restart every key, value and deadline, is the real server's."""
    tried = compare(servers, "path", persistence, examples=15)
    assert tried["sigkill"] >= 2
    assert tried["sigterm"] >= 2
    assert tried["Call"] >= 5, "calls of the strategies' own code"


@pytest.mark.parametrize("persistence", [Persistence.RDB, Persistence.AOF_EVERYSEC])
def test_the_older_redis_of_the_wheel_answers_the_same(
    servers: Servers, persistence: Persistence
) -> None:
    """Redis 6.2 differs from 7.0 in nothing that the sequences try (but for its words)."""
    tried = compare(servers, "wheel", persistence, examples=10)
    assert tried["sigkill"] + tried["sigterm"] >= 2


@pytest.mark.extended
@pytest.mark.parametrize("where", ["path", "wheel"])
@pytest.mark.parametrize("persistence", MODES)
def test_at_length(servers: Servers, where: str, persistence: Persistence) -> None:
    """The same with five hundred sequences for each program and persistence."""
    compare(servers, where, persistence, examples=500)
