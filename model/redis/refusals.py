"""What the simulated Redis refuses, by name and with the reason, alone and inside scripts."""

_BLOCKS = "it blocks, and would stop the one thread every buyer runs on"
_LATE = "expiry events arrive late on a real server, and that lateness is not modelled"
_CHANCE = "it draws from a global generator, and the run would not be repeatable"
_ORDER = "the order of its answer depends on the process, and the run would not be repeatable"
_JOURNAL = "its change is not journalled here, and a restart would lose it"
_ABSENT = "it is not simulated"
_DEPLOYMENT = "persistence and topology belong to the scenario, not to the code under test"

REFUSED: dict[str, str] = {
    name: reason
    for names, reason in (
        ("BLPOP BRPOP BLMOVE BRPOPLPUSH BLMPOP BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF", _BLOCKS),
        ("XREAD XREADGROUP", _BLOCKS),
        ("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE", _LATE),
        ("SPOP SRANDMEMBER RANDOMKEY HRANDFIELD ZRANDMEMBER", _CHANCE),
        ("BGSAVE SAVE BGREWRITEAOF CONFIG SHUTDOWN DEBUG", _DEPLOYMENT),
        ("REPLICAOF SLAVEOF FAILOVER", _DEPLOYMENT),
        ("ACL ASKING CLUSTER COMMAND INFO LATENCY LOLWUT MEMORY MIGRATE MODULE MONITOR", _ABSENT),
        ("BITFIELD_RO EVAL_RO EVALSHA_RO OBJECT QUIT READONLY READWRITE ROLE SLOWLOG", _ABSENT),
        ("PFDEBUG PFSELFTEST PSYNC REPLCONF SYNC TOUCH XSETID", _ABSENT),
        ("SINTER SUNION SDIFF", _ORDER),
        ("HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HPERSIST SWAPDB", _JOURNAL),
    )
    for name in names.split()
}


REFUSED_IN_LUA: dict[str, str] = {
    "math.random": "its numbers depend on the version of the server",
    "bit": _ABSENT,
    "cmsgpack": _ABSENT,
    "struct": _ABSENT,
}


class UnsupportedCommand(RuntimeError):
    """The simulated Redis was sent a command it cannot honour.

    It is not an error a real server would send, so no strategy can mistake it for one.
    """


def refuse_unsupported(name: str) -> None:
    """Raise for a command (in capitals) that the simulated Redis cannot honour.

    Raises:
        UnsupportedCommand: with the reason and the remedy.
    """
    if name in REFUSED:
        raise UnsupportedCommand(
            f"the simulated Redis refuses {name}: {REFUSED[name]}. Write the strategy without"
            " it, or test it on a real server"
        )


def refuse_in_lua(name: str) -> None:
    """Raise for a name of Redis's Lua that the simulated Redis does not have.

    Raises:
        UnsupportedCommand: with the reason and the remedy.
    """
    if name in REFUSED_IN_LUA:
        raise UnsupportedCommand(
            f"the simulated Redis refuses {name} in scripts: {REFUSED_IN_LUA[name]}. Write the"
            " script without it, or test it on a real server"
        )
