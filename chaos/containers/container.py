"""One server in a container: killed, paused and started again; its log is quoted when it fails."""

import io
import signal
import tarfile
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chaos.containers.engine import asking
from chaos.servers import health
from chaos.servers.health import ENDED_S, LOG_LINES
from chaos.stacks.contract import StackBroken

if TYPE_CHECKING:
    from docker import DockerClient

HEALTHY_S = 60.0
"""How long a server may take to answer; the official PostgreSQL makes its cluster first."""

POLL_S = 0.005


class Container:
    """A container of a project, found by its service.

    Has what `chaos.injectors.life` asks of a server's process: where that says SIGSTOP and SIGCONT,
    Docker freezes all the container's processes and lets them go on.
    """

    def __init__(self, client: "DockerClient", project: str, service: str) -> None:
        self.name = service
        self._api = client.api
        labels = [
            f"com.docker.compose.project={project}",
            f"com.docker.compose.service={service}",
        ]
        with asking(service, "looking for its container"):
            found = self._api.containers(all=True, quiet=True, filters={"label": labels})
        if len(found) != 1:
            raise StackBroken(f"{service}: Compose made {len(found)} containers of it, not one")
        self.id = str(found[0]["Id"])

    @property
    def running(self) -> bool:
        """Whether its process lives (a paused one lives)."""
        return bool(self._state()["Running"])

    @property
    def pid(self) -> int:
        """Its first process's id, as the machine counts.

        Raises:
            StackBroken: it has ended by itself, or was never started.
        """
        state = self._state()
        if not state["Running"]:
            raise StackBroken(self.says("is not running"))
        return int(state["Pid"])

    def start(self) -> None:
        """Start it again on its volume as it is.

        Raises:
            StackBroken: Docker cannot (its port was taken meanwhile).
        """
        with asking(self.name, "starting its container again"):
            self._api.start(self.id)

    def await_healthy(self, ready: Callable[[], str | None], within_s: float = HEALTHY_S) -> None:
        """Wait until `ready` returns None; what it returns instead says what is amiss.

        Raises:
            StackBroken: the container ended, or its server was not ready in time.
        """
        health.await_healthy(self, ready, within_s=within_s, poll_s=POLL_S)

    def kill(self) -> None:
        """Kill all its processes at once and wait until they are gone; repeatable."""
        if not self.running:
            return
        with asking(self.name, "killing its container"):
            if self._state()["Paused"]:
                self._api.unpause(self.id)  # an Engine before 23 cannot kill a frozen one
            self._api.kill(self.id, signal.SIGKILL)
        if not self.await_end():
            raise StackBroken(self.says("is still running after SIGKILL"))

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        with asking(self.name, f"sending {number.name}"):
            self._api.kill(self.id, number)

    def send(self, number: signal.Signals) -> None:
        """Stop or continue all its processes; any other signal goes to the first alone."""
        with asking(self.name, f"sending {number.name}"):
            if number == signal.SIGSTOP:
                self._api.pause(self.id)
            elif number == signal.SIGCONT:
                if self._state()["Paused"]:
                    self._api.unpause(self.id)
            else:
                self._api.kill(self.id, number)

    def await_end(self, within_s: float = ENDED_S) -> bool:
        """Wait for it to end; False when it did not."""
        deadline_s = time.monotonic() + within_s
        while self.running:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(POLL_S)
        return True

    def put(self, folder: str, files: Mapping[str, str | None]) -> None:
        """Write files into a folder of its (also while it is not running); None makes a folder."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, text in files.items():
                header = tarfile.TarInfo(name)
                content = (text or "").encode()
                header.type = tarfile.DIRTYPE if text is None else tarfile.REGTYPE
                header.mode = 0o755 if text is None else 0o644
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
        with asking(self.name, f"writing into {folder}"):
            self._api.put_archive(self.id, folder, stream.getvalue())

    def says(self, what: str) -> str:
        """Return a message about this container, with the last lines of its log."""
        state = self._state()
        ended = "" if state["Running"] else f" (exit status {state['ExitCode']})"
        reason = f": {state['Error']}" if state.get("Error") else ""
        return f"{self.name}: its container {what}{ended}{reason}{self.last_words()}"

    def last_words(self) -> str:
        """The last lines of its log, as the end of a message."""
        with asking(self.name, "reading its log"):
            log: bytes = self._api.logs(self.id, tail=LOG_LINES)
        return health.last_words(log.decode(errors="replace").splitlines())

    def _state(self) -> dict[str, Any]:
        from docker.errors import NotFound

        with asking(self.name, "looking at its container"):
            try:
                state: dict[str, Any] = self._api.inspect_container(self.id)["State"]
            except NotFound as error:
                raise StackBroken(f"{self.name}: somebody removed its container") from error
        return state
