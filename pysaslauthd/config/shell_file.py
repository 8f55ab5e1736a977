"""A file of shell assignments, such as ``/etc/default/saslauthd``, understood without a shell. No I/O.

What a file of settings may hold of the shell's language is known here: quotes, backslashes, comments,
lines that go on, ``export``, and ``$NAME`` and ``${NAME}`` of what the file assigned above. Anything
else is an error: what it means is only known to who runs it, and nothing of such a file is run.
"""

import re
from typing import NamedTuple

from pysaslauthd.config.complaints import Complaints, cut

LARGEST_FILE = 1 << 16
"""Bytes. Debian's has 2,500."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_EXPORT = re.compile(r"export[ \t]+")
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=[ \t\n;]|\Z)")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_BLANKS = re.compile(r"(?:[ \t]|\\\n)+")
_REST = re.compile(r"[^\n#'\"`$\\;&|<>()*?\[\]{}~!]*")
"""Words that follow a value without quotes, and hold nothing that means something to a shell."""

_SPECIAL = frozenset("`$&|<>()*?[]{}~!#")
_ESCAPED = frozenset('"\\$`')
"""Before which a backslash is one between double quotes."""


class Variable(NamedTuple):
    """What a file assigns, and where."""

    value: str
    line: int
    is_used: bool = False
    """Whether another is made of it."""


class _NotUnderstoodError(Exception):
    """What is there is no assignment that we understand; the message is what was expected."""


def read_shell(text: str, errors: Complaints, warnings: Complaints) -> dict[str, Variable]:
    """The variables that a file assigns, with what they hold at its end."""
    reading = _Reading(text.replace("\r\n", "\n"), warnings)
    while not reading.is_done:
        start = reading.line
        try:
            reading.take()
        except _NotUnderstoodError as error:
            errors.add(start, str(error))
            reading.skip_line()
    return reading.variables


class _Reading:
    """A place in the text, and the variables that were assigned before it."""

    def __init__(self, text: str, warnings: Complaints) -> None:
        self._text = text
        self._at = 0
        self._warnings = warnings
        self.variables: dict[str, Variable] = {}

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._text)

    @property
    def line(self) -> int:
        """Where the place is, counted from 1."""
        return self._text.count("\n", 0, self._at) + 1

    @property
    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def skip_line(self) -> None:
        """Go on behind the end of this line."""
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end + 1

    def take(self) -> None:
        """Understand one assignment, or what stands between two."""
        if self._skip(_BLANKS):
            return
        if self._next in {"\n", ";"}:
            self._at += 1
        elif self._next == "#":
            self.skip_line()
        elif self._skip(_EXPORT):
            while self._skip(_NAMES):  # of variables that are assigned elsewhere
                self._skip(_BLANKS)
        else:
            self._assign()

    def _skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _assign(self) -> None:
        line = self.line
        name = self._skip(_ASSIGNMENT)
        if name is None:
            raise _NotUnderstoodError("expected NAME=VALUE or a comment")
        start = self._at
        value = self._value()
        is_quoted = self._text[start : self._at] != value
        rest = self._rest()
        if rest and is_quoted:
            raise _NotUnderstoodError(f"{name[1]}: expected nothing behind the value, found {cut(rest)!r}")
        if rest:
            value = f"{value} {rest}"
            self._warnings.add(
                line, f"{name[1]}: taken up to the end of the line, as systemd does; a shell needs quotes"
            )
        self.variables[name[1]] = Variable(value, line)

    def _rest(self) -> str:
        """What follows a value in its line; nothing if that is an end, a comment or another assignment."""
        if self._next in {"", "\n", ";"}:
            return ""
        if not self._skip(_BLANKS):
            raise _NotUnderstoodError(f"expected quotes around {self._next!r}")
        if self._next in {"", "\n", ";", "#"} or _ASSIGNMENT.match(self._text, self._at):
            return ""
        rest = self._skip(_REST)
        if rest is None or self._next not in {"", "\n", "#"}:
            raise _NotUnderstoodError(f"expected quotes around {self._next!r}")
        return rest[0].strip()

    def _value(self) -> str:
        value = ""
        while (character := self._next) and character not in " \t\n;":
            if character == "'":
                value += self._single()
            elif character == '"':
                value += self._double()
            elif character == "$":
                value += self._expansion()
            elif character == "\\":
                value += self._escape()
            elif character in _SPECIAL and not (character in "#!" and value):
                raise _NotUnderstoodError(f"expected quotes around {character!r}")
            else:
                value += character
                self._at += 1
        return value

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise _NotUnderstoodError("expected a closing '")
        value = self._text[self._at + 1 : end]
        self._at = end + 1
        return value

    def _double(self) -> str:
        self._at += 1
        value = ""
        while (character := self._next) != '"':
            if not character:
                raise _NotUnderstoodError('expected a closing "')
            if character == "`":
                raise _NotUnderstoodError("expected no command: nothing of this file is run")
            if character == "$":
                value += self._expansion()
            elif character == "\\":
                value += self._escape(_ESCAPED)
            else:
                value += character
                self._at += 1
        self._at += 1
        return value

    def _escape(self, escaped: frozenset[str] | None = None) -> str:
        """What a backslash makes of the character behind it, among those that it means something for."""
        following = self._text[self._at + 1 : self._at + 2]
        if not following:
            raise _NotUnderstoodError("expected something behind the backslash")
        self._at += 2
        if following == "\n":
            return ""
        return following if escaped is None or following in escaped else f"\\{following}"

    def _expansion(self) -> str:
        match = self._skip(_VARIABLE)
        if match is None:
            if self._text.startswith("$(", self._at):
                raise _NotUnderstoodError("expected no command: nothing of this file is run")
            raise _NotUnderstoodError("expected $NAME or ${NAME}; no more of the shell is understood")
        name = match[1] or match[2]
        if name not in self.variables:
            raise _NotUnderstoodError(f"expected {name} to be assigned above")
        self.variables[name] = self.variables[name]._replace(is_used=True)
        return self.variables[name].value
