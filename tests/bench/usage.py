"""The processor time of the processes below this one: a figure that other work on the machine moves little."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping

from support.processes import descendants

_ALL_THREADS = 2
"""CPUCLOCK_SCHED: what the scheduler counted, in nanoseconds, of threads that have ended too."""


class Usage:
    """What they take from here on, but for the process ``besides``."""

    def __init__(self, besides: int | None = None) -> None:
        self._besides = besides
        self._before, _ = self._look()

    def spent(self) -> Mapping[str, float]:
        """Seconds by the name of the program.

        Nothing if a process has ended meanwhile, as what it took is then unknown.
        """
        after, names = self._look()
        total: defaultdict[str, float] = defaultdict(float)
        if self._before.keys() <= after.keys():
            for pid, seconds in after.items():
                total[names[pid]] += seconds - self._before.get(pid, 0)
        return total

    def _look(self) -> tuple[dict[int, float], dict[int, str]]:
        names = {p.pid: p.name for p in descendants(os.getpid()) if p.pid != self._besides}
        clocks = {pid: _seconds(pid) for pid in names}
        return {pid: seconds for pid, seconds in clocks.items() if seconds is not None}, names


def _seconds(pid: int) -> float | None:
    """None if it has ended. Clock ids of processes are made as clock_getcpuclockid(3) makes them."""
    try:
        return time.clock_gettime(~pid << 3 | _ALL_THREADS)
    except OSError:
        return None
