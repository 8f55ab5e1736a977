"""Every setting, by the one name that it has everywhere: as ``-o NAME=VALUE``, in the configuration file, in messages.

Made of the fields of :class:`Options` and :class:`Settings`; nothing is declared twice.
"""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pysaslauthd.config.chain_tables import ChainTable
from pysaslauthd.config.complaints import cut
from pysaslauthd.config.mechanisms import Mechanism
from pysaslauthd.config.options import Flag, Options, read_cache_size
from pysaslauthd.config.settings import SettingError, Settings, read_size
from pysaslauthd.config.socket_tables import SocketTable, read_mode

_NATIVE: dict[object, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    frozenset: (list,),
    tuple: (list,),
}
"""What TOML may hold for a field of a type, besides text."""

_SIZES = (read_size, read_cache_size)
_UNITS_OF_TIME = (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
_UNITS_OF_SIZE = (("GiB", 30), ("MiB", 20), ("KiB", 10))


class Declared(NamedTuple):
    """A setting: how it is called, given, read, shown and explained."""

    name: str
    default: object
    """``dataclasses.MISSING`` for one that has to be given."""
    read: Callable[[str], object]
    """Its value of a text; :class:`SettingError` says what was expected."""
    native: tuple[type, ...]
    """What a TOML file may hold for it besides text."""
    explanation: str
    flag: Flag | None
    needs_restart: bool
    """Whether a reload cannot change it."""

    def read_native(self, value: object) -> object:
        """Its value of what a TOML file holds.

        :raises SettingError: what was expected instead.
        """
        if isinstance(value, str):
            if not value.isprintable():
                raise SettingError("text without control characters")
            return self.read(value)
        if isinstance(value, list) and list in self.native:
            return self.read_native(",".join(self._names(value)))
        if _is_any_of(value, self.native):
            return self.read(_as_text(value))
        if list in self.native:
            if not isinstance(value, list):
                self.read(_as_text(value))  # which may say better what was expected
            raise SettingError(self._list)
        if bool in self.native:
            raise SettingError("true or false")
        self.read(_as_text(value))  # which may say better what was expected
        raise SettingError("text in quotes")

    def _names(self, values: list[object]) -> list[str]:
        """What a list holds, as text."""
        kinds = (str, int) if int in self.native else (str,)
        names = [_as_text(each) for each in values if _is_any_of(each, kinds)]
        if len(names) < len(values) or any("," in name for name in names):
            raise SettingError(self._list)
        return names

    @property
    def _list(self) -> str:
        """What is expected of a list."""
        if int in self.native:
            return 'a list of names or numbers, such as ["postfix", 1000]'
        return 'a list of names, such as ["imap", "smtp"]'

    def in_toml(self, value: object) -> str:
        """A value, None for what a text of nothing means, as the right side of an assignment, read back by :meth:`read_native`; "" if there is no such way."""
        match value:
            case bool():
                text = "true" if value else "false"
            case int():
                text = self._number_in_toml(value)
            case float():
                text = _in_time(value)
            case (Mechanism(name=name),):
                text = quoted_in_toml(name)
            case tuple():
                text = _listed(each.name if isinstance(each, Mechanism) else each for each in value)
            case frozenset():
                text = _listed(sorted(value))
            case str() | Path():
                text = quoted_in_toml(str(value))
            case None:
                text = '""'
            case _:
                text = ""
        return text

    def _number_in_toml(self, value: int) -> str:
        if self.read is read_mode:
            return f'"{value:04o}"'
        return _in_units(value) if self.read in _SIZES else str(value)


def shown(value: object) -> str:
    """What a TOML file holds, as a message about it says it."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return repr(cut(value))
        case dict():
            return "a table"
        case _:
            return cut(_as_text(value))


def _is_any_of(value: object, kinds: tuple[type, ...]) -> bool:
    """As Python takes True for a number, and nobody who writes a file does."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        return str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of very many digits"


def quoted_in_toml(text: str) -> str:
    """A basic string of TOML; "" for what is not UTF-8, which TOML cannot say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return ""
    # JSON's escapes are a part of TOML's, which wants one more.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _listed(texts: Iterable[str]) -> str:
    quoted = [quoted_in_toml(text) for text in texts]
    return f"[{', '.join(quoted)}]" if all(quoted) else ""


def _in_units(size: int) -> str:
    for unit, shift in _UNITS_OF_SIZE:
        if size and not size % (1 << shift):
            return f'"{size >> shift} {unit}"'
    return str(size)


def _in_time(seconds: float) -> str:
    if math.isinf(seconds):
        return '"never"'
    for unit, length in _UNITS_OF_TIME:
        count = round(seconds / length, 6)
        if count >= 1 and count == int(count):
            return f'"{int(count)}{unit}"'
    return f'"{seconds:.6f}s"' if seconds else '"0s"'


def _declared(field: "dataclasses.Field[Any]") -> Declared:
    metadata = field.metadata
    annotation: object = field.type
    if isinstance(annotation, types.UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not types.NoneType)
    native = _NATIVE.get(get_origin(annotation) or annotation, ())
    return Declared(
        name=field.name,
        default=field.default,
        read=metadata["read"],
        native=metadata.get("native", native),
        explanation=metadata["explanation"],
        flag=metadata.get("flag"),
        needs_restart=metadata["needs_restart"],
    )


DECLARED = {
    field.name: _declared(field)
    for fields in (dataclasses.fields(Options), dataclasses.fields(Settings))
    for field in fields
    if field.metadata
}
"""All of them by name, in the order in which they are shown: saslauthd's, then ours."""

SOCKET_KEYS = {field.name: _declared(field) for field in dataclasses.fields(SocketTable) if field.metadata}
"""The keys of a table ``[[socket]]`` by name, in the order in which they are shown."""

CHAIN_KEYS = {field.name: _declared(field) for field in dataclasses.fields(ChainTable) if field.metadata}
"""Those of a table ``[[chain]]``."""

OURS = frozenset(field.name for field in dataclasses.fields(Settings))
"""The names of the fields of :class:`Settings`."""


def explanations() -> dict[str, str]:
    """One line for each setting, for usage text and manual page."""
    return {each.name: each.explanation for each in DECLARED.values()}
