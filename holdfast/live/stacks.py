"""Which stack the command line asks for, checked before anything is started."""

from collections.abc import Callable
from dataclasses import dataclass

from chaos.stacks.contract import Stack, StackMissing
from holdfast.errors import WrongCommand, check_names

STACKS = ("embedded", "compose", "external")
REMEDY = "install the live arm with: pip install 'holdfast[live]'"


@dataclass(frozen=True, slots=True)
class StackChoice:
    """The options that say where the servers come from, as written."""

    name: str = "embedded"
    redis_url: str | None = None
    database_url: str | None = None
    toxiproxy_url: str | None = None
    allow_destructive: bool = False


def make_stack(choice: StackChoice) -> Stack:
    """Return the stack, not started yet.

    Raises:
        WrongCommand: an unknown stack, URLs that do not belong to it or are missing, or a library
            that is not installed.
    """
    check_names("--stack", [choice.name], STACKS)
    _check_urls(choice)
    try:
        return _MAKERS[choice.name](choice)
    except StackMissing as error:
        raise WrongCommand(f"--stack {choice.name}: {error}") from error
    except ImportError as error:
        raise WrongCommand(f"--stack {choice.name}: {error}; {REMEDY}") from error


def _check_urls(choice: StackChoice) -> None:
    given = {
        "--redis-url": choice.redis_url,
        "--database-url": choice.database_url,
        "--toxiproxy-url": choice.toxiproxy_url,
        "--allow-destructive": choice.allow_destructive or None,
    }
    if choice.name == "external":
        for option in ("--redis-url", "--database-url"):
            if given[option] is None:
                raise WrongCommand(f"--stack external: needs {option} (servers you started)")
        if not choice.allow_destructive:
            raise WrongCommand(
                "--stack external: every run begins by emptying both servers;"
                " say --allow-destructive if they may be erased"
            )
        return
    for option, value in given.items():
        if value is not None:
            raise WrongCommand(f"{option}: goes with --stack external, not {choice.name}")


def _embedded(_choice: StackChoice) -> Stack:
    from chaos.stacks.embedded import EmbeddedStack

    return EmbeddedStack()


def _compose(_choice: StackChoice) -> Stack:
    from chaos.stacks.compose import ComposeStack

    return ComposeStack()


def _external(choice: StackChoice) -> Stack:
    from chaos.stacks.external import ExternalStack

    return ExternalStack(
        redis_url=choice.redis_url or "",
        database_url=choice.database_url or "",
        toxiproxy_url=choice.toxiproxy_url,
        allow_destructive=choice.allow_destructive,
    )


_MAKERS: dict[str, Callable[[StackChoice], Stack]] = {
    "embedded": _embedded,
    "compose": _compose,
    "external": _external,
}
