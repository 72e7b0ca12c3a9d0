"""The network between the application and the stores: two proxies of a Toxiproxy, and their faults.

Facts (Toxiproxy 2.12, its source): toxicity is drawn once for each connection, not for each reply;
a `timeout` toxic of 0 drops what comes until it is removed, and then closes the connection, so
after a partition the connections that were open are closed.
"""

from collections.abc import Callable, Mapping
from itertools import count
from threading import Lock

from chaos.faults import Fault, Partition, ProxyDown, Slow, Target, Toxic
from chaos.injectors.toxiproxy_api import ToxiproxyApi
from chaos.stacks.contract import StackBroken
from chaos.toxics import Direction, ToxicKind

NetworkFault = Partition | Slow | ProxyDown | Toxic


class Network:
    """The two proxies, by target; `check` proves that neither mistreats anything."""

    def __init__(self, api: ToxiproxyApi, proxies: Mapping[Target, str]) -> None:
        self.api = api
        self.proxies = proxies
        self._numbers = count(1)
        self._lock = Lock()
        self._down: dict[str, int] = {}

    def strike(self, fault: NetworkFault) -> "NetworkBreakage":
        """Mistreat the connections to a target now, those that are open too."""
        if isinstance(fault, ProxyDown):
            proxy = self.proxies[fault.target]
            self._take_down(proxy)
            return NetworkBreakage("proxy down", [lambda: self._bring_up(proxy)])
        toxics = _as_toxics(fault)
        cures: list[Callable[[], None]] = []
        try:
            for toxic in toxics:
                cure = self._add(toxic)
                cures.append(cure)
        except BaseException:
            NetworkBreakage("", cures).heal()
            raise
        detail = ", ".join(_told(toxic) for toxic in toxics)
        return NetworkBreakage(detail, cures)

    def restore(self) -> None:
        """Enable both proxies and remove every toxic, whoever added it."""
        for proxy in self.proxies.values():
            for name in self.api.toxics(proxy):
                self.api.remove(proxy, name)
            self.api.enable(proxy, enabled=True)
        with self._lock:
            self._down.clear()

    def check(self) -> None:
        """Prove that both proxies let everything through.

        Raises:
            StackBroken: one is down or has a toxic, or Toxiproxy does not answer.
        """
        present = self.api.proxies()
        for proxy in self.proxies.values():
            if proxy not in present:
                raise StackBroken(f"toxiproxy: the proxy {proxy!r} is gone; was it restarted?")
            if not present[proxy]["enabled"]:
                raise StackBroken(f"toxiproxy: the proxy {proxy!r} is still down")
            left = self.api.toxics(proxy)
            if left:
                raise StackBroken(f"toxiproxy: the proxy {proxy!r} still has {', '.join(left)}")

    def _add(self, toxic: Toxic) -> Callable[[], None]:
        proxy = self.proxies[toxic.target]
        name = f"{toxic.kind}-{next(self._numbers)}"
        self.api.add(proxy, name, toxic)
        return lambda: self.api.remove(proxy, name)

    def _take_down(self, proxy: str) -> None:
        with self._lock:
            self._down[proxy] = self._down.get(proxy, 0) + 1
            self.api.enable(proxy, enabled=False)

    def _bring_up(self, proxy: str) -> None:
        """Up again when nobody else wants it down."""
        with self._lock:
            self._down[proxy] = max(0, self._down.get(proxy, 0) - 1)
            if not self._down[proxy]:
                self.api.enable(proxy, enabled=True)


class NetworkBreakage:
    """A fault of the network that is in force."""

    struck = True

    def __init__(self, detail: str, cures: list[Callable[[], None]]) -> None:
        self.detail = detail
        self._cures = cures
        self._lock = Lock()

    def heal(self) -> None:
        """See `Breakage`."""
        with self._lock:
            while self._cures:
                self._cures[-1]()
                self._cures.pop()


def is_of_the_network(fault: Fault) -> bool:
    """Whether it is the proxies' to do."""
    return isinstance(fault, NetworkFault)


def _as_toxics(fault: Partition | Slow | Toxic) -> list[Toxic]:
    """Spell the network's faults in toxics, one for each direction."""
    if isinstance(fault, Toxic):
        return [fault]
    if isinstance(fault, Slow):
        kind, attributes = ToxicKind.LATENCY, (("latency", float(round(fault.extra_s * 1000.0))),)
    else:
        kind, attributes = ToxicKind.TIMEOUT, (("timeout", 0.0),)
    return [
        Toxic(
            target=fault.target,
            kind=kind,
            direction=direction,
            attributes=attributes,
            duration_s=fault.duration_s,
        )
        for direction in Direction
    ]


def _told(toxic: Toxic) -> str:
    attributes = ", ".join(f"{name} {value:g}" for name, value in toxic.attributes)
    chance = "" if toxic.toxicity == 1.0 else f" on {toxic.toxicity:.0%} of the connections"
    return f"{toxic.direction} {toxic.kind} ({attributes}){chance}"
