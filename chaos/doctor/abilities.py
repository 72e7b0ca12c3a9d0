"""What each stack can do with the components that are there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaos import needs
from chaos.doctor.components import Component, Name
from chaos.faults import (
    AppKill,
    AppPause,
    Fault,
    LostReplies,
    PaymentTimeouts,
    SweeperStopped,
)
from chaos.injectors.refusals import not_for_servers
from chaos.plans import describe, faults_of

SIMULATED, EMBEDDED, COMPOSE, EXTERNAL = "simulated", "embedded", "compose", "external"
ARMS = (SIMULATED, EMBEDDED, COMPOSE, EXTERNAL)

REQUIRED: Mapping[str, tuple[Name, ...]] = {
    EMBEDDED: (Name.LIBRARIES, Name.REDIS, Name.POSTGRES),
    COMPOSE: (Name.LIBRARIES, Name.DOCKER, Name.COMPOSE),
    EXTERNAL: (Name.LIBRARIES,),
}
PURPOSES: Mapping[str, str] = {
    EMBEDDED: "child processes in a private folder; no root, no Docker",
    COMPOSE: "containers of docker-compose.yml",
    EXTERNAL: "servers whose URLs you give; network faults need a Toxiproxy's URL too",
}
_NEEDED: Mapping[needs.Component, Name] = {
    needs.Component.TOXIPROXY: Name.TOXIPROXY,
    needs.Component.COMPILER: Name.COMPILER,
}
_OF_THE_APPLICATION = AppKill | AppPause | SweeperStopped | PaymentTimeouts | LostReplies


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """One stack: what of its components is missing."""

    name: str
    purpose: str
    missing: tuple[Name, ...]

    @property
    def ready(self) -> bool:
        """Whether it can start."""
        return not self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultReport:
    """One fault plan, and for each arm why it cannot do it; empty: it can."""

    name: str
    refusals: Mapping[str, str]


def stacks(found: Mapping[Name, Component]) -> list[StackReport]:
    """Return every stack with what it lacks."""
    return [
        StackReport(
            name=name,
            purpose=PURPOSES[name],
            missing=tuple(each for each in required if not found[each].present),
        )
        for name, required in REQUIRED.items()
    ]


def faults(found: Mapping[Name, Component]) -> list[FaultReport]:
    """Return every bundled fault plan with who can do it now."""
    lacks = {each.name: each.missing for each in stacks(found)}
    return [
        FaultReport(
            name=name,
            refusals={
                SIMULATED: _first(needs.only_live(fault) for fault in faults_of(name)),
                EMBEDDED: _not_ready(lacks[EMBEDDED])
                or _first(_embedded(fault, found) for fault in faults_of(name)),
                COMPOSE: _not_ready(lacks[COMPOSE])
                or _first(_compose(fault) for fault in faults_of(name)),
                EXTERNAL: _not_ready(lacks[EXTERNAL])
                or _first(_external(fault) for fault in faults_of(name)),
            },
        )
        for name, _ in describe()
        if faults_of(name)  # not `none`
    ]


def _embedded(fault: Fault, found: Mapping[Name, Component]) -> str | None:
    if isinstance(fault, _OF_THE_APPLICATION):
        return None
    reason = not_for_servers(fault)
    if reason is not None:
        return reason
    lacking = [
        _NEEDED[each] for each in needs.components(fault) if not found[_NEEDED[each]].present
    ]
    return f"needs {lacking[0]}" if lacking else None


def _compose(fault: Fault) -> str | None:
    if isinstance(fault, _OF_THE_APPLICATION):
        return None
    from chaos.stacks.compose import ComposeStack

    reason = ComposeStack().refuses(fault)
    return None if reason is None else reason.partition(": ")[2]


def _external(fault: Fault) -> str | None:
    """Of servers that are given together with a Toxiproxy, and may be erased."""
    if isinstance(fault, _OF_THE_APPLICATION):
        return None
    from chaos.stacks.external import ExternalStack

    stack = ExternalStack(
        redis_url="redis://127.0.0.1",
        database_url="postgresql://127.0.0.1/any",
        toxiproxy_url="http://127.0.0.1:8474",
        allow_destructive=True,
    )
    reason = stack.refuses(fault)
    return None if reason is None else reason.partition(": ")[2]


def _not_ready(missing: tuple[Name, ...]) -> str:
    return f"needs {missing[0]}" if missing else ""


def _first(reasons: Iterable[str | None]) -> str:
    return next((reason for reason in reasons if reason), "")
