"""Compose, in whichever version is installed, and the file it is given."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chaos.stacks.contract import StackMissing

LOOK_S = 20.0
UP_S = 600.0
"""How long `up` may take: it may pull three images."""

GET_COMPOSE = "apt install docker-compose (Debian), or docs.docker.com/compose/install"
CHOOSE = "HOLDFAST_COMPOSE"
USUAL = (("docker", "compose"), ("docker-compose",))
OLDEST = (1, 27)  # no `version:` in the file
HERE = Path(__file__).parents[1] / "stacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """A command that is Compose: `docker-compose` or `docker compose`."""

    command: tuple[str, ...]
    version: str

    def up(self, project: str, environment: Mapping[str, str]) -> str | None:
        """Create and start everything; return what it said when it failed, None when it did not.

        Interrupted, it is ended with all its children; what it had made is the caller's to remove.
        """
        words = [*self.command, "-p", project, "-f", str(compose_file()), "up", "-d"]
        process = subprocess.Popen(  # noqa: S603 - Compose, with our own words
            words,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            told, _ = process.communicate(timeout=UP_S)
        except BaseException as ended:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(ended, subprocess.TimeoutExpired):
                return f"it had not finished after {UP_S:g} s"
            raise
        return told.strip() if process.returncode else None


@cache
def compose() -> Compose:
    """Find Compose: v2 as Docker's plugin, else whatever `docker-compose` is.

    HOLDFAST_COMPOSE may name another command, or one of the two.

    Raises:
        StackMissing: there is none, or it is too old.
    """
    told = os.environ.get(CHOOSE)
    for command in [tuple(told.split())] if told else USUAL:
        version = _version(command)
        if version is not None:
            if _number(version) < OLDEST:
                raise StackMissing(
                    f"compose: {' '.join(command)} is {version}, 1.27 is needed. {GET_COMPOSE}"
                )
            return Compose(command=command, version=version)
    if told:
        raise StackMissing(f"{CHOOSE}: {told!r} is not Compose. {GET_COMPOSE}")
    raise StackMissing(f"compose: neither `docker compose` nor docker-compose. {GET_COMPOSE}")


def compose_file() -> Path:
    """Return docker-compose.yml: at the root of a checkout, or beside the stacks in a wheel."""
    beside = HERE / "docker-compose.yml"
    return beside if beside.exists() else HERE.parents[1] / "docker-compose.yml"


def toxiproxy_folder() -> Path:
    """Return where Toxiproxy's configuration (its two proxies) and its image's recipe are."""
    return HERE / "toxiproxy"


def _version(command: tuple[str, ...]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        told = subprocess.run(  # noqa: S603 - Compose's own command
            [*command, "version", "--short"],
            capture_output=True,
            text=True,
            timeout=LOOK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip().removeprefix("v") or None if told.returncode == 0 else None


def _number(version: str) -> tuple[int, ...]:
    """Return a version for comparing; one without numbers (built from source) is new enough."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return numbers or (2,)
