"""The stack `external`: servers that somebody else started, given by their URLs.

Nothing is started or stopped. `renew` erases the Redis database and the PostgreSQL schema it is
given, and therefore needs `allow_destructive`. The faults are those of the network, by proxies of
our own in the given Toxiproxy, which nobody else's connections go through.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from threading import RLock
from typing import Any, NoReturn, Self
from urllib.parse import unquote, urlsplit

import psycopg
import redis
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from chaos.faults import Fault, Partition, ProxyDown, Slow, Target, Toxic, UnsupportedFault
from chaos.injectors.network import Network
from chaos.injectors.refusals import not_for_servers
from chaos.injectors.toxiproxy_api import ToxiproxyApi
from chaos.persistence import Persistence
from chaos.servers.empty_database import empty
from chaos.servers.health import PostgresConnection, postgres_amiss, redis_amiss, redis_client
from chaos.stacks.breakages import Breakages
from chaos.stacks.contract import Breakage, Endpoints, StackBroken, StackMissing

ASK_S = 5.0
ALLOW = (
    "a run erases the Redis database and the PostgreSQL schema `public` it is given;"
    " say --allow-destructive if they may be erased"
)
_PORTS = {Target.REDIS: 6379, Target.DATABASE: 5432}


class ExternalStack:
    """A Redis, a PostgreSQL and perhaps a Toxiproxy that are there already."""

    name = "external"

    def __init__(
        self,
        *,
        redis_url: str,
        database_url: str,
        toxiproxy_url: str | None = None,
        allow_destructive: bool = False,
    ) -> None:
        """Check the URLs; nothing is asked yet.

        Raises:
            StackMissing: a URL is not one of its kind.
        """
        self.redis_url = _redis_url(redis_url)
        self.database_url = _database_url(database_url)
        self.toxiproxy = None if toxiproxy_url is None else _address(toxiproxy_url)
        self.allow_destructive = allow_destructive
        self.network: Network | None = None
        self._listens: dict[Target, tuple[str, int]] = {}
        self._exits = ExitStack()
        self._broken = Breakages()
        self._lock = RLock()

    def __enter__(self) -> Self:
        """Reach every server, and make the proxies.

        Raises:
            StackMissing: one cannot be reached, or Toxiproxy cannot reach the others.
        """
        self._require(Target.REDIS, self._redis_amiss(direct=True))
        self._require(Target.DATABASE, self._db_amiss(direct=True))
        with ExitStack() as exits:
            if self.toxiproxy is not None:
                self._make_proxies(*self.toxiproxy, exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        """Remove the proxies; the servers stay as they are."""
        self._broken.forget()
        self._exits.close()

    @cached_property
    def endpoints(self) -> Endpoints:
        """Where the servers are, through the proxies and directly."""
        direct = self.redis_url, self.database_url.render_as_string(hide_password=False)
        redis_url, database_url = direct
        if self._listens:
            redis_url = _moved(self.redis_url, *self._listens[Target.REDIS])
            host, port = self._listens[Target.DATABASE]
            near = self.database_url.set(host=host, port=port)
            database_url = near.render_as_string(hide_password=False)
        return Endpoints(
            redis_url=redis_url,
            database_url=database_url,
            direct_redis_url=direct[0],
            direct_database_url=direct[1],
            proxied=bool(self._listens),
        )

    def keeps(self) -> Persistence:
        """See `Stack`."""
        self._require(Target.REDIS, self._redis_amiss(direct=True))
        with self._client() as client:
            return _persistence(client.config_get("save"), client.config_get("append*"))

    def _require_persistence(self, persistence: Persistence) -> None:
        kept = self.keeps()
        if kept is not persistence:
            raise StackMissing(
                f"redis: {self._shown(Target.REDIS)} keeps its data by {kept}, not"
                f" {persistence}; say --persistence {kept}, or set it with CONFIG SET"
            )

    def renew(self, persistence: Persistence | None) -> Endpoints:
        """Erase the Redis database (None: leave it alone) and the schema `public`; see `Stack`.

        Raises:
            StackMissing: it is not allowed, or Redis has another persistence.
        """
        if not self.allow_destructive:
            raise StackMissing(f"external: {ALLOW}")
        with self._lock:
            self.heal()
            if persistence is not None:
                self._require_persistence(persistence)
                with self._client() as client:
                    client.flushdb()
            self._renew_database()
            return self.endpoints

    def refuses(self, fault: Fault) -> str | None:
        """See `Stack`."""
        reason = not_for_servers(fault)
        if reason is None:
            if not isinstance(fault, Partition | Slow | ProxyDown | Toxic):
                reason = "the servers are not ours to end, stop or slow; use --stack embedded"
            elif self.toxiproxy is None:
                reason = "needs a Toxiproxy; start one and give --toxiproxy-url http://HOST:8474"
        return None if reason is None else f"{type(fault).__name__}: {reason}"

    def strike(self, fault: Fault) -> Breakage:
        """See `Stack`."""
        refusal = self.refuses(fault)
        if refusal is not None:
            raise UnsupportedFault(refusal)
        assert self.network is not None
        assert isinstance(fault, Partition | Slow | ProxyDown | Toxic)
        return self._broken.add(self.network.strike(fault))

    def heal(self) -> None:
        """Heal everything that was struck; repeatable.

        Raises:
            StackBroken: Toxiproxy does not answer.
        """
        self._broken.heal()

    def check(self) -> None:
        """See `Stack`."""
        for target, amiss in ((Target.REDIS, self._redis_amiss), (Target.DATABASE, self._db_amiss)):
            said = amiss(direct=True)
            if said is not None:
                raise StackBroken(f"{_NAMES[target]}: {self._shown(target)}: {said}")
        if self.network is not None:
            self.network.check()

    def _make_proxies(self, host: str, port: int, exits: ExitStack) -> None:
        if self.redis_url.startswith("rediss:"):
            raise StackMissing(
                "external: a proxy cannot stand before a Redis with TLS (its certificate names"
                " another host); leave --toxiproxy-url out"
            )
        api = ToxiproxyApi(host, port)
        api.require()
        names = {target: f"holdfast-{_NAMES[target]}-{secrets.token_hex(4)}" for target in _NAMES}
        loopback = host in {"localhost", "127.0.0.1", "::1"}
        listen = "127.0.0.1:0" if loopback else "0.0.0.0:0"
        for target, name in names.items():
            upstream = "{}:{}".format(*self._place(target))
            api.create(name, listen=listen, upstream=upstream)
            exits.callback(api.delete, name)
            taken = api.proxies()[name]["listen"]
            self._listens[target] = (host, int(taken.rpartition(":")[2]))
        self.network = Network(api, names)
        for target, amiss in ((Target.REDIS, self._redis_amiss), (Target.DATABASE, self._db_amiss)):
            said = amiss(direct=False)
            if said is not None:
                raise StackMissing(
                    f"toxiproxy: {_NAMES[target]} cannot be reached through {host}:"
                    f"{self._listens[target][1]} ({said}); run Toxiproxy on this machine, or where"
                    f" it can reach {self._shown(target)} and all its ports can be reached"
                )

    def _require(self, target: Target, amiss: str | None) -> None:
        if amiss is not None:
            raise StackMissing(
                f"{_NAMES[target]}: {self._shown(target)}: {amiss.rstrip('.')};"
                f" {_remedy(target, amiss)}"
            )

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        """A connection to prepare Redis with."""
        client = redis_client(self.redis_url, ask_s=ASK_S)
        try:
            yield client
        except redis.ResponseError as error:
            raise StackMissing(
                f"redis: {self._shown(Target.REDIS)} does not let itself be prepared ({error});"
                " give a user that may call CONFIG GET and FLUSHDB"
            ) from error
        except redis.RedisError as error:
            raise StackBroken(f"redis: {self._shown(Target.REDIS)}: {error}") from error
        finally:
            client.close()

    def _renew_database(self) -> None:
        """Cut off our own sessions of earlier runs, and make the schema anew."""
        try:
            with self._connect(direct=True) as connection:
                empty(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise StackMissing(
                f"postgres: {self._shown(Target.DATABASE)}: {_line(error)}; give the database's"
                " owner as user"
            ) from error
        except psycopg.Error as error:
            said = f"postgres: {self._shown(Target.DATABASE)}: {_line(error)}"
            raise StackBroken(said) from error

    def _redis_amiss(self, *, direct: bool) -> str | None:
        url = self.endpoints_of(direct=direct)[0]
        return redis_amiss(url, ask_s=ASK_S) or self._login_amiss()

    def _login_amiss(self) -> str | None:
        """Say that a password is not wanted: redis-py does not, and its next connections fail."""
        parts = urlsplit(self.redis_url)
        if not parts.password:
            return None
        client = redis_client(self.redis_url, ask_s=ASK_S)
        try:
            client.auth(unquote(parts.password), unquote(parts.username or "") or None)
        except (redis.RedisError, OSError) as error:
            return str(error) or type(error).__name__
        finally:
            client.close()
        return None

    def _db_amiss(self, *, direct: bool) -> str | None:
        said = postgres_amiss(partial(self._connect, direct=direct))
        return None if said is None else said.splitlines()[0]

    def endpoints_of(self, *, direct: bool) -> tuple[str, str]:
        """The URLs of Redis and of the database, through the proxies or directly."""
        if direct:
            return self.redis_url, self.database_url.render_as_string(hide_password=False)
        return self.endpoints.redis_url, self.endpoints.database_url

    def _connect(self, *, direct: bool) -> PostgresConnection:
        url = make_url(self.endpoints_of(direct=direct)[1]).set(drivername="postgresql")
        return psycopg.connect(
            url.render_as_string(hide_password=False),
            autocommit=True,
            connect_timeout=int(ASK_S),
        )

    def _place(self, target: Target) -> tuple[str, int]:
        if target is Target.REDIS:
            parts = urlsplit(self.redis_url)
            return parts.hostname or "127.0.0.1", parts.port or _PORTS[target]
        return self.database_url.host or "127.0.0.1", self.database_url.port or _PORTS[target]

    def _shown(self, target: Target) -> str:
        """Host and port, never a password."""
        return "{}:{}".format(*self._place(target))


_NAMES: Mapping[Target, str] = {Target.REDIS: "redis", Target.DATABASE: "postgres"}


_URL_OPTIONS: Mapping[Target, str] = {
    Target.REDIS: "--redis-url",
    Target.DATABASE: "--database-url",
}
_LOCKED_OUT = (
    "authentication",
    "authenticated",
    "noauth",
    "without any password",
    "wrongpass",
    "invalid username",
    "pg_hba.conf",
    "role ",
)


def _remedy(target: Target, said: str) -> str:
    """What to do about a server that did not let us in, by what it said."""
    text = said.lower()
    if any(word in text for word in _LOCKED_OUT):
        return f"correct the user and the password in {_URL_OPTIONS[target]}"
    if "does not exist" in text or "out of range" in text:
        return f"create it, or name another in {_URL_OPTIONS[target]}"
    return f"start it, or correct {_URL_OPTIONS[target]}"


def _persistence(save: Any, append: Any) -> Persistence:
    """Read what CONFIG GET says as one of ours; an AOF counts before snapshots, as on loading."""
    if append["appendonly"] == "yes":
        return Persistence(f"aof-{append['appendfsync']}")
    return Persistence.RDB if save["save"] else Persistence.NONE


def _redis_url(text: str) -> str:
    parts = urlsplit(text)
    try:
        fits = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        _refuse("redis", text, "redis://:PASSWORD@HOST:6379/0")
    return text


def _database_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        _refuse("postgres", text, "postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    if url.drivername not in {"postgresql", "postgresql+psycopg"} or not url.host:
        _refuse("postgres", text, "postgresql://USER:PASSWORD@HOST:5432/DATABASE")
    return url.set(drivername="postgresql+psycopg")


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(text if "//" in text else f"//{text}")
    try:
        host, port = parts.hostname, parts.port or 8474
    except ValueError:
        host, port = None, 0
    if not host or parts.scheme not in {"", "http"}:
        _refuse("toxiproxy", text, "http://HOST:8474")
    return host, port


def _refuse(component: str, text: str, form: str) -> NoReturn:
    shown = re.sub(r":[^:/@]*@", ":***@", text)
    raise StackMissing(f"{component}: {shown!r} is not a URL of the form {form}")


def _moved(url: str, host: str, port: int) -> str:
    """The same URL at another place."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{host}:{port}").geturl()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
