"""The same line again and again: written once, then counted.

Only errors that are not of a login are held back. What is said of a login is evidence: fail2ban
counts the failures of an address line by line, and a guesser who tries a thousand names must not look like one
who tried one, nor a user whom the directory fails like another. Of the rest some can be had as often as anybody
likes, by requests that are none or by a bug that breaks every login; those would fill the disk and say nothing new. Nor is
a line held back that is a count itself, which has a ``count``; and warnings and news tell of what has changed, such as a server
that is left aside and answers again, of which no half may be missing.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from pysaslauthd.logs.entry import Entry

INTERVAL = 10.0
"""Seconds after a line in which the same one is not written again, and then between two counts."""

MOST_LINES = 64
"""Different lines that are counted at a time; what comes beyond is written."""

CallLater = Callable[[float, Callable[[], None]], object]
"""Of an event loop: has something called after so many seconds."""


class _Line(NamedTuple):
    """What makes two entries the same; not who caused them, nor when."""

    level: str
    text: str
    values: tuple[tuple[str, object], ...]


class _Count:
    __slots__ = ("again", "entry", "since")

    def __init__(self, entry: Entry, since: float) -> None:
        self.entry = entry
        self.since = since
        self.again = 0


class Repeats:
    """Passes on to ``write`` what is not the same again, and how often the rest was.

    Without ``call_later``, in a process that has no loop, a count is written before the next line, whatever that is.
    """

    def __init__(self, write: Callable[[Entry], None], call_later: CallLater | None) -> None:
        self._write = write
        self._call_later = call_later
        self._counts: dict[_Line, _Count] = {}
        self._is_timed = False

    def take(self, entry: Entry) -> None:
        """An entry has come."""
        now = time.monotonic()
        if self._call_later is None:
            self._settle(now)
        if not _is_counted(entry):
            self._write(entry)
            return
        line = _Line(entry.level, entry.text, tuple(entry.fields.items()))
        count = self._counts.get(line)
        if count is not None:
            count.again += 1
            return
        if len(self._counts) < MOST_LINES:
            self._counts[line] = _Count(entry, now)
            self._remind()
        self._write(entry)

    def finish(self) -> None:
        """Write all counts: the process ends."""
        self._settle(float("inf"))

    def _remind(self) -> None:
        if self._call_later is not None and not self._is_timed:
            self._is_timed = True
            self._call_later(INTERVAL, self._reminded)

    def _reminded(self) -> None:
        self._is_timed = False
        self._settle(time.monotonic())
        if self._counts:
            self._remind()

    def _settle(self, now: float) -> None:
        """Write the counts whose time has come; what has not come again is forgotten."""
        for line, count in list(self._counts.items()):
            if count.since > now - INTERVAL:
                continue
            if count.again:
                self._write(_summary(count, time.monotonic()))
                count.since, count.again = time.monotonic(), 0
            else:
                del self._counts[line]


def _is_counted(entry: Entry) -> bool:
    return entry.level == "error" and "user" not in entry.fields and "count" not in entry.extra


def _summary(count: _Count, now: float) -> Entry:
    entry, again, seconds = count.entry, count.again, now - count.since
    text = f"{entry.text} ({again} time{'s' if again > 1 else ''} in the last {seconds:.0f} s)"
    return Entry(entry.level, text, entry.fields, {"count": again})
