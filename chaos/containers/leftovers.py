"""Whose containers are whose, and the removal of those whose owner is gone.

Each container, network and volume carries the label `holdfast.owner`: the process that made it, by
id and start time, in its own space of process ids on this machine. Their guardian removes them when
that process ends; should the guardian be killed too, or the machine restart, the next command does.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from chaos.containers import guardian
from chaos.containers.engine import asking
from chaos.servers.keeper import Keeper
from chaos.stacks.contract import StackBroken

if TYPE_CHECKING:
    from docker import DockerClient

OWNER_LABEL = "holdfast.owner"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACE = Path("/proc/self/ns/pid")
_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, so that no later one is taken for it."""

    pid: int
    started: str
    boot: str
    space: str

    @classmethod
    def me(cls) -> "Owner":
        """Return this process."""
        return cls(pid=os.getpid(), started=_started(os.getpid()), boot=_boot(), space=_space())

    @classmethod
    def parse(cls, label: str) -> "Owner | None":
        """Read a label; None: it is not one that a command writes."""
        parts = label.split("/")
        if len(parts) != _PARTS or not parts[0].isdecimal():
            return None
        return cls(pid=int(parts[0]), started=parts[1], boot=parts[2], space=parts[3])

    @property
    def label(self) -> str:
        """How it is written on what it owns."""
        return f"{self.pid}/{self.started}/{self.boot}/{self.space}"

    @property
    def gone(self) -> bool:
        """Whether it has certainly ended; who cannot be seen from here counts as alive."""
        if self.boot != _boot():
            return True  # the machine has restarted since
        if self.space != _space():
            return False
        return _started(self.pid) != self.started


class Custody:
    """A project name, and a guardian that removes what carries it; a context manager.

    `making` is True while Compose may still be at work, so that more may appear.
    """

    def __init__(self, client: "DockerClient", host: str) -> None:
        self.client = client
        self.host = host
        self.project = f"holdfast-{os.getpid()}-{secrets.token_hex(3)}"
        self.making = False
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        """Appoint the guardian."""
        self._keeper = Keeper(["-I", guardian.__file__, self.host, self.project])
        return self

    def __exit__(self, *failure: object) -> None:
        """Remove everything; a project cut short while it was made is left to the guardian."""
        keeper = self._keeper
        assert keeper is not None
        try:
            with asking("docker", f"removing the containers of {self.project}"):
                guardian.clear(self.client, self.project)
                if not self.making and not guardian.clear(self.client, self.project):
                    keeper.tell_cleared()
        except StackBroken:
            if not any(failure):
                raise  # else what broke first says more; the guardian tries too
        finally:
            keeper.dismiss()
            self._keeper = None


def remove_leftovers(client: "DockerClient") -> list[str]:
    """Remove what commands left whose process is gone; return the projects' names."""
    api, chosen = client.api, {"label": OWNER_LABEL}
    found = [
        *api.containers(all=True, filters=chosen),
        *api.networks(filters=chosen),
        *(api.volumes(filters=chosen)["Volumes"] or []),
    ]
    abandoned = set()
    for labels in (each["Labels"] for each in found):
        owner, project = Owner.parse(labels[OWNER_LABEL]), labels.get(guardian.PROJECT_LABEL)
        if owner is not None and owner.gone and project:
            abandoned.add(project)
    for project in abandoned:
        guardian.clear(client, project)
    return sorted(abandoned)


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks, which no clock step moves; empty: it is gone.

    The start that psutil computes from the clock serves where there is no /proc.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists():
            return f"{process.create_time():.0f}"
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return ""
    except psutil.AccessDenied:
        return "?"


def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""


def _space() -> str:
    return str(_SPACE.readlink()) if _SPACE.exists() else ""
