"""The guardian: a process that removes a project's containers when who made them is gone.

Started as a script of its own (`python -I guardian.py HOST PROJECT`), with a pipe on its standard
input whose other end only the maker holds. A word on it means that the maker has removed everything
itself; its end without one, however that came about (an exception, SIGKILL), means: remove every
container, network and volume of the project. It is in a session of its own, so that a Ctrl-C does
not reach it.
"""

import contextlib
import os
import select
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import docker.errors

PROJECT_LABEL = "com.docker.compose.project"  # Compose v1 and v2 put it on all they make

LOOK_S = 0.5
"""How often it looks whether its parent lives: a forked child may hold the pipe open."""

QUIET_S = 3.0
"""How long nothing new must appear: a Compose that was cut short may still be making things."""

LONGEST_S = 60.0


def clear(client: docker.DockerClient, project: str) -> int:
    """Remove a project's containers, networks and volumes; return how many there were.

    What somebody else is just removing counts as removed.
    """
    chosen = {"label": f"{PROJECT_LABEL}={project}"}
    api = client.api
    containers = api.containers(all=True, quiet=True, filters=chosen)
    if containers:
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(lambda each: _remove_container(client, each["Id"]), containers))
    networks = api.networks(filters=chosen)
    for each in networks:
        with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
            api.remove_network(each["Id"])
    volumes = api.volumes(filters=chosen)["Volumes"] or []
    for each in volumes:
        with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
            api.remove_volume(each["Name"], force=True)
    return len(containers) + len(networks) + len(volumes)


def _remove_container(client: docker.DockerClient, container: str) -> None:
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        client.api.remove_container(container, force=True, v=True)


def clear_for_good(client: docker.DockerClient, project: str) -> None:
    """Remove until nothing has been there for a while."""
    deadline_s = time.monotonic() + LONGEST_S
    quiet_since_s = time.monotonic()
    while time.monotonic() < min(deadline_s, quiet_since_s + QUIET_S):
        if clear(client, project):
            quiet_since_s = time.monotonic()
        time.sleep(0.1)


def main() -> None:
    """Wait for the maker to go, then remove what it left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    host, project = sys.argv[1:3]
    maker = os.getppid()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while os.getppid() == maker:
        readable, _, _ = select.select([sys.stdin], [], [], LOOK_S)
        if readable:
            if os.read(sys.stdin.fileno(), 1):
                return  # the maker's word: all is removed
            break
    try:
        clear_for_good(docker.DockerClient(base_url=host), project)
    except (docker.errors.DockerException, OSError) as error:
        sys.stderr.write(
            f"docker: containers of {project} are left ({error}); the next command with the stack"
            " compose removes them\n"
        )


if __name__ == "__main__":
    main()
