"""The statements of a TOML file, each with its line, which ``tomllib`` does not tell.

``tomllib`` itself says where a statement ends: one that goes on in the next line (a list, a text in
three quotes) fails at the end of what it was given, a wrong one fails somewhere before. So no rule
of TOML is known here, and what is right in a file with mistakes is understood all the same.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

from pysaslauthd.config.complaints import Complaints

LARGEST_FILE = 1 << 16
"""Bytes. One with every setting and a comment on each has 8,000."""

MOST_LINES = 500
"""Of one statement. Each line of a list is one more look at all of it."""

_LOCATED = re.compile(r"(.*) \(at line (\d+), column \d+\)", re.DOTALL)
_STATEMENT = re.compile(r"""\s*(\[[^\]]*\]+\s*(#.*)?$|[\w."'-][^=]*=)""")
"""How one looks, for what comes after a mistake."""
_CLOSERS = ("]", '"""', "'''")
"""One of these ends what went on over several lines."""

_ENDLESS = f"expected the end of the list, or of the text in three quotes, that begins here, within {MOST_LINES} lines"

Path = tuple[str, ...]


class Assigned(NamedTuple):
    """A value that a file assigns: its line, the keys on the way to it, and what it is.

    The table that ``[[name]]`` begins has its number, counted from 0, among the keys.
    """

    line: int
    path: Path
    value: object


class Assignments(NamedTuple):
    """What a file assigns, in its order, and the tables that ``[[name]]`` begins, each with its line."""

    values: list[Assigned]
    tables: list[tuple[int, Path]]


class _BrokenError(Exception):
    """A statement that is none: what is wrong, in which line of the file, and whether it has several."""

    def __init__(self, line: int, text: str, *, is_long: bool) -> None:
        super().__init__(text)
        self.line = line
        self.is_long = is_long


def assignments(text: str, complaints: Complaints) -> Assignments:
    """What a file assigns, in its order. What is no TOML goes to ``complaints``; the rest is understood."""
    reading = _Reading(complaints)
    lines = text.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        try:
            count, found = _statement(lines, number)
            reading.take(number + 1, lines[number], found)
            number += count
        except _BrokenError as error:
            complaints.add(error.line, str(error))
            number = _resume(lines, max(number + 1, error.line - 1), is_long=error.is_long)
        except RecursionError:
            complaints.add(number + 1, "expected fewer lists or tables in each other")
            number = _resume(lines, number + 1, is_long=True)
    if not complaints.all():
        _try_together(text, complaints)
    return Assignments(reading.assigned, reading.tables)


def in_words(path: Path) -> str:
    """Keys with dots between them, as a message names them."""
    return ".".join(key if key.isprintable() else repr(key) for key in path)


def _try_together(text: str, complaints: Complaints) -> None:
    """Statements may be right one by one and contradict each other, such as ``a = 1`` and ``a.b = 1``."""
    try:
        tomllib.loads(f"{text}\n")
    except tomllib.TOMLDecodeError as error:
        located = _LOCATED.fullmatch(str(error))
        complaints.add(*((int(located[2]), _tomls(located[1])) if located else (1, _tomls(str(error)))))


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """How many lines the statement at ``start`` has, and what it makes."""
    text = ""
    last = min(len(lines), start + MOST_LINES) - 1
    for number in range(start, last + 1):
        text += lines[number] + "\n"
        is_last = number == last
        if number > start and not is_last and not any(closer in lines[number] for closer in _CLOSERS):
            continue
        try:
            return number + 1 - start, tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            located = _LOCATED.fullmatch(str(error))
            if located is not None:
                line = start + int(located[2])
                is_long = line > start + 1
                begun = f", in what began in line {start + 1}" if is_long else ""
                raise _BrokenError(line, f"{_tomls(located[1])}{begun}", is_long=is_long) from None
            if is_last:
                raise _BrokenError(start + 1, _ENDLESS, is_long=True) from None
        except ValueError:  # Python's own, of which tomllib knows nothing
            raise _BrokenError(start + 1, "expected a number of fewer digits", is_long=False) from None
    raise AssertionError


def _tomls(text: str) -> str:
    """What tomllib says, which is a programmer's words, in an administrator's."""
    match text:
        case "Invalid value":
            return "expected a value: a text in quotes, a number, true or false, or a list"
        case "Expected '=' after a key in a key/value pair":
            return "expected NAME = VALUE"
        case "Invalid statement":
            return "expected NAME = VALUE or a comment"
        case r"Illegal character '\n'":
            return "expected a quote at the end of the text"
        case "Expected newline or end of document after a statement":
            return "expected the end of the line behind the value; a text needs quotes"
        case _:
            return f"not TOML: {text[:1].lower()}{text[1:]}"


def _resume(lines: list[str], number: int, *, is_long: bool) -> int:
    """Where to go on after a mistake: the next line, or after what began lines before, the next statement."""
    while is_long and number < len(lines) and not _STATEMENT.match(lines[number]):
        number += 1
    return number


class _Reading:
    """What is known when some statements have been read."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._table: Path = ()
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self.assigned: list[Assigned] = []
        self.tables: list[tuple[int, Path]] = []

    def take(self, line: int, first: str, found: dict[str, Any]) -> None:
        """Understand a statement that makes ``found`` where it stands alone."""
        if first.lstrip().startswith("["):
            ((path, value),) = _leaves(found)
            self._begin(line, self._numbered(path), is_repeated=isinstance(value, list))
            return
        for path, value in _leaves(found):
            whole = self._table + path
            if self._is_new(line, whole):
                self.assigned.append(Assigned(line, whole, value))

    def _begin(self, line: int, path: Path, *, is_repeated: bool) -> None:
        if is_repeated:
            number = self._counts[path] = self._counts.get(path, -1) + 1
            self._table = (*path, str(number))
            self.tables.append((line, self._table))
            return
        self._table = path
        before = self._lines.setdefault((*path, ""), line)
        if before != line:
            self._complaints.add(line, f"[{in_words(path)}]: given before, in line {before}")

    def _numbered(self, path: Path) -> Path:
        """``[a.b]`` below ``[[a]]`` belongs to its last table."""
        numbered: Path = ()
        for key in path[:-1]:
            numbered = (*numbered, key)
            if numbered in self._counts:
                numbered = (*numbered, str(self._counts[numbered]))
        return (*numbered, path[-1])

    def _is_new(self, line: int, path: Path) -> bool:
        before = self._lines.setdefault(path, line)
        if before != line:
            self._complaints.add(line, f"{in_words(path)}: given before, in line {before}")
        return before == line


def _leaves(found: dict[str, Any]) -> Iterator[tuple[Path, object]]:
    """What is assigned, with its keys; an empty table is a value."""
    for key, value in found.items():
        if isinstance(value, dict) and value:
            yield from (((key, *path), leaf) for path, leaf in _leaves(value))
        else:
            yield (key,), value
