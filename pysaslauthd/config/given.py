"""What was given, by whom, and what counts of it."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pysaslauthd.config.chain_tables import ChainTable, incomplete
from pysaslauthd.config.declared import DECLARED, OURS, Declared
from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.config.options import OptionError, Options
from pysaslauthd.config.settings import SettingError, Settings, read_socket_path
from pysaslauthd.config.socket_tables import SocketTable, twice

DEFAULT = "default"
"""The origin of what nobody gave."""


class Given(NamedTuple):
    """A setting that somebody gave."""

    name: str
    value: object
    origin: str
    """A flag such as ``-m``, or file and line."""
    subject: str
    """With what a message about it begins, such as ``-m``, or file, line and key."""


class Found(NamedTuple):
    """What one source gives, the command line or a file. Errors and warnings are lines that say where."""

    given: tuple[Given, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sockets: tuple[SocketTable, ...] = ()
    chains: tuple[ChainTable, ...] = ()


class NoMechanismError(OptionError):
    """Nobody says which mechanism. The message is the original's."""

    def __init__(self) -> None:
        super().__init__("no authentication mechanism specified")


class Effective(NamedTuple):
    """What counts, and by the name of each setting who said so."""

    options: Options
    origins: Mapping[str, str]

    def values(self) -> Iterator[tuple[Declared, object, str]]:
        """Each setting with its value and its origin."""
        for each in DECLARED.values():
            holder = self.options.settings if each.name in OURS else self.options
            yield each, getattr(holder, each.name), self.origins[each.name]

    def keeping(self, before: Options) -> tuple[Options, list[str]]:
        """What may count after a reload where ``before`` counted until then, and a warning for each thing that stays."""
        options, warnings = self.options, []
        then = Effective(before, self.origins)
        for (declared, now, origin), (_, old, _) in zip(self.values(), then.values(), strict=True):
            if declared.needs_restart and now != old:
                warnings.append(f"{declared.name} ({origin}) needs a restart; what was in force stays so")
                options = _replaced(options, declared.name, old)
        if set(options.mechanisms) != set(before.mechanisms):
            # A process has no mechanism that was not there when the daemon started.
            warnings.append("[[chain]] with other mechanisms needs a restart; what was in force stays so")
            options = dataclasses.replace(options, chains=before.chains)
        return options, warnings


def combined(sources: Iterable[Found], *, foreground: bool = False) -> Effective:
    """What counts: of a setting that was given several times the last, the later source before the earlier.

    :raises OptionError: one line for each thing that is wrong, in all sources.
    :raises NoMechanismError: nothing is, and a mechanism is missing.
    """
    found = tuple(sources)
    if errors := [line for each in found for line in each.errors]:
        raise OptionError("\n".join(errors))
    last = {given.name: given for each in found for given in each.given}
    if "mechanism" not in last:
        raise NoMechanismError
    values: dict[str, Any] = {name: given.value for name, given in last.items()}
    options = Options(
        **{name: value for name, value in values.items() if name not in OURS},
        foreground=foreground,
        settings=Settings(**{name: value for name, value in values.items() if name in OURS}),
        sockets=tuple(table for each in found for table in each.sockets),
        chains=tuple(table for each in found for table in each.chains),
    )
    if errors := [*twice(options.sockets, options.default_socket), *incomplete(options.chains)]:
        raise OptionError("\n".join(errors))
    warnings = [line for each in found for line in each.warnings]
    origins = {name: last[name].origin if name in last else DEFAULT for name in DECLARED}
    option = last.get("mechanism_option")
    for row in options.mechanisms:
        if row.asks and getattr(options.settings, row.asks) is None:
            options = _replaced(options, row.asks, _named_by_option(row, options, option))
            origins[row.asks] = origins["mechanism_option"]
    if option is not None and not any(row.uses_option for row in options.mechanisms):
        names = " and ".join(row.name for row in options.mechanisms)
        warnings.append(f"{option.subject} has no effect: mechanism {names} takes no option")
    return Effective(dataclasses.replace(options, warnings=tuple(warnings)), origins)


def _named_by_option(row: Mechanism, options: Options, option: Given | None) -> Path:
    """The socket to ask, where no setting names it.

    :raises OptionError: ``-O`` does not either.
    """
    others = [each.name for each in options.mechanisms if each.uses_option and each is not row]
    if option is None or others:
        hint = f"; {option.subject} is for {others[0]}" if option else ""
        raise OptionError(
            f"mechanism {row.name}: expected {row.asks}, the path of the socket that it asks{hint}"
        )
    try:
        return read_socket_path(str(option.value))
    except SettingError as error:
        raise OptionError(f"{option.subject}: expected {error}, found {option.value!r}") from None


def _replaced(options: Options, name: str, value: Any) -> Options:
    if name in OURS:
        return dataclasses.replace(options, settings=dataclasses.replace(options.settings, **{name: value}))
    return dataclasses.replace(options, **{name: value})
