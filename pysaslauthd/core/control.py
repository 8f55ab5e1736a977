"""What administrators and the front say to each other on the control socket: lines of JSON.

The client says one line, an object in which ``do`` names a command and the rest are its arguments. It
hears lines, each an object, of which the last has ``"end": true``, or ``"error"`` and why. A login that
is no UTF-8 goes as Python's ``surrogateescape`` has it.
"""

import json
from collections.abc import Mapping
from typing import Any

LARGEST_ORDER = 1 << 16
"""Bytes of what the client says."""

LARGEST_REPLY = 1 << 20
"""Bytes of one line that it hears."""

CONTROL_NAME = "control"
"""Of the socket in the run path."""

Line = dict[str, Any]


class LineError(Exception):
    """What came is no line of this protocol. The message does not quote it."""


def encode(line: Mapping[str, Any]) -> bytes:
    """A line, its end included."""
    return json.dumps(line).encode() + b"\n"


def decode(data: bytes) -> Line:
    """What a line says.

    :raises LineError: it is no object in JSON.
    """
    try:
        line = json.loads(data.decode())  # of bytes it would guess the encoding
    except (ValueError, RecursionError):
        raise LineError("expected an object in JSON, in one line") from None
    if not isinstance(line, dict):
        raise LineError("expected an object in JSON, in one line")
    return line


def text_of(line: Line, name: str) -> str | None:
    """An argument that is a text; None if it is not given.

    :raises LineError: it is something else.
    """
    value = line.get(name)
    if value is not None and not isinstance(value, str):
        raise LineError(f"{name}: expected a text")
    return value


def as_text(value: bytes) -> str:
    """Bytes of a login as JSON can say them."""
    return value.decode(errors="surrogateescape")


def as_bytes(text: str) -> bytes:
    """The bytes that :func:`as_text` was given.

    :raises LineError: it was given none.
    """
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise LineError("expected text that is Unicode") from None
