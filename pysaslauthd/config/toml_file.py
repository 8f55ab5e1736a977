"""The configuration file: ``NAME = VALUE`` for each setting, in TOML. No I/O.

Its keys are the names of the settings and stand alone, in no table: one word for one thing, here as
behind ``-o``. What there may be several of has tables: ``[[socket]]``. All errors of a file are told
at once, with file and line, what was expected and what was found.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pysaslauthd.config.complaints import LONGEST_SHOWN, Complaints, cut
from pysaslauthd.config.declared import DECLARED, SOCKET_KEYS, Declared, shown
from pysaslauthd.config.given import Found, Given
from pysaslauthd.config.settings import SettingError, did_you_mean
from pysaslauthd.config.socket_tables import MOST_SOCKETS, SocketTable
from pysaslauthd.config.statements import LARGEST_FILE, Assigned, Path, assignments, in_words

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STARTERS = ("foreground", "debug")
"""Flags whose meaning is who starts the daemon, and how."""

SOCKET = "socket"
"""The name of the tables of :class:`SocketTable`."""

_SOCKET_KEY = 3
"""Keys on the way to one of such a table: its name, its number, and the key."""


def read_toml(data: bytes, source: str) -> Found:
    """The settings that the bytes of the file ``source`` give."""
    if len(data) > LARGEST_FILE:
        return Found(errors=(f"{source}: {len(data)} bytes; expected at most {LARGEST_FILE}",))
    errors = Complaints(source, "errors")
    try:
        text = data.removeprefix(_BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Found(errors=(f"{source}:{line}: expected text in UTF-8",))
    found = assignments(text, errors)
    sockets = _begun(found.tables, source, errors)
    given = []
    for each in found.values:
        try:
            if each.path[0] == SOCKET:
                sockets.take(each)
                continue
            name, value = _understood(each, in_words(each.path), DECLARED)
        except SettingError as error:
            errors.add(each.line, str(error))
        else:
            origin = f"{source}:{each.line}"
            given.append(Given(name, value, origin, f"{origin}: {name}"))
    return Found(tuple(given), tuple(errors.all()), sockets=sockets.all())


class _Sockets:
    """The tables ``[[socket]]``, as they are read."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._origins: dict[Path, dict[str, str]] = {}
        self._values: dict[Path, dict[str, Any]] = {}

    def begin(self, line: int, path: Path) -> None:
        """A table begins."""
        self._origins[path] = {"": f"{self._source}:{line}"}
        self._values[path] = {}

    def take(self, assigned: Assigned) -> None:
        """Understand a key of one.

        :raises SettingError: it cannot be; the message says all.
        """
        path = assigned.path
        if path[:2] not in self._origins:
            raise SettingError(
                f"{cut(in_words(path))}: expected a table [[{SOCKET}]], as there may be several"
            )
        word = in_words(path[2:])
        if word not in SOCKET_KEYS:
            hint = _near(word, SOCKET_KEYS)
            if word in DECLARED:
                hint = f"; {word} is a setting of all and stands above the tables"
            raise SettingError(f"{SOCKET}.{cut(word)}: no such key of a socket{hint}")
        _, value = _understood(assigned, f"{SOCKET}.{word}", {f"{SOCKET}.{word}": SOCKET_KEYS[word]})
        self._values[path[:2]][word] = value
        self._origins[path[:2]][word] = f"{self._source}:{assigned.line}"

    def all(self) -> tuple[SocketTable, ...]:
        """The tables, in their order."""
        return tuple(
            SocketTable(**self._values[path], origins=origins) for path, origins in self._origins.items()
        )


def _begun(tables: list[tuple[int, Path]], source: str, errors: Complaints) -> _Sockets:
    """The tables that begin in a file; what is wrong with them goes to ``errors``."""
    sockets = _Sockets(source)
    for line, path in tables:
        if path[0] == SOCKET and len(path) == _SOCKET_KEY - 1:
            sockets.begin(line, path)
            if path[1] == str(MOST_SOCKETS):
                errors.add(line, f"[[{SOCKET}]]: expected at most {MOST_SOCKETS} of them")
        elif path[0] != SOCKET:
            errors.add(line, f"[[{cut(in_words(path[:-1]))}]]: no such table{_near(path[0], [SOCKET])}")
    return sockets


def _understood(assigned: Assigned, name: str, known: Mapping[str, Declared]) -> tuple[str, object]:
    declared = known.get(name)
    if declared is None:
        raise SettingError(f"{cut(name)}: {_unknown(assigned.path)}")
    try:
        return name, declared.read_native(assigned.value)
    except SettingError as error:
        raise SettingError(f"{name}: expected {error}, found {shown(assigned.value)}{error.hint}") from None


def _unknown(path: Path) -> str:
    if path[-1] in _STARTERS:
        return "expected on the command line alone: it is for who starts the daemon"
    if path[-1] in DECLARED:
        return f"no such setting; did you mean {path[-1]}, in no table?"
    # Who writes a table [cache] means the settings whose names begin so.
    hints = (_near(word, DECLARED) for word in ("_".join(path), path[-1], path[0]))
    return f"no such setting{next(filter(None, hints), '')}"


def _near(word: str, known: Iterable[str]) -> str:
    return did_you_mean(word, known) if len(word) <= LONGEST_SHOWN else ""
