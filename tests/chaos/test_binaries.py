"""Which server programs are found."""

from pathlib import Path

import pytest

from chaos.servers import binaries


def program(folder: Path, version: str) -> Path:
    """A program that says so."""
    folder.mkdir()
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho Redis server v={version} sha=00000000:0\n")
    path.chmod(0o755)
    return path


def test_the_newest_of_all_on_the_path_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An activated environment stands first on PATH, with whatever its wheels carry."""
    program(tmp_path / "environment", "6.2.14")
    newest = program(tmp_path / "system", "99.0.1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'environment'}:{tmp_path / 'system'}:/usr/bin:/bin")
    binaries.redis_server.cache_clear()
    try:
        assert binaries.redis_server().path == newest
    finally:
        binaries.redis_server.cache_clear()
