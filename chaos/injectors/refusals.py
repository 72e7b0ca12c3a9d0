"""What no stack of real servers does, and why: shared by all stacks."""

from chaos.faults import (
    AppKill,
    AppPause,
    ClockStep,
    Fault,
    LostReplies,
    Partition,
    PaymentTimeouts,
    ProxyDown,
    Slow,
    StorePause,
    SweeperStopped,
    Target,
    Toxic,
)


def not_for_servers(fault: Fault) -> str | None:
    """Say why a fault is not one of the stores and their network; None: it is."""
    match fault:
        case AppKill() | AppPause() | SweeperStopped() | PaymentTimeouts():
            return "it strikes the application, which is not the stack's"
        case LostReplies():
            return (
                "Toxiproxy decides by connection, not by reply; use redis-reset or db-reset, which"
                " lose the reply and the connection"
            )
        case ClockStep():
            return "it would step the clock of this machine; only the simulated arm does it"
        case Partition() | Slow() | StorePause() | ProxyDown() | Toxic():
            if fault.target is Target.PAYMENT:
                return "the payment provider is not the stack's"
    return None
