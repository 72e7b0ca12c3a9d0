"""Where a private server lives: in memory if that has room, and where people say."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from model.postgres import cluster

PLENTY = 3_000_000_000


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that stands for the one in memory; nobody has chosen another place."""
    folder = tmp_path / "memory"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(cluster, "IN_MEMORY", str(folder))
    for name in cluster.CHOSEN_BY:
        monkeypatch.delenv(name, raising=False)
    _has(monkeypatch, memory=PLENTY, room=PLENTY)
    return folder


def _has(patch: pytest.MonkeyPatch, *, memory: int, room: int, flags: int = 0) -> None:
    system = SimpleNamespace(f_bavail=room, f_frsize=1, f_flag=flags)
    patch.setattr(cluster.os, "statvfs", lambda _folder: system)
    patch.setattr(cluster.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))


def test_it_lives_in_memory_if_there_is_plenty(memory: Path) -> None:
    """Also when the server runs as somebody else than root."""
    assert cluster._place(None) == cluster._place("nobody") == str(memory)


@pytest.mark.parametrize("name", cluster.CHOSEN_BY)
def test_a_place_that_was_chosen_is_kept(
    memory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """TMPDIR is how people say where there is room."""
    assert memory.exists()
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(cluster.tempfile, "tempdir", None)  # it remembers
    assert cluster._place(None) != str(memory)


@pytest.mark.parametrize("short", ["memory", "room", "noexec", "closed", "absent"])
def test_otherwise_it_lives_on_the_disk(
    memory: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    """A container's 64 MB, a machine without memory to spare, a folder that forbids programs."""
    _has(
        monkeypatch,
        memory=10**9 if short == "memory" else PLENTY,
        room=64_000_000 if short == "room" else PLENTY,
        flags=cluster.os.ST_NOEXEC if short == "noexec" else 0,
    )
    if short == "closed":
        memory.chmod(0o700)
    if short == "absent":
        memory.rmdir()
    assert cluster._place(None) == cluster.tempfile.gettempdir()
