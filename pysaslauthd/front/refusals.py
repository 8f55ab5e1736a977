"""What the log says of those who may not ask by a socket: some lines in a second, however often they come."""

import asyncio
from collections import Counter

from pysaslauthd.front.now_and_then import NowAndThen
from pysaslauthd.logs import log

INTERVAL = 1.0
"""Seconds between two lines on the same user."""

MOST_USERS = 8
"""Users of which an interval's lines tell; of the others, that there were some."""


class Refusals:
    """Counts, and says the first at once and the others once a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._others = 0
        self._lines = NowAndThen(loop, INTERVAL, self._say)

    def add(self, name: str, user: int) -> None:
        """One of the user with the id ``user`` may not ask by the socket ``name``."""
        if (name, user) in self._counts or len(self._counts) < MOST_USERS:
            self._counts[name, user] += 1
        else:
            self._others += 1
        self._lines.there_is_more()

    def _say(self) -> bool:
        if not self._counts:
            return False
        for (name, user), count in self._counts.items():
            log.error(
                f"{_clients(count)} of the user with id {user} not allowed on socket {name}",
                extra={"count": count},
            )
        if self._others:
            log.error(
                f"{_clients(self._others)} of other users not allowed either", extra={"count": self._others}
            )
        self._counts.clear()
        self._others = 0
        return True


def _clients(count: int) -> str:
    return f"{count} client{'s' if count > 1 else ''}"
