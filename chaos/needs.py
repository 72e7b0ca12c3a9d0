"""What a fault needs: whether the simulated arm knows it, and what real servers need for it."""

from enum import StrEnum

from chaos.faults import (
    Death,
    Fault,
    Partition,
    ProxyDown,
    RedisDeath,
    Slow,
    SlowFsync,
    StorePause,
    Toxic,
)


class Component(StrEnum):
    """Something a live stack may lack."""

    TOXIPROXY = "Toxiproxy"
    COMPILER = "a C compiler"


def only_live(fault: Fault) -> str | None:
    """Say why the simulated arm cannot do a fault; None: it can (or refuses by itself)."""
    match fault:
        case StorePause():
            return (
                "a stopped store takes what callers gave up on when it goes on, which the"
                " simulated stores do not"
            )
        case ProxyDown() | Toxic():
            return "there is no proxy and no connection in the simulated arm"
        case _:
            return None


def components(fault: Fault) -> tuple[Component, ...]:
    """Return what real servers need for a fault beyond themselves."""
    match fault:
        case Partition() | Slow() | ProxyDown() | Toxic():
            return (Component.TOXIPROXY,)
        case SlowFsync() | RedisDeath(death=Death.POWER_LOSS):
            return (Component.COMPILER,)
        case _:
            return ()
