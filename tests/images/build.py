"""Builds the images of docker-compose.yml from what is installed here; needs no registry.

    eval "$(python -m tests.images.build)"

prints, for a shell, the variables that make docker-compose.yml use them. An image whose contents
would be the same is left as it is, so that a second call takes well under a second.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

import docker
from docker.errors import DockerException, ImageNotFound

from chaos.stacks.contract import StackMissing
from tests.images.recipes import RECIPES, Recipe
from tests.images.rootfs import CannotBuild, fingerprint

LABEL = "holdfast.fingerprint"


def build(client: docker.DockerClient, recipe: Recipe) -> str:
    """Make an image unless it is there already; return its name."""
    repository = f"holdfast-{recipe.name}"
    name = f"{repository}:{recipe.version}"
    archive = recipe.files.archive()
    mark = fingerprint(archive, recipe.settings)
    if _label(client, name) == mark:
        say(f"{name}: unchanged")
        return name
    started_s = time.monotonic()
    client.api.import_image_from_data(
        archive,
        repository=repository,
        tag=recipe.version,
        changes=[*recipe.settings, f"LABEL {LABEL}={mark}"],
    )
    if _label(client, name) != mark:
        raise CannotBuild(f"{name}: Docker imported it, but it is not what was sent")
    took_s = time.monotonic() - started_s
    say(f"{name}: built, {len(archive) / 1e6:.0f} MB, {took_s:.1f} s")
    return name


def variable(recipe: str) -> str:
    """Return the environment variable by which docker-compose.yml takes an image."""
    return f"HOLDFAST_{recipe.upper()}_IMAGE"


def build_all() -> dict[str, str]:
    """Build all three; return the variables.

    Raises:
        CannotBuild: something is not installed.
        StackMissing: a server is not to be had.
        DockerException: Docker is not running, or refuses.
    """
    client = docker.from_env()
    try:
        return {variable(name): build(client, recipe()) for name, recipe in RECIPES.items()}
    finally:
        client.close()


def say(what: str) -> None:
    """Tell the reader; standard output is for the shell."""
    sys.stderr.write(f"{what}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print; 2 when something is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.parse_args(arguments)
    try:
        built = build_all()
    except (CannotBuild, StackMissing) as error:
        say(f"images: {error}")
        return 2
    except DockerException as error:
        say(f"images: Docker: {error}. Start it (see docs/compose.md)")
        return 2
    for name, image in built.items():
        sys.stdout.write(f"export {name}={shlex.quote(image)}\n")
    return 0


def _label(client: docker.DockerClient, name: str) -> str | None:
    try:
        return client.images.get(name).labels.get(LABEL)
    except ImageNotFound:
        return None


if __name__ == "__main__":
    sys.exit(main())
