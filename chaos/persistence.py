"""How a Redis server keeps its data: the deployment choice that decides what a death forgets."""

from enum import StrEnum


class Persistence(StrEnum):
    """The persistence of a Redis server, simulated or real.

    `rdb` uses the server's save points; the three `aof-*` are `appendonly yes` with that
    `appendfsync`; `none` is neither (`save ""`, `appendonly no`).
    """

    NONE = "none"
    RDB = "rdb"
    AOF_ALWAYS = "aof-always"
    AOF_EVERYSEC = "aof-everysec"
    AOF_NO = "aof-no"
