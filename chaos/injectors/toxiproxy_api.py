"""Toxiproxy's HTTP interface, through the HTTP layer of `toxiproxy-python`.

Of that library (0.1.1, of 2019) only the lowest layer, `APIConsumer`, is used, because those above
it share one host and port for the whole process, have no time limit (a server that hangs would hang
the run), go through the proxy of `HTTP_PROXY` also to loopback, and take an error 500 (a port that
is taken) for a success. Each `ToxiproxyApi` makes a consumer of its own and passes what is missing.
"""

import re
from typing import Any

from chaos.faults import Toxic
from chaos.servers.binaries import GET_TOXIPROXY
from chaos.stacks.contract import StackBroken, StackMissing

ASK_S = 5.0
OLDEST = (2, 2)
"""The first with `reset_peer` (its changelog, 2.2.0)."""

_LIMITS = {"timeout": ASK_S, "proxies": {"http": "", "https": ""}}


class ToxiproxyApi:
    """One Toxiproxy server's interface.

    Every method raises `StackBroken` when the server does not answer or says no.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            from toxiproxy.api import APIConsumer
        except ModuleNotFoundError as error:
            raise StackMissing(
                f"toxiproxy: no module {error.name}; pip install 'holdfast[live]'"
            ) from error
        self.address = f"{host}:{port}"
        self._consumer = type("Consumer", (APIConsumer,), {"host": host, "port": port})

    def version(self) -> str:
        """What it calls itself: `2.12.0`, or `git` when it was built with `go install`."""
        told = self._ask("get", "/version").text
        number = re.search(r"\d+(?:\.\d+)+", told)
        return number[0] if number else "git"

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers."""
        try:
            self.version()
        except StackBroken as error:
            return str(error)
        return None

    def require(self) -> None:
        """Refuse a server that is not there or too old.

        Raises:
            StackMissing: with the remedy.
        """
        try:
            version = self.version()
        except StackBroken as error:
            raise StackMissing(f"{error}; start it, or get one: {GET_TOXIPROXY}") from error
        if version != "git" and tuple(map(int, version.split(".")[:2])) < OLDEST:
            raise StackMissing(
                f"toxiproxy: {self.address} is version {version}, 2.2 is needed. {GET_TOXIPROXY}"
            )

    def create(self, name: str, *, listen: str, upstream: str) -> None:
        """Make a proxy, enabled."""
        body = {"name": name, "listen": listen, "upstream": upstream, "enabled": True}
        self._ask("post", "/proxies", json=body)

    def delete(self, name: str) -> None:
        """Remove a proxy with its connections."""
        self._ask("delete", f"/proxies/{name}")

    def enable(self, name: str, *, enabled: bool) -> None:
        """Take a proxy down, or up again."""
        self._ask("post", f"/proxies/{name}", json={"enabled": enabled})

    def add(self, proxy: str, name: str, toxic: Toxic) -> None:
        """Add a toxic under a name of its own."""
        body = {
            "name": name,
            "type": toxic.kind.value,
            "stream": toxic.direction.value,
            "toxicity": toxic.toxicity,
            "attributes": {key: int(value) for key, value in toxic.attributes},
        }
        self._ask("post", f"/proxies/{proxy}/toxics", json=body)

    def remove(self, proxy: str, name: str) -> None:
        """Remove a toxic; one that is gone already stays so."""
        if name in self.toxics(proxy):
            self._ask("delete", f"/proxies/{proxy}/toxics/{name}")

    def toxics(self, proxy: str) -> list[str]:
        """The names of a proxy's toxics."""
        return [each["name"] for each in self._ask("get", f"/proxies/{proxy}/toxics").json()]

    def proxies(self) -> dict[str, dict[str, Any]]:
        """All proxies by name, as the server describes them (`listen`, `upstream`, `enabled`)."""
        found: dict[str, dict[str, Any]] = self._ask("get", "/proxies").json()
        return found

    def _ask(self, verb: str, path: str, **content: Any) -> Any:
        from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

        try:
            answer = getattr(self._consumer, verb)(path, **content, **_LIMITS)
        except OSError as error:  # what requests raises
            said = f"toxiproxy: {self.address} does not answer ({_innermost(error)})"
            raise StackBroken(said) from error
        except (InvalidToxic, NotFound, ProxyExists) as error:
            raise StackBroken(f"toxiproxy: {self.address} refused {path}: {error}") from error
        if not answer.ok:
            raise StackBroken(f"toxiproxy: {self.address} refused {path}: {answer.text.strip()}")
        return answer


def _innermost(error: BaseException) -> str:
    """What the system said, without the names of the four layers that pass it on."""
    while error.__context__ is not None:
        error = error.__context__
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
