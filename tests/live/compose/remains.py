"""What is left of a project: asked of Docker, of the ports and of the list of processes."""

import socket
import time
from collections.abc import Callable

import docker
import psutil

PATIENCE_S = 30.0


def containers(client: docker.DockerClient, project: str) -> list[str]:
    """The project's containers, running or not."""
    return [each["Id"] for each in client.api.containers(all=True, filters=_of(project))]


def networks(client: docker.DockerClient, project: str) -> list[str]:
    """The project's networks."""
    return [each["Name"] for each in client.api.networks(filters=_of(project))]


def volumes(client: docker.DockerClient, project: str) -> list[str]:
    """The project's volumes."""
    return [each["Name"] for each in client.api.volumes(filters=_of(project))["Volumes"] or []]


def processes(project: str) -> list[int]:
    """The processes that name the project on their command line: its guardian."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if project in (each.info["cmdline"] or [])
    ]


def taken(ports: list[int]) -> list[int]:
    """The ports of 127.0.0.1 that somebody has."""
    found = []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                found.append(port)
    return found


def everything(client: docker.DockerClient, project: str, ports: list[int]) -> dict[str, int]:
    """How many of each kind are left."""
    return {
        "containers": len(containers(client, project)),
        "networks": len(networks(client, project)),
        "volumes": len(volumes(client, project)),
        "ports": len(taken(ports)),
        "processes": len(processes(project)),
    }


def eventually(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
    """Whether something comes true in time."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def _of(project: str) -> dict[str, str]:
    return {"label": f"com.docker.compose.project={project}"}
