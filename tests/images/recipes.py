"""What goes into each of the three images, so that each can stand in for the official one.

The same paths, environment variables and arguments as `redis`, `postgres` and `toxiproxy` on the
registries, as far as docker-compose.yml uses them.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.servers import binaries
from tests.images.rootfs import CannotBuild, Rootfs

OLDEST_REDIS = (7,)  # `include` of a glob that matches nothing; `redis-cli -e`
POSTGRES_UID = 70
ACCOUNTS = "root:x:0:0::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n"
GROUPS = "root:x:0:\npostgres:x:70:\n"
UNUSED_MODULES = {"llvmjit.so", "vector.so"}  # large, or with libraries of their own
POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_isready")
GET_SHELL = "apt install dash"
GET_TOXIPROXY_CLI = "go install github.com/Shopify/toxiproxy/v2/cmd/cli@v2.12.0"

POSTGRES_ENTRYPOINT = """\
#!/bin/sh
# As in the official image: the first start makes the cluster and POSTGRES_DB.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth scram-sha-256 \\
        --encoding UTF8 --no-locale --no-sync -D "$PGDATA"
    : > /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -F -D "$PGDATA" postgres
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An image: its files, and how a container of it starts (in Dockerfile's words)."""

    name: str
    version: str
    files: Rootfs
    settings: tuple[str, ...]


def redis() -> Recipe:
    """Redis, as root, with its data in /data."""
    server = binaries.redis_server()
    if server.version < OLDEST_REDIS:
        raise CannotBuild(
            f"redis: {server.path} is {server.words}, 7.0 is needed. apt install redis-server"
        )
    client = shutil.which("redis-cli")
    if client is None:
        raise CannotBuild("redis: no redis-cli on PATH (health checks). apt install redis-tools")
    files = _system()
    files.program("/usr/local/bin/redis-server", server.path)
    files.program("/usr/local/bin/redis-cli", Path(client))
    files.folder("/data")
    settings = ("ENV PATH=/usr/local/bin", "WORKDIR /data", "EXPOSE 6379", 'CMD ["redis-server"]')
    return Recipe(name="redis", version=server.words, files=files, settings=settings)


def postgres() -> Recipe:
    """PostgreSQL, as its own user, with its data in /var/lib/postgresql/data."""
    program = binaries.postgres()
    folder = program.path.parent
    files = _system()
    shell = shutil.which("dash") or shutil.which("sh")
    if shell is None:
        raise CannotBuild(f"postgres: no shell for its entry point. {GET_SHELL}")
    files.program("/bin/sh", Path(shell).resolve())
    home, modules_go, modules, shared_goes, shared = _postgres_layout(folder)
    for each in POSTGRES_PROGRAMS:
        files.program(f"{home}/bin/{each}", (folder / each).resolve())
    for module in sorted(modules.glob("*.so")):
        if module.name not in UNUSED_MODULES:
            files.file(f"{modules_go}/{module.name}", module)
    files.tree(shared_goes, shared)
    files.text("/entrypoint.sh", POSTGRES_ENTRYPOINT, mode=0o755)
    files.folder("/var/lib/postgresql/data", mode=0o700, uid=POSTGRES_UID)
    settings = (
        f"ENV PATH={home}/bin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "USER postgres",
        "EXPOSE 5432",
        'ENTRYPOINT ["/entrypoint.sh"]',
        'CMD ["postgres"]',
    )
    return Recipe(name="postgres", version=program.words, files=files, settings=settings)


def toxiproxy() -> Recipe:
    """Toxiproxy and its command line, with nothing else when Go linked them statically."""
    server = binaries.toxiproxy_server()
    client = shutil.which("toxiproxy-cli", path=str(server.parent)) or shutil.which("toxiproxy-cli")
    client = client or shutil.which("cli", path=str(server.parent))
    if client is None:
        raise CannotBuild(f"toxiproxy: no toxiproxy-cli (health checks). {GET_TOXIPROXY_CLI}")
    files = _system()
    files.program("/toxiproxy", server)
    files.program("/toxiproxy-cli", Path(client))
    settings = ("EXPOSE 8474", 'ENTRYPOINT ["/toxiproxy"]', 'CMD ["-host=0.0.0.0"]')
    return Recipe(name="toxiproxy", version="local", files=files, settings=settings)


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "redis": redis,
    "postgres": postgres,
    "toxiproxy": toxiproxy,
}


def _system() -> Rootfs:
    files = Rootfs()
    files.text("/etc/passwd", ACCOUNTS)
    files.text("/etc/group", GROUPS)
    files.folder("/tmp", mode=0o1777)  # noqa: S108 - the image's own
    return files


def _postgres_layout(folder: Path) -> tuple[str, str, Path, str, Path]:
    """Return where it goes; where its modules go and are; where its shared files go and are.

    It finds both from where its own program lies. A wheel's tree may lie anywhere; Debian's
    /usr/lib/postgresql/15 and /usr/share/postgresql/15 must stay where they are.
    """
    tree = folder.parent
    if (tree / "share" / "postgresql").is_dir():
        home = "/usr/local/pgsql"
        below = ("lib/postgresql", "share/postgresql")
        return home, f"{home}/{below[0]}", tree / below[0], f"{home}/{below[1]}", tree / below[1]
    shared = Path("/usr/share/postgresql") / tree.name
    if tree.parent == binaries.DEBIAN_POSTGRES and shared.is_dir():
        return str(tree), f"{tree}/lib", tree / "lib", str(shared), shared
    raise CannotBuild(
        f"postgres: {folder} is laid out in a way this script does not know."
        f" {binaries.GET_POSTGRES}"
    )
