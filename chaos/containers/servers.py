"""The Redis and the PostgreSQL of docker-compose.yml: made empty, stopped, started, asked."""

import signal
from itertools import count

import psycopg

from chaos.containers.container import Container
from chaos.persistence import Persistence
from chaos.servers.empty_database import empty
from chaos.servers.health import (
    ASK_DATABASE_S,
    PostgresConnection,
    end,
    postgres_amiss,
    prove,
    redis_amiss,
)
from chaos.servers.redis_server import PERSISTENCE_LINES
from chaos.stacks.contract import StackBroken

OWNER = DATABASE = PASSWORD = "holdfast"  # noqa: S105 - docker-compose.yml; on loopback only
VOLUME = "/data"
USUAL_SAVE_POINTS = "save 3600 1\nsave 300 100\nsave 60 10000\n"  # redis.conf of Redis 7
SETTINGS = "holdfast.conf"  # docker-compose.yml has Redis include it from the volume


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
        return end(self.child, signal.SIGTERM)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers, and its data are loaded."""
        return redis_amiss(self.url_at(self.port))

    def check(self) -> None:
        """Prove that it runs and answers.

        Raises:
            StackBroken: it does not.
        """
        prove(self.child, self.amiss)


class PostgresContainer:
    """PostgreSQL in a container, with its data on a named volume."""

    def __init__(self, child: Container, port: int) -> None:
        self.child = child
        self.port = port

    def url_at(self, port: int) -> str:
        """SQLAlchemy's URL of the database through a port of this machine."""
        return f"postgresql+psycopg://{OWNER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"

    def renew(self) -> None:
        """Cut off whoever is in the database, and make it empty.

        Raises:
            StackBroken: it does not answer.
        """
        try:
            with self._connect() as connection:
                empty(connection)
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
        return end(self.child, signal.SIGINT)

    def amiss(self) -> str | None:
        """Say why it is not healthy; None: it answers a query."""
        return postgres_amiss(self._connect)

    def check(self) -> None:
        """Prove that it runs and answers.

        Raises:
            StackBroken: it does not.
        """
        prove(self.child, self.amiss)

    def _connect(self) -> PostgresConnection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=OWNER,
            password=PASSWORD,
            dbname=DATABASE,
            connect_timeout=ASK_DATABASE_S,
            autocommit=True,
        )
