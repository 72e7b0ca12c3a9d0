"""The private room: what an unprivileged user may reach in it, and its ports."""

import os
from pathlib import Path

import psutil
import pytest

from chaos.servers.room import FIRST_PORT, LAST_PORT, Room, free_ports
from chaos.stacks.contract import StackMissing
from chaos.stacks.embedded import EmbeddedStack


def test_programs_that_a_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    """A virtual environment below /root is closed to the user PostgreSQL is given to."""
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    (closed / "bin" / "postgres").write_text("program", encoding="utf-8")
    closed.chmod(0o700)
    with Room() as room:
        reached = room.readable_by("nobody", closed / "bin")
        assert reached.is_relative_to(room.folder)
        assert (reached / "postgres").read_text(encoding="utf-8") == "program"
        assert room.readable_by("nobody", Path("/usr/bin")) == Path("/usr/bin")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives PostgreSQL to another user")
def test_postgres_runs_from_a_copy(servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy finds its libraries and its templates."""
    monkeypatch.setattr("chaos.servers.room._may_enter", lambda _folder, _uid: False)
    with EmbeddedStack() as stack:
        programs = stack.database.folder_of_programs
        assert programs.is_relative_to(stack.redis.child.folder.parent)
        stack.check()


def test_ports_are_out_of_the_way_of_clients() -> None:
    """Different ones, below those the kernel gives to outgoing connections."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)
    lowest = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if lowest.exists():
        assert int(lowest.read_text(encoding="utf-8").split()[0]) > LAST_PORT


def test_no_place_for_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or missing temporary directory is named with the remedy."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    with (
        pytest.raises(StackMissing, match=r"^temporary directory: .*; set TMPDIR to a place"),
        Room(),
    ):
        pass


def test_no_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every port is taken it says which were tried."""
    monkeypatch.setattr("chaos.servers.room.TRIES", 0)
    with pytest.raises(StackMissing, match=rf"none free between {FIRST_PORT} and {LAST_PORT}"):
        free_ports(1)


def test_a_closed_room_says_who_it_is_for() -> None:
    """Its directory is mode 700 and gone afterwards, and the guardian with it."""
    with Room() as room:
        assert room.folder.stat().st_mode & 0o777 == 0o700
        assert room._keeper is not None
        guardian = psutil.Process(room._keeper.pid)
        assert guardian.is_running()
    assert not guardian.is_running()
    assert not room.folder.exists()
