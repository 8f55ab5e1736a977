"""Settings as lines of a configuration file, each with who gave it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pysaslauthd.config.chain_tables import ChainTable
from pysaslauthd.config.declared import CHAIN_KEYS, SOCKET_KEYS, Declared
from pysaslauthd.config.given import DEFAULT
from pysaslauthd.config.socket_tables import SocketTable

_COLUMN = 48
"""Where the origins begin."""


def written(values: Iterable[tuple[Declared, object, str]]) -> Iterator[str]:
    """A line for each setting. What is not set, or is not to be said in TOML, is a comment."""
    for declared, value, origin in values:
        if value is None and declared.default is None:
            line = f"# {declared.name} is not set"
        elif text := declared.in_toml(value):
            line = f"{declared.name} = {text}"
        else:
            line = f"# {declared.name} is not UTF-8, as TOML has to be"
        yield f"{line:<{_COLUMN}}  # {origin}"


def written_chain(table: ChainTable) -> Iterator[str]:
    """A line for the table, and one for each key."""
    yield f"{'[[chain]]':<{_COLUMN}}  # {table.origin}"
    for name, declared in CHAIN_KEYS.items():
        value, origin = getattr(table, name), table.origins.get(name, DEFAULT)
        if value:
            yield from written([(declared, value, origin)])
        else:
            yield f"{f'# {name} is not set':<{_COLUMN}}  # {origin}"


def written_socket(table: SocketTable, default: Path) -> Iterator[str]:
    """A line for the table, and one for each key. One without a path has it by the run path, which a line says."""
    yield f"{'[[socket]]':<{_COLUMN}}  # {table.origin}"
    for name, declared in SOCKET_KEYS.items():
        value, origin = getattr(table, name), table.origins.get(name, DEFAULT)
        if value is None or value == frozenset():
            what = f"is {default}" if name == "path" else "is not set"
            yield f"{f'# {name} {what}':<{_COLUMN}}  # {origin}"
        else:
            yield from written([(declared, value, origin)])
