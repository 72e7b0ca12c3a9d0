"""The Redis and the PostgreSQL of docker-compose.yml: made empty, stopped, started, asked."""

import signal
from itertools import count

import psycopg
import redis
from psycopg.sql import SQL, Identifier
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.containers.container import ENDED_S, Container
from chaos.persistence import Persistence
from chaos.servers.redis_server import PERSISTENCE_LINES
from chaos.stacks.contract import StackBroken

ASK_S = 1.0
OWNER = DATABASE = PASSWORD = "holdfast"  # noqa: S105 - docker-compose.yml; on loopback only
VOLUME = "/data"
USUAL_SAVE_POINTS = "save 3600 1\nsave 300 100\nsave 60 10000\n"  # redis.conf of Redis 7
SETTINGS = "holdfast.conf"  # docker-compose.yml has Redis include it from the volume

_THROW_OUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_SCHEMAS = """
    SELECT nspname FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


class RedisContainer:
    """Redis in a container, with its data on a named volume."""

    def __init__(self, child: Container, port: int) -> None:
        self.child = child
        self.port = port
        self.persistence = Persistence.NONE
        self._renewals = count(1)

    def url_at(self, port: int) -> str:
        """Where it is reached through a port of this machine."""
        return f"redis://127.0.0.1:{port}/0"

    def renew(self, persistence: Persistence) -> None:
        """Start over in an empty folder of the volume, with this persistence.

        Raises:
            StackBroken: it did not become healthy.
        """
        self.child.kill()
        self.persistence = persistence
        folder = f"run-{next(self._renewals)}"
        settings = f"dir {VOLUME}/{folder}\n{PERSISTENCE_LINES[persistence]}"
        if persistence is Persistence.RDB:
            settings += USUAL_SAVE_POINTS  # docker-compose.yml starts Redis without any
        self.child.put(VOLUME, {folder: None, SETTINGS: settings})
        self.start()

    def start(self) -> None:
        """Start it on the volume as it is, and wait until its data are loaded.

        Raises:
            StackBroken: it did not become healthy.
        """
        self.child.start()
        self.child.await_healthy(self.amiss)

    def stop(self) -> bool:
        """Stop it with SIGTERM, as `docker stop` does; False if it had to be killed."""
        return _end(self.child, signal.SIGTERM)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers, and its data are loaded."""
        client = redis.Redis(
            host="127.0.0.1",
            port=self.port,
            socket_timeout=ASK_S,
            socket_connect_timeout=ASK_S,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
        except (redis.RedisError, OSError) as error:
            return str(error)
        finally:
            client.close()
        return None


class PostgresContainer:
    """PostgreSQL in a container, with its data on a named volume."""

    def __init__(self, child: Container, port: int) -> None:
        self.child = child
        self.port = port

    def url_at(self, port: int) -> str:
        """SQLAlchemy's URL of the database through a port of this machine."""
        return f"postgresql+psycopg://{OWNER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"

    def renew(self) -> None:
        """Throw out whoever is in the database, and drop all that is in it.

        A hundredth of a second, where dropping and making the database takes a whole one: that
        waits for hundreds of files to reach the disk.

        Raises:
            StackBroken: it does not answer.
        """
        try:
            with self._connect() as connection:
                connection.execute(_THROW_OUT)
                schemas = [str(row[0]) for row in connection.execute(_SCHEMAS)]
                for schema in schemas:
                    connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema)))
                connection.execute("CREATE SCHEMA public")
        except psycopg.Error as error:
            raise StackBroken(self.child.says(f"gives no empty database ({error})")) from error

    def start(self) -> None:
        """Start it on the volume as it is, and wait until it has recovered.

        Raises:
            StackBroken: it did not become healthy.
        """
        self.child.start()
        self.child.await_healthy(self.amiss)

    def stop(self) -> bool:
        """Stop it with SIGINT, which cuts off its clients; False if it had to be killed."""
        return _end(self.child, signal.SIGINT)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers a query."""
        try:
            with self._connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return str(error).strip()
        return None

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=OWNER,
            password=PASSWORD,
            dbname=DATABASE,
            connect_timeout=int(ASK_S) + 1,
            autocommit=True,
        )


def prove(server: RedisContainer | PostgresContainer) -> None:
    """Prove that a server runs and answers.

    Raises:
        StackBroken: it does not.
    """
    if not server.child.running:
        raise StackBroken(server.child.says("is not running"))
    amiss = server.amiss()
    if amiss is not None:
        raise StackBroken(server.child.says(f"does not answer ({amiss})"))


def _end(child: Container, number: signal.Signals) -> bool:
    child.tell(number)
    if child.await_end(ENDED_S):
        return True
    child.kill()
    return False
