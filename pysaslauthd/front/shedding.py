"""Those for whom there was no room: what the log says of them, and when they hear of it.

They hear of it at once, as long as they are few. A client that is turned away and comes again at once, over and over, would
have the front do nothing but accept and close, and everybody wait behind it; so where hundreds are turned away in a second,
those for whom nothing speaks hear of it two seconds later. (Who finds no seat at all cannot be kept waiting.)
"""

import asyncio
from collections import Counter

from pysaslauthd.front.now_and_then import NowAndThen
from pysaslauthd.logs import log

INTERVAL = 1.0
"""Seconds between two lines in the log: one for each login would be a load of its own."""

AT_ONCE = 256
"""Logins that are turned away at once in an interval. Accepting and closing them takes about 10 ms."""

HOLD = 2.0
"""Seconds for which the rest of them are kept waiting; as long as PAM has a wrong password wait."""


class Shedding:
    """Counts, and says the first at once and the others once a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._counts: Counter[str] = Counter()
        self._left = AT_ONCE
        self._lines = NowAndThen(loop, INTERVAL, self._say)

    def add(self, reason: str) -> float:
        """Somebody is turned away, for one of the few reasons that there are; the seconds until he may hear of it."""
        self._counts[reason] += 1
        self._lines.there_is_more()
        self._left -= 1
        return 0.0 if self._left >= 0 else HOLD

    def _say(self) -> bool:
        if not self._counts:
            return False
        for reason, count in self._counts.items():
            log.error(
                f"{count} login{'s' if count > 1 else ''} turned away: {reason}", extra={"count": count}
            )
        self._counts.clear()
        self._left = AT_ONCE
        return True
