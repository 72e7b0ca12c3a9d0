"""docker-compose.yml as each installed Compose reads it; nothing is started."""

import os
import shutil
import subprocess

import pytest

from chaos.containers.compose_command import compose_file
from chaos.stacks.compose import IMAGES, PORTS

REMEDIES = {
    ("docker-compose",): "apt install docker-compose",
    ("docker", "compose"): "docs.docker.com/compose/install",
}


def read(command: tuple[str, ...], *words: str, **environment: str) -> str:
    """What `config` prints, without a word of complaint."""
    known = shutil.which(command[0]) and not subprocess.call(
        [*command, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if not known:
        pytest.skip(f"no {' '.join(command)}: {REMEDIES[command]}")
    told = subprocess.run(
        [*command, "-p", "reading", "-f", compose_file(), "config", *words],
        env={**{key: os.environ[key] for key in ("PATH", "HOME")}, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not told.stderr, told.stderr
    return told.stdout


@pytest.mark.parametrize("command", REMEDIES)
def test_it_is_valid(command: tuple[str, ...]) -> None:
    """Three services, two named volumes, no complaint."""
    assert sorted(read(command, "--services").split()) == ["postgres", "redis", "toxiproxy"]
    assert sorted(read(command, "--volumes").split()) == ["postgres-data", "redis-data"]


@pytest.mark.parametrize("command", REMEDIES)
def test_by_default_it_is_official_images_and_an_append_only_file(
    command: tuple[str, ...],
) -> None:
    """Images with a version, Redis with AOF, all five ports on 127.0.0.1."""
    told = read(command)
    images = [line.split(": ")[1] for line in told.splitlines() if " image: " in line]
    assert sorted(image.rsplit(":", 1)[0] for image in images) == [
        "holdfast-toxiproxy",
        "postgres",
        "redis",
    ]
    assert all(image.rsplit(":", 1)[1][0].isdecimal() for image in images)
    words = [line.strip(" -\"'") for line in told.splitlines()]
    assert words[words.index("appendonly") + 1] == "yes"
    assert told.count("127.0.0.1") == 5 + told.count("pg_isready")  # its health is asked there


@pytest.mark.parametrize("command", REMEDIES)
def test_the_environment_chooses_images_ports_and_persistence(command: tuple[str, ...]) -> None:
    """Each variable of the documentation has its effect."""
    ports = {name: str(20_001 + at) for at, name in enumerate(PORTS.values())}
    images = {name: f"mine-{at}:1" for at, name in enumerate(IMAGES)}
    told = read(
        command,
        **ports,
        **images,
        HOLDFAST_REDIS_APPENDONLY="no",
        HOLDFAST_REDIS_APPENDFSYNC="always",
        HOLDFAST_REDIS_SAVE="60 1",
    )
    for value in (*ports.values(), *images.values(), "always", "60 1"):
        assert value in told
    words = [line.strip(" -\"'") for line in told.splitlines()]
    assert words[words.index("appendonly") + 1] == "no"
