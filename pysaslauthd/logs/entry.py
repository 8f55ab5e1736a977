"""A line on its way: what is to be said, before anything of it is escaped or laid out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

IDENT = "saslauthd"
"""The original's name, which filters and dashboards look for."""

FACILITY_AUTH = 4
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

_NOTHING: Mapping[str, object] = MappingProxyType({})


class Entry(NamedTuple):
    """An event. Bytes among the values are what strangers sent."""

    level: str
    text: str
    fields: Mapping[str, object] = _NOTHING
    """What the original's line has, in its order."""
    extra: Mapping[str, object] = _NOTHING
    """What only the formats show that are ours: of a login its request id, who asked, how long it took."""

    @property
    def priority(self) -> int:
        """Syslog's number for the level."""
        return PRIORITIES[self.level]

    @property
    def values(self) -> dict[str, object]:
        """All that it says beside its text."""
        return {**self.fields, **self.extra}
