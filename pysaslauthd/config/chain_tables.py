"""What a table ``[[chain]]`` may say: which requests it is for, and which mechanisms they are asked of. No I/O.

A key is a field of :class:`ChainTable`, declared as one of :class:`~pysaslauthd.config.settings.Settings` is.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pysaslauthd.config.mechanisms import Mechanism, read_mechanisms
from pysaslauthd.config.settings import read_names, read_next_on

MOST_CHAINS = 64


def _key(default: object, read: Any, explanation: str) -> Any:
    metadata = {"read": read, "explanation": explanation, "needs_restart": False}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class ChainTable:
    """The mechanisms of some requests, as the file says it. The first table that fits a request counts."""

    services: frozenset[str] = _key(frozenset(), read_names, "the services that it is for; all if not set")
    realms: frozenset[str] = _key(frozenset(), read_names, "the realms that it is for; all if not set")
    mechanism: tuple[Mechanism, ...] = _key((), read_mechanisms, "what checks their passwords")
    next_on: frozenset[str] | None = _key(
        None, read_next_on, "when the next is asked; as for all others if not set"
    )
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    """Who gave each key; that of the table itself is under ``""``."""

    @property
    def origin(self) -> str:
        """Where the table begins."""
        return self.origins.get("", "default")


def incomplete(tables: Iterable[ChainTable]) -> Iterator[str]:
    """A line for each table that does not say enough."""
    for each in tables:
        if not each.mechanism:
            yield f"{each.origin}: chain.mechanism: expected, as a chain without any asks nobody"
        if not each.services and not each.realms:
            yield f"{each.origin}: chain: expected services or realms; mechanism above the tables is for all others"
