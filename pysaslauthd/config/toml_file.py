"""The configuration file: ``NAME = VALUE`` for each setting, in TOML. No I/O.

Its keys are the names of the settings and stand alone, in no table: one word for one thing, here as
behind ``-o``. What there may be several of has tables: ``[[socket]]``, ``[[chain]]``. All errors of a file are told
at once, with file and line, what was expected and what was found.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pysaslauthd.config.chain_tables import MOST_CHAINS, ChainTable
from pysaslauthd.config.complaints import LONGEST_SHOWN, Complaints, cut
from pysaslauthd.config.declared import CHAIN_KEYS, DECLARED, SOCKET_KEYS, Declared, shown
from pysaslauthd.config.given import Found, Given
from pysaslauthd.config.settings import SettingError, did_you_mean
from pysaslauthd.config.socket_tables import MOST_SOCKETS, SocketTable
from pysaslauthd.config.statements import LARGEST_FILE, Assigned, Path, assignments, in_words

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STARTERS = ("foreground", "debug")
"""Flags whose meaning is who starts the daemon, and how."""

_TABLE = 2
"""Keys on the way to one of several tables: their name, and its number."""

T = TypeVar("T")


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
    sockets = _Tables("socket", SocketTable, SOCKET_KEYS, MOST_SOCKETS)
    chains = _Tables("chain", ChainTable, CHAIN_KEYS, MOST_CHAINS)
    kinds: dict[str, _Tables[Any]] = {"socket": sockets, "chain": chains}
    for line, path in found.tables:
        try:
            _begin(kinds, path, f"{source}:{line}")
        except SettingError as error:
            errors.add(line, str(error))
    given = []
    for each in found.values:
        origin = f"{source}:{each.line}"
        try:
            if each.path[0] in kinds:
                kinds[each.path[0]].take(each, origin)
                continue
            name, value = _understood(each, in_words(each.path), DECLARED)
        except SettingError as error:
            errors.add(each.line, str(error))
        else:
            given.append(Given(name, value, origin, f"{origin}: {name}"))
    return Found(tuple(given), tuple(errors.all()), sockets=sockets.all(), chains=chains.all())


class _Tables(Generic[T]):
    """The tables of one kind, as they are read."""

    def __init__(self, name: str, kind: Callable[..., T], keys: Mapping[str, Declared], most: int) -> None:
        self._name = name
        self._kind = kind
        self._keys = keys
        self._most = most
        self._origins: dict[Path, dict[str, str]] = {}
        self._values: dict[Path, dict[str, Any]] = {}

    def begin(self, path: Path, origin: str) -> None:
        """A table begins.

        :raises SettingError: one too many.
        """
        self._origins[path] = {"": origin}
        self._values[path] = {}
        if path[1] == str(self._most):
            raise SettingError(f"[[{self._name}]]: expected at most {self._most} of them")

    def take(self, assigned: Assigned, origin: str) -> None:
        """Understand a key of one.

        :raises SettingError: it cannot be; the message says all.
        """
        path, name = assigned.path, self._name
        if path[:2] not in self._origins:
            raise SettingError(f"{cut(in_words(path))}: expected a table [[{name}]], as there may be several")
        word = in_words(path[2:])
        if word not in self._keys:
            hint = _near(word, self._keys)
            if word in DECLARED:
                hint = f"; {word} is a setting of all and stands above the tables"
            raise SettingError(f"{name}.{cut(word)}: no such key of a {name}{hint}")
        _, value = _understood(assigned, f"{name}.{word}", {f"{name}.{word}": self._keys[word]})
        self._values[path[:2]][word] = value
        self._origins[path[:2]][word] = origin

    def all(self) -> tuple[T, ...]:
        """The tables, in their order."""
        return tuple(
            self._kind(**self._values[path], origins=origins) for path, origins in self._origins.items()
        )


def _begin(kinds: Mapping[str, _Tables[Any]], path: Path, origin: str) -> None:
    if path[0] not in kinds:
        raise SettingError(f"[[{cut(in_words(path[:-1]))}]]: no such table{_near(path[0], kinds)}")
    if len(path) == _TABLE:  # not a table in one of them, of which the keys tell
        kinds[path[0]].begin(path, origin)


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
