"""What the log says of those for whom there was no room."""

import asyncio
from collections import Counter

from pysaslauthd.logs import log

INTERVAL = 1.0
"""Seconds between two lines: one for each login would be a load of its own."""


class ShedLog:
    """Counts, and says the first at once and the others once a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reason: str) -> None:
        """Somebody was turned away, for one of the few reasons that there are."""
        self._counts[reason] += 1
        if self._timer is None:
            self._say()

    def _say(self) -> None:
        self._timer = None
        if not self._counts:
            return
        for reason, count in self._counts.items():
            log.error(f"{count} login{'s' if count > 1 else ''} turned away: {reason}")
        self._counts.clear()
        self._timer = self._loop.call_later(INTERVAL, self._say)
