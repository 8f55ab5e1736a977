"""What was found: data, for a person's eyes or for a program's."""

import enum
from typing import NamedTuple


class Level(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    """Looked at, and as it should be."""
    NOTE = "note"
    """Asked for: nothing is wrong."""
    WARNING = "warning"
    """Works, and somebody may be sorry for it, or may not have meant it."""
    PROBLEM = "problem"
    """Logins fail."""


class Finding(NamedTuple):
    """One thing. ``cure`` is lines for a shell; what no command can do is a comment in it."""

    id: str
    """By which a program knows it, whatever the words are."""
    level: Level
    text: str
    cure: tuple[str, ...] = ()


def problem(name: str, text: str, *cure: str) -> Finding:
    """Logins fail."""
    return Finding(name, Level.PROBLEM, text, cure)


def warning(name: str, text: str, *cure: str) -> Finding:
    """Somebody may be sorry for it."""
    return Finding(name, Level.WARNING, text, cure)


def note(name: str, text: str) -> Finding:
    """Asked for."""
    return Finding(name, Level.NOTE, text)


def fine(name: str, text: str) -> Finding:
    """As it should be."""
    return Finding(name, Level.OK, text)
