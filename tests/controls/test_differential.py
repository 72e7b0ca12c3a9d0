"""The differential test finds a defect that is put into the simulated Redis, and cuts it down.

A comparison that never fails would look like a simulation that is never wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from chaos.faults import Death
from chaos.persistence import Persistence
from model.redis.corrections import CorrectedSocket
from model.redis.disk import AppendOnlyFile
from model.redis.server import SimulatedRedis
from tests.conformance.arms import RealArm, SimulatedArm
from tests.conformance.conftest import Servers, servers  # noqa: F401 - the fixture
from tests.conformance.differential import Step, cut_down, disagreement
from tests.conformance.sequences import sequences

EXAMPLES = 150
Plant = Callable[[pytest.MonkeyPatch], None]


def set_keeps_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """SET without KEEPTTL leaves the old deadline in place."""
    right = CorrectedSocket.set_

    def wrong(self: Any, key: Any, value: bytes, *options: bytes) -> Any:
        before = key.expireat
        done = right(self, key, value, *options)
        key.expireat = key.expireat or before
        return done

    monkeypatch.setattr(CorrectedSocket, "set_", wrong)


def the_last_command_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGKILL costs the command that was written last."""
    right = AppendOnlyFile.survivors
    monkeypatch.setattr(
        AppendOnlyFile, "survivors", lambda self, death: max(0, right(self, death) - 1)
    )


def scripts_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script cache outlives the process."""
    right = SimulatedRedis.start

    def wrong(self: SimulatedRedis) -> None:
        scripts = dict(self.fake.script_cache)
        right(self)
        self.fake.script_cache = scripts

    monkeypatch.setattr(SimulatedRedis, "start", wrong)


def deadlines_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a deadline stands still while the server is down."""
    right = SimulatedRedis.die

    def wrong(self: SimulatedRedis, death: Death) -> None:
        right(self, death)
        for database in self.fake.dbs.values():
            for item in database._dict.values():
                if item.expireat is not None:
                    item.expireat += 0.125

    monkeypatch.setattr(SimulatedRedis, "die", wrong)


def sigterm_does_not_save(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with save points ends without a snapshot."""
    monkeypatch.setattr(SimulatedRedis, "die", _dying_without_a_snapshot(SimulatedRedis.die))


def _dying_without_a_snapshot(right: Callable[..., None]) -> Callable[..., None]:
    def wrong(self: SimulatedRedis, death: Death) -> None:
        right(self, Death.SIGKILL if death is Death.SIGTERM else death)

    return wrong


def exec_forgets_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXEC runs although a watched key was written."""
    monkeypatch.setattr(CorrectedSocket, "notify_watch", lambda _self: None)


CONTROLS: list[tuple[Plant, Persistence, int]] = [
    (set_keeps_the_deadline, Persistence.NONE, 2),
    (the_last_command_is_lost, Persistence.AOF_EVERYSEC, 2),
    (scripts_survive, Persistence.NONE, 3),
    (deadlines_stop, Persistence.AOF_NO, 3),
    (sigterm_does_not_save, Persistence.RDB, 2),
    (exec_forgets_to_watch, Persistence.NONE, 4),
]
"""A defect, the persistence it shows under, and in how many steps it can be told."""


@pytest.mark.parametrize(
    ("plant", "persistence", "shortest"), CONTROLS, ids=[plant.__name__ for plant, *_ in CONTROLS]
)
def test_a_planted_defect_is_found(
    servers: Servers,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    persistence: Persistence,
    shortest: int,
) -> None:
    """Within the stated number of sequences; and it is cut down to the few steps that show it."""
    real = RealArm(servers("path", persistence))
    plant(monkeypatch)

    def parts(steps: Sequence[Step]) -> bool:
        return disagreement(real, SimulatedArm(persistence), steps) is not None

    story = find(
        sequences(persistence),
        parts,
        settings=settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    told = cut_down(story, parts)
    real.close()
    assert len(told) <= shortest, told
