"""What people write after `--strategies`, `--faults`, `--persistence` and `--set`, as values.

One syntax for strategies with options: `name:key=value,key=value`, several of them joined by
commas. A piece that is `key=value` belongs to the strategy before it, so
`db-cart:give_back=split,reclaim=cron-scan,redis-hold` names two strategies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaos.persistence import Persistence
from holdfast.errors import WrongCommand, check_names


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChoice:
    """A strategy of the catalogue with the options it is to be built with (only those given)."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The choice as it can be written again: `db-cart:give_back=split`."""
        options = ",".join(f"{key}={plain(value)}" for key, value in self.options.items())
        return f"{self.name}:{options}" if options else self.name

    @property
    def title(self) -> str:
        """The choice as people read it, with room to break: `db-cart (give_back=split)`."""
        options = ", ".join(f"{key}={plain(value)}" for key, value in self.options.items())
        return f"{self.name} ({options})" if options else self.name


def plain(value: Any) -> str:
    """Write an option's value as people write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_strategies(text: str) -> list[StrategyChoice]:
    """Read `A,B:key=value,key=value,C`. Values stay strings; the catalogue gives them a type.

    Raises:
        WrongCommand: an empty name, an option without a strategy or without a value, a key or a
            choice given twice.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for piece in text.split(","):
        name, options = _read_piece(piece.strip(), found)
        if name is not None:
            found.append((name, {}))
        for key, value in options:
            if key in found[-1][1]:
                raise WrongCommand(f"--strategies: {found[-1][0]!r} has the option {key!r} twice")
            found[-1][1][key] = value
    choices = [StrategyChoice(name=name, options=options) for name, options in found]
    labels = [choice.label for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise WrongCommand(f"--strategies: {label!r} is named twice")
    return choices


def _read_piece(
    piece: str, found: list[tuple[str, dict[str, str]]]
) -> tuple[str | None, list[tuple[str, str]]]:
    """Split one piece into a new strategy's name (None: it goes on with the last) and options."""
    head, colon, rest = piece.partition(":")
    if "=" in head:
        if not found:
            raise WrongCommand(
                f"--strategies: {piece!r} is an option, but no strategy is before it"
            )
        return None, [_option(found[-1][0], piece)]
    if not head:
        raise WrongCommand("--strategies: an empty name (write A,B or A:key=value,key=value)")
    return head, [_option(head, rest)] if colon else []


def _option(strategy: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key.strip() and equals and value.strip()):
        raise WrongCommand(
            f"--strategies: {text!r} after {strategy!r} is not key=value "
            "(write A:key=value,key=value)"
        )
    return key.strip(), value.strip()


def parse_names(place: str, text: str) -> list[str]:
    """Read `a,b,c`; no empty and no repeated name.

    Raises:
        WrongCommand: naming the option `place`.
    """
    names = [piece.strip() for piece in text.split(",")]
    for name in names:
        if not name:
            raise WrongCommand(f"{place}: {text!r} has an empty name (write a,b,c)")
        if names.count(name) > 1:
            raise WrongCommand(f"{place}: {name!r} is named twice")
    return names


def parse_persistence(text: str) -> list[Persistence]:
    """Read `none,aof-always`.

    Raises:
        WrongCommand: an unknown mode; the message lists the known ones.
    """
    names = parse_names("--persistence", text)
    check_names("--persistence", names, Persistence)
    return [Persistence(name) for name in names]


def parse_overrides(items: Iterable[str]) -> dict[str, str]:
    """Read the values of repeated `--set key=value`.

    Raises:
        WrongCommand: no `=`, or a key given twice.
    """
    overrides: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not (key.strip() and equals):
            raise WrongCommand(f"--set: {item!r} is not key=value (such as arrivals.buyers=200)")
        if key.strip() in overrides:
            raise WrongCommand(f"--set: the key {key.strip()!r} is given twice")
        overrides[key.strip()] = value.strip()
    return overrides
