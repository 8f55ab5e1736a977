"""Files that decide what is right: when one changes, what was found right before may be wrong.

The master looks, as it alone may look everywhere; the front, whose cache it is, is told.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

INTERVAL = 1.0
"""Seconds between two looks; a look is one system call for each file."""


class _State(NamedTuple):
    """What changes when a file does. Not its time against a clock's: that may be set back."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class FileWatch:
    """Knows how ``paths`` were when it last looked. Times are monotonic seconds."""

    def __init__(self, paths: Iterable[Path], now: float) -> None:
        self._states = {path: _state(path) for path in paths}
        self.due = now + INTERVAL if self._states else float("inf")
        """When to look again."""

    def look(self, now: float) -> list[Path]:
        """What is another than it was, if it is time to look."""
        if now < self.due:
            return []
        self.due = now + INTERVAL
        changed = []
        for path, before in self._states.items():
            state = _state(path)
            if state != before:
                self._states[path] = state
                changed.append(path)
        return changed


def _state(path: Path) -> _State | None:
    """None for a file that is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _State(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
