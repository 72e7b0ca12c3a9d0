"""The bundled faults that are one blow while people pay: a name, what it does, and the fault.

Most of them only real servers can suffer; `chaos.needs` says which. Those of Toxiproxy have the
same length, so that they differ only in what they do to a connection.
"""

from collections.abc import Mapping

from chaos.faults import (
    DatabaseRestart,
    Death,
    Fault,
    Partition,
    ProxyDown,
    Slow,
    StorePause,
    Target,
    Toxic,
)
from chaos.toxics import Direction, ToxicKind

DATABASE_DOWN_S = 5.0  # PostgreSQL replays its log first; assumption
PARTITION_S = 15.0  # longer than every socket timeout, shorter than a failover by hand; assumption
PAUSE_S = 5.0  # longer than the socket timeout of Redis (2 s), about that of the database (5 s)
PROXY_DOWN_S = 5.0
SLOW_EXTRA_S = 0.2  # a congested network; below the socket timeout, so calls are late but succeed
SLOW_S = 60.0
TOXIC_S = 15.0
LATENCY_MS, JITTER_MS = 100.0, 50.0  # a far zone and its spread; assumption
TIMEOUT_MS = 500.0  # a reply is held back this long, then the connection closes
RATE_KB_S = 1.0  # a line that is all but full
SLICE_BYTES, SLICE_VARIATION, SLICE_DELAY_US = 16.0, 8.0, 10_000.0
SLOW_CLOSE_MS = 5_000.0
LIMIT_BYTES = 2_000.0  # after the handshake, in the middle of ordinary work
DOWN, UP = Direction.DOWNSTREAM, Direction.UPSTREAM
_NAMES = {Target.REDIS: ("redis", "Redis"), Target.DATABASE: ("db", "the database")}

_TOXICS: tuple[tuple[str, ToxicKind, Direction, tuple[tuple[str, float], ...], str], ...] = (
    (
        "latency",
        ToxicKind.LATENCY,
        DOWN,
        (("latency", LATENCY_MS), ("jitter", JITTER_MS)),
        f"replies of {{}} come {LATENCY_MS:g} ms late, give or take {JITTER_MS:g} ms",
    ),
    (
        "timeout",
        ToxicKind.TIMEOUT,
        DOWN,
        (("timeout", TIMEOUT_MS),),
        f"no reply of {{}} comes through; connections close after {TIMEOUT_MS:g} ms",
    ),
    (
        "reset",
        ToxicKind.RESET_PEER,
        DOWN,
        (("timeout", 0.0),),
        "connections to {} are reset when a reply comes: its effect has happened",
    ),
    (
        "reset-request",
        ToxicKind.RESET_PEER,
        UP,
        (("timeout", 0.0),),
        "connections to {} are reset when a request is sent: it has no effect",
    ),
    (
        "slow-close",
        ToxicKind.SLOW_CLOSE,
        DOWN,
        (("delay", SLOW_CLOSE_MS),),
        f"closed connections to {{}} linger for {SLOW_CLOSE_MS:g} ms",
    ),
    (
        "bandwidth",
        ToxicKind.BANDWIDTH,
        DOWN,
        (("rate", RATE_KB_S),),
        f"each connection gets {RATE_KB_S:g} KB/s of replies from {{}}",
    ),
    (
        "slicer",
        ToxicKind.SLICER,
        DOWN,
        (
            ("average_size", SLICE_BYTES),
            ("size_variation", SLICE_VARIATION),
            ("delay", SLICE_DELAY_US),
        ),
        f"replies of {{}} come in slices of about {SLICE_BYTES:g} bytes",
    ),
    (
        "limit-data",
        ToxicKind.LIMIT_DATA,
        DOWN,
        (("bytes", LIMIT_BYTES),),
        f"connections to {{}} close after {LIMIT_BYTES:g} bytes of replies, amid one of them",
    ),
)


def _plain() -> dict[str, tuple[str, Fault]]:
    redis, database = Target.REDIS, Target.DATABASE
    return {
        "redis-partition": (
            f"Redis cannot be reached for {PARTITION_S:g} s",
            Partition(target=redis, duration_s=PARTITION_S),
        ),
        "redis-slow": (
            f"every leg to and from Redis takes {SLOW_EXTRA_S:g} s longer for {SLOW_S:g} s",
            Slow(target=redis, extra_s=SLOW_EXTRA_S, duration_s=SLOW_S),
        ),
        "db-restart": (
            f"the database restarts and is down for {DATABASE_DOWN_S:g} s",
            DatabaseRestart(down_s=DATABASE_DOWN_S),
        ),
        "db-kill": (
            f"the database is killed (SIGKILL) and down for {DATABASE_DOWN_S:g} s",
            DatabaseRestart(down_s=DATABASE_DOWN_S, death=Death.SIGKILL),
        ),
        "db-partition": (
            f"the database cannot be reached for {PARTITION_S:g} s",
            Partition(target=database, duration_s=PARTITION_S),
        ),
        "db-slow": (
            f"every leg to and from the database takes {SLOW_EXTRA_S:g} s longer for {SLOW_S:g} s",
            Slow(target=database, extra_s=SLOW_EXTRA_S, duration_s=SLOW_S),
        ),
    }


def _on_real_servers(target: Target) -> dict[str, tuple[str, Fault]]:
    short, long = _NAMES[target]
    found: dict[str, tuple[str, Fault]] = {
        f"{short}-pause": (
            f"{long} stops (SIGSTOP) for {PAUSE_S:g} s and goes on",
            StorePause(target=target, duration_s=PAUSE_S),
        ),
        f"{short}-proxy-down": (
            f"all connections to {long} break, and new ones are refused for {PROXY_DOWN_S:g} s",
            ProxyDown(target=target, duration_s=PROXY_DOWN_S),
        ),
    }
    for name, kind, direction, attributes, summary in _TOXICS:
        found[f"{short}-{name}"] = (
            summary.format(long),
            Toxic(
                target=target,
                kind=kind,
                direction=direction,
                attributes=attributes,
                duration_s=TOXIC_S,
            ),
        )
    return found


BLOWS: Mapping[str, tuple[str, Fault]] = {
    **_plain(),
    **_on_real_servers(Target.REDIS),
    **_on_real_servers(Target.DATABASE),
}
"""Every one, in the order to show them."""
