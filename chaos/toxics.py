"""Toxiproxy's toxics as data: their kinds, which stream they are in, and their attributes.

Facts: Toxiproxy's README, "Toxics" (v2.12). A toxic on the downstream acts on replies, after the
effect; on the upstream it acts on requests, before it.
"""

from collections.abc import Mapping
from enum import StrEnum


class ToxicKind(StrEnum):
    """What a toxic does to one direction of a connection."""

    LATENCY = "latency"
    TIMEOUT = "timeout"
    RESET_PEER = "reset_peer"
    SLOW_CLOSE = "slow_close"
    BANDWIDTH = "bandwidth"
    SLICER = "slicer"
    LIMIT_DATA = "limit_data"


class Direction(StrEnum):
    """Which half of a connection: from the client to the server, or back."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"


ATTRIBUTES: Mapping[ToxicKind, tuple[str, ...]] = {
    ToxicKind.LATENCY: ("latency", "jitter"),  # ms, +- ms
    ToxicKind.TIMEOUT: ("timeout",),  # ms until the connection is closed; 0: not before healing
    ToxicKind.RESET_PEER: ("timeout",),  # ms until it is reset; 0: at the next data
    ToxicKind.SLOW_CLOSE: ("delay",),  # ms
    ToxicKind.BANDWIDTH: ("rate",),  # KB/s
    ToxicKind.SLICER: ("average_size", "size_variation", "delay"),  # bytes, +- bytes, us
    ToxicKind.LIMIT_DATA: ("bytes",),  # until the connection is closed
}
"""The attributes of each kind; those left out are 0."""

_ONE_NOT_ZERO: Mapping[ToxicKind, tuple[str, ...]] = {
    ToxicKind.LATENCY: ("latency", "jitter"),
    ToxicKind.SLOW_CLOSE: ("delay",),
    ToxicKind.BANDWIDTH: ("rate",),
    ToxicKind.SLICER: ("average_size",),
}


def amiss(kind: ToxicKind, attributes: Mapping[str, float]) -> str | None:
    """Say what is wrong with a toxic's attributes; None: it is a toxic that does something."""
    for name, value in attributes.items():
        if name not in ATTRIBUTES[kind]:
            return f"{name} = {value:g}: {kind} has only {', '.join(ATTRIBUTES[kind])}"
        if not (value >= 0.0 and float(value).is_integer()):
            return f"{name} = {value:g}: must be a whole number, not negative"
    needed = _ONE_NOT_ZERO.get(kind, ())
    if needed and not any(attributes.get(name, 0.0) for name in needed):
        return f"{' or '.join(needed)} = 0: {kind} would do nothing; must be greater than 0"
    varies, average = attributes.get("size_variation", 0.0), attributes.get("average_size", 0.0)
    if kind is ToxicKind.SLICER and varies >= average:
        return f"size_variation = {varies:g}: must be smaller than average_size = {average:g}"
    return None
