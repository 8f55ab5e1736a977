"""How long things took, as counts by length: a mean hides the one in a hundred that waits."""

from bisect import bisect_left

BOUNDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds. From a login on a local directory, which takes less than the first, to the default limit of one."""


class Histogram:
    """Counts seconds by the smallest of :data:`BOUNDS` that they do not exceed."""

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> tuple[int, ...]:
        """How many there were up to each bound, and in all."""
        counts = []
        total = 0
        for count in self._counts:
            total += count
            counts.append(total)
        return tuple(counts)
