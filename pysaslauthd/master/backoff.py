"""Growing pauses between the restarts of something that keeps dying."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
SAME_ACCIDENT = 0.05
"""Seconds in which several deaths have one cause."""

STEADY_LIFE = 10.0
"""Seconds without a death after which the next one is a single accident again."""


class Backoff:
    """Says when the next start may be, in seconds of the monotonic clock.

    The first death is followed by no pause, so a single accident costs no time; then the pause
    doubles from 0.1 to 2 seconds.
    """

    def __init__(self) -> None:
        self.not_before = 0.0
        self._pause = 0.0
        self._last_death = float("-inf")

    def died(self, now: float) -> None:
        """Something started here ended by itself at ``now``."""
        since, self._last_death = now - self._last_death, now
        if since <= SAME_ACCIDENT:
            return
        if since > STEADY_LIFE:
            self._pause = 0.0
        self.not_before = now + self._pause
        self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
