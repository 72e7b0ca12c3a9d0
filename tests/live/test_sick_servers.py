"""Servers that do not start, never become healthy or are not to be had: one message, a remedy."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.faults import DatabaseRestart, Death, Fault, RedisDeath, Target
from chaos.injectors.toxiproxy_api import ToxiproxyApi
from chaos.persistence import Persistence
from chaos.servers import binaries
from chaos.servers.binaries import Program
from chaos.servers.postgres_server import unprivileged_user
from chaos.servers.redis_server import RedisServer
from chaos.servers.room import Room, free_ports
from chaos.servers.toxiproxy_server import ToxiproxyServer
from chaos.stacks.contract import StackBroken, StackMissing
from chaos.stacks.embedded import EmbeddedStack

FINDERS = (binaries.redis_server, binaries.postgres, binaries.toxiproxy_server, binaries.compiler)


@pytest.fixture
def fresh_search() -> Iterator[None]:
    """Forget what was found, before and after."""
    for find in FINDERS:
        find.cache_clear()
    yield
    for find in FINDERS:
        find.cache_clear()


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody listens on a loopback port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


def script(path: Path, text: str) -> Path:
    """Write an executable."""
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_server_that_never_becomes_healthy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is given up after a bound; the message has the component and the end of its log."""
    monkeypatch.setattr("chaos.servers.child.HEALTHY_S", 0.3)
    lazy = script(tmp_path / "redis-server", "echo cannot find my glasses; exec sleep 60")
    with Room() as room:
        (port,) = free_ports(1)
        server = RedisServer(room, Program(path=lazy, version=(7, 0)), port)
        with pytest.raises(StackBroken) as raised:
            server.renew(Persistence.NONE)
        server.child.kill()
    said = str(raised.value)
    assert said.startswith("redis: was not healthy within 0.3 s (")
    assert said.endswith("; its log ends:\n  cannot find my glasses")


def test_a_server_that_ends_at_once(tmp_path: Path) -> None:
    """Its exit status and its last words are told, without waiting for the bound."""
    failing = script(tmp_path / "redis-server", "echo no memory; exit 7")
    with Room() as room:
        (port,) = free_ports(1)
        server = RedisServer(room, Program(path=failing, version=(7, 0)), port)
        with pytest.raises(StackBroken) as raised:
            server.renew(Persistence.NONE)
    assert str(raised.value) == (
        "redis: ended while it was starting (exit status 7); its log ends:\n  no memory"
    )


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (RedisDeath(death=Death.SIGKILL, down_s=1.0), "redis"),
        (DatabaseRestart(down_s=1.0), "postgres"),
    ],
)
def test_a_port_that_another_takes_meanwhile(
    embedded: EmbeddedStack, fault: Fault, name: str
) -> None:
    """The server says so in its log, which the message quotes; healing can be tried again."""
    server = embedded.redis if name == "redis" else embedded.database
    breakage = embedded.strike(fault)
    with taken(server.port), pytest.raises(StackBroken) as raised:
        breakage.heal()
    assert str(raised.value).startswith(f"{name}: ended while it was starting (exit status 1)")
    assert "Address already in use" in str(raised.value)
    breakage.heal()
    embedded.check()


@pytest.mark.toxiproxy
def test_a_port_of_a_proxy_that_is_taken(toxiproxy: None) -> None:
    """Toxiproxy answers with an error 500, which is not taken for a success."""
    port, api_port = free_ports(2)
    with taken(port), Room() as room:
        server = ToxiproxyServer(room, binaries.toxiproxy_server(), api_port)
        try:
            with pytest.raises(StackBroken, match=r"^toxiproxy: .* address already in use"):
                server.start({Target.REDIS: (port, port)})
        finally:
            server.child.kill()


@pytest.mark.parametrize(
    ("find", "says"),
    [
        (binaries.redis_server, "redis-server: not found. pip install 'holdfast[live]'"),
        (binaries.postgres, "postgres: not found. pip install 'holdfast[live]'"),
        (binaries.toxiproxy_server, "toxiproxy: no server found. go install github.com/Shopify"),
        (binaries.compiler, "C compiler: none found. apt install gcc"),
    ],
)
def test_what_is_not_installed(
    fresh_search: None, monkeypatch: pytest.MonkeyPatch, find: object, says: str
) -> None:
    """The message names the component and how to get it."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("GOBIN", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    monkeypatch.setattr(binaries, "DEBIAN_POSTGRES", Path("/nonexistent"))
    assert callable(find)
    with pytest.raises(StackMissing) as raised:
        find()
    assert str(raised.value).startswith(says)


def test_a_redis_that_is_too_old(
    fresh_search: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The oldest that will do is named, and where the old one is."""
    script(tmp_path / "redis-server", "echo Redis server v=5.0.14 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    with pytest.raises(StackMissing, match=r"redis-server is 5\.0\.14, 6 is needed\. pip install"):
        binaries.redis_server()


def test_the_newest_of_several_is_taken(
    fresh_search: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A newer server on PATH wins over the wheel's; what cannot be executed is passed over."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    script(tmp_path / "redis-server", "echo Redis server v=99.1.2 sha=0")
    assert binaries.redis_server().words == "99.1.2"
    binaries.redis_server.cache_clear()
    (tmp_path / "redis-server").write_text("no program", encoding="utf-8")
    assert binaries.redis_server().path != tmp_path / "redis-server"


def test_root_without_anybody_to_run_postgres_as(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do about it; an ordinary user needs nobody."""
    monkeypatch.setattr("chaos.servers.postgres_server.UNPRIVILEGED", ("nobody-by-this-name",))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(StackMissing, match="run holdfast as an ordinary user"):
        unprivileged_user()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert unprivileged_user() is None


@contextmanager
def pretended_toxiproxy(version: str) -> Iterator[int]:
    """Serve `/version` as some Toxiproxy does."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer everything with the version."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(version.encode())

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("told", ["2.1.4", '{"version": "2.1.4"}', '{"version": "1.2"}'])
def test_a_toxiproxy_that_is_too_old(told: str) -> None:
    """Before 2.2 there is no reset_peer; the message names the version and the remedy."""
    with pretended_toxiproxy(told) as port, pytest.raises(StackMissing) as raised:
        ToxiproxyApi("127.0.0.1", port).require()
    assert f"127.0.0.1:{port} is version " in str(raised.value)
    assert "2.2 is needed. go install" in str(raised.value)


@pytest.mark.parametrize("told", ["2.2.0", '{"version": "2.12.0"}', '{"version": "git"}'])
def test_a_toxiproxy_that_is_new_enough(told: str) -> None:
    """Built by `go install` it calls itself `git`, which says nothing against it."""
    with pretended_toxiproxy(told) as port:
        ToxiproxyApi("127.0.0.1", port).require()


def test_a_toxiproxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at once, also where HTTP_PROXY is set: loopback never goes through a proxy."""
    (port,) = free_ports(1)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(StackMissing, match=rf"^toxiproxy: 127\.0\.0\.1:{port} does not answer"):
        ToxiproxyApi("127.0.0.1", port).require()
    with pretended_toxiproxy('{"version": "2.12.0"}') as port:
        assert ToxiproxyApi("127.0.0.1", port).version() == "2.12.0"
