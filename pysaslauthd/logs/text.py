r"""What strangers send, and what went wrong, as text that may stand in a line of the log.

What could forge a line or a field of it is escaped: control and other unprintable characters, and
bytes that are not UTF-8. A backslash stays as it is: logins such as ``DOMAIN\user`` are real, and
filters match them.
"""

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

_DELIMITERS = "[]"
_LIKE_AN_ESCAPE = re.compile(r"\\(?=x[0-9a-f]{2})")


def escaped(value: object, delimiters: str = _DELIMITERS) -> str:
    """``value`` as it may stand between brackets, or other ``delimiters``; bytes are read as UTF-8.

    With an unescaped bracket, a login could carry a ``[remote=...]`` of its choice to a fail2ban filter.
    """
    text = _as_text(value)
    if text.isprintable() and not any(character in text for character in delimiters):
        return text
    return "".join(
        character if character.isprintable() and character not in delimiters else _as_hex(character)
        for character in text
    )


def spelled(value: object, is_plain: Callable[[str], bool] = str.isprintable) -> str:
    r"""``value`` such that a reader can have its bytes back: what is not ``is_plain`` is ``\xNN``, and whatever looks so is a byte.

    For that the backslash of a value that looks so itself is ``\x5c``.
    """
    text = _LIKE_AN_ESCAPE.sub(r"\\x5c", _as_text(value))
    if is_plain(text):
        return text
    return "".join(character if is_plain(character) else _as_hex(character) for character in text)


def is_utf8(text: str) -> bool:
    """Whether it was UTF-8 before it was read; for :func:`spelled` where all characters have an escape anyway."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cut(text: str, longest: int) -> str:
    """A value that is not so long that it would hide what stands behind it."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def _as_text(value: object) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


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
