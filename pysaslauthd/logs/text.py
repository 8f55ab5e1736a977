r"""What strangers send, and what went wrong, as text that may stand in a line of the log.

Values come from strangers, so what could forge a line or a field of it is escaped: control and
other unprintable characters, bytes that are not UTF-8, and the brackets that delimit fields (with
an unescaped one, a login could carry a ``[remote=...]`` of its choice to a fail2ban filter). A
backslash stays as it is: logins such as ``DOMAIN\user`` are real, and filters match them.
"""

import os
import traceback
from pathlib import Path

_DELIMITERS = "[]"
_LONGEST_VALUE = 1024  # characters of a line; a field of the default 256 bytes fits, all of it escaped


def escaped(value: object, delimiters: str = _DELIMITERS) -> str:
    """``value`` as it may stand in a log line; bytes are read as UTF-8."""
    text = value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
    if text.isprintable() and not any(character in text for character in delimiters):
        return text
    return "".join(
        character if character.isprintable() and character not in delimiters else _as_hex(character)
        for character in text
    )


def cut(text: str) -> str:
    """A value that is not so long that it would hide what stands behind it."""
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _as_hex(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def describe(error: BaseException) -> str:
    """An unexpected exception in one line: its type and where it arose, innermost place first.

    Not its message: Python's own like to quote the value they stumbled on, which may be a password.
    Only the system's errors are spelled out, as their text comes from a table.
    """
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-4:])
    ]
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{name} {os.strerror(error.errno)}"
    return f"{name} at {' < '.join(places) or 'an unknown place'}"
