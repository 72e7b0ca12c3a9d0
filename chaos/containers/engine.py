"""The way to Docker's Engine, or one message that says why there is none."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos.stacks.contract import StackBroken, StackMissing

if TYPE_CHECKING:
    from docker import DockerClient

ANSWER_S = 30.0
"""How long one answer may take; Docker waits up to 10 s for a killed container to be gone."""

GET_DOCKER = "apt install docker.io docker-compose (Debian), or docs.docker.com/engine/install"
START_DOCKER = "start it: systemctl start docker, or as root: dockerd"
ALLOW_DOCKER = "run as root, or join the group docker (usermod -aG docker USER) and log in again"
USUAL_HOST = "unix:///var/run/docker.sock"


def connect() -> "DockerClient":
    """Return a client of this machine's Engine, which has answered.

    Raises:
        StackMissing: Docker is not installed, not running, elsewhere, or not ours to use.
    """
    docker = _library()
    host = engine_host()
    scheme, _, path = host.partition("://")
    if scheme not in {"unix", "npipe"}:
        raise StackMissing(
            f"docker: DOCKER_HOST is {host}: the containers' ports would be on that machine's"
            " 127.0.0.1; unset it and use this machine's Docker"
        )
    try:
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:  # the library leaves its own open
                probe.connect(path)
        client = docker.DockerClient(base_url=host, timeout=ANSWER_S)
    except (docker.errors.DockerException, OSError) as error:
        raise StackMissing(_why_not(Path(path), error)) from error
    return client  # it has asked for the version


@contextmanager
def asking(component: str, what: str) -> Iterator[None]:
    """Within this, what the Engine refuses or fails to answer is one message.

    Raises:
        StackBroken: naming the component and what was being done.
    """
    docker = _library()
    try:
        yield
    except docker.errors.APIError as error:
        raise StackBroken(f"{component}: {what}: {error.explanation or error}") from error
    except (docker.errors.DockerException, OSError) as error:
        raise StackBroken(
            f"{component}: {what}: Docker's Engine does not answer ({error}); {START_DOCKER}"
        ) from error


def _library() -> Any:
    """Return the library `docker`, which has no types."""
    try:
        import docker
        import docker.errors
    except ModuleNotFoundError as error:
        raise StackMissing(
            f"docker: no module {error.name}; pip install 'holdfast[live]'"
        ) from error
    return docker


def engine_host() -> str:
    """Return DOCKER_HOST, or the address of the current context, as Docker's own command has it."""
    told = os.environ.get("DOCKER_HOST")
    if told:
        return told
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_current_context()
    except DockerException:
        return USUAL_HOST
    host = str(context.Host) if context is not None and context.Host else USUAL_HOST
    return host.replace("http+unix://", "unix://")


def _why_not(address: Path, error: Exception) -> str:
    if not address.exists():
        if shutil.which("dockerd") or shutil.which("docker"):
            return f"docker: its Engine is not running (no {address}); {START_DOCKER}"
        return f"docker: not installed. {GET_DOCKER}"
    if not os.access(address, os.R_OK | os.W_OK):
        return f"docker: not allowed to use {address}; {ALLOW_DOCKER}"
    return f"docker: its Engine does not answer at {address} ({error}); {START_DOCKER}"
