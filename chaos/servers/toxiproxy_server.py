"""A Toxiproxy server in a private room, with one proxy in front of each store."""

from pathlib import Path

from chaos.faults import Target
from chaos.injectors.network import Network
from chaos.injectors.toxiproxy_api import ToxiproxyApi
from chaos.servers.child import Child
from chaos.servers.room import Room
from chaos.stacks.contract import StackBroken

PROXIES = {Target.REDIS: "redis", Target.DATABASE: "postgres"}


class ToxiproxyServer:
    """One Toxiproxy, which lives as long as the stack."""

    def __init__(self, room: Room, program: Path, port: int) -> None:
        self.program = program
        self.port = port
        self.child = Child("toxiproxy", room.subfolder("toxiproxy"))
        self.api = ToxiproxyApi("127.0.0.1", port)
        self.network = Network(self.api, PROXIES)
        room.admit(program)

    def start(self, ports: dict[Target, tuple[int, int]]) -> None:
        """Start it and make the proxies; `ports` are where each listens, and where it leads.

        Raises:
            StackMissing: it is too old.
            StackBroken: it did not become healthy, or a port is taken.
        """
        command = [str(self.program), "-host", "127.0.0.1", "-port", str(self.port)]
        self.child.start(command, {"PATH": "/usr/bin:/bin", "LOG_LEVEL": "warn"})
        self.child.await_healthy(self.api.amiss)
        self.api.require()
        for target, (listen, upstream) in ports.items():
            self.api.create(
                PROXIES[target], listen=f"127.0.0.1:{listen}", upstream=f"127.0.0.1:{upstream}"
            )

    def check(self) -> None:
        """Prove that it runs and that its proxies let everything through.

        Raises:
            StackBroken: it does not.
        """
        if not self.child.running:
            raise StackBroken(self.child.says("is not running"))
        self.network.check()
