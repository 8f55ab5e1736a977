"""What a table ``[[socket]]`` may say: where a socket is, whose it is, and who may ask by it. No I/O.

A key is a field of :class:`SocketTable`, declared as one of :class:`~pysaslauthd.config.settings.Settings` is.
Names of users and groups are only looked up where the sockets are made.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pysaslauthd.config.settings import SettingError, read_socket_path

MOST_SOCKETS = 16
"""Of one daemon; each takes a descriptor of the front."""

DEFAULT_MODE = 0o777
LARGEST_ID = 0xFFFF_FFFE
"""The number after it means "no change" to the system."""

_NAME = re.compile(r"[^\s:,/-][^\s:,/]*")


def read_mode(text: str) -> int:
    """The bits of a mode, as chmod takes them."""
    if not re.fullmatch("0?[0-7]{3}", text):
        raise SettingError('a mode in quotes, such as "0660"')
    return int(text, 8)


def read_id(text: str) -> str:
    """A name or a number; whether there is such a user or group is seen at the start."""
    name = text.strip()
    if not _NAME.fullmatch(name) or (name.isdecimal() and not (name.isascii() and int(name) <= LARGEST_ID)):
        raise SettingError("a name or a number")
    return name


def read_ids(text: str) -> frozenset[str]:
    """Names or numbers with commas between, one at least: a list of nobody is not what was meant."""
    try:
        return frozenset(map(read_id, text.split(",")))
    except SettingError:
        raise SettingError('a list of names or numbers, such as ["postfix", 1000]') from None


def _key(default: object, read: Any, explanation: str, *native: type) -> Any:
    """A field that TOML may also give as one of the types ``native``."""
    metadata = {"read": read, "explanation": explanation, "needs_restart": False, "native": native}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class SocketTable:
    """One socket, as the file says it."""

    path: Path | None = _key(None, read_socket_path, "where it is; mux in the run path if not set")
    owner: str | None = _key(None, read_id, "the user it belongs to; the daemon's own if not set", int)
    group: str | None = _key(None, read_id, "the group it belongs to; the daemon's own if not set", int)
    mode: int = _key(DEFAULT_MODE, read_mode, "who may connect, as chmod takes it")
    allow_users: frozenset[str] = _key(
        frozenset(), read_ids, "users that may ask; with allow_groups the only ones", list, int
    )
    allow_groups: frozenset[str] = _key(
        frozenset(), read_ids, "groups whose members may ask, by a supplementary group too", list, int
    )
    origins: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False)
    """Who gave each key; that of the table itself is under ``""``."""

    @property
    def origin(self) -> str:
        """Where the table begins."""
        return self.origins.get("", "default")

    def origin_of(self, name: str) -> str:
        """Who gave a key, or where the table begins that does not."""
        return self.origins.get(name, self.origin)


def twice(tables: Iterable[SocketTable], default: Path) -> Iterator[str]:
    """A line for each table whose path one before it has. Without a path it is ``default``."""
    seen: dict[Path, SocketTable] = {}
    for each in tables:
        path = each.path or default
        first = seen.setdefault(path, each)
        if first is not each:
            yield f"{each.origin_of('path')}: socket.path: {path} is the one of {first.origin_of('path')} already"
