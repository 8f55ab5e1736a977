"""Whether the machine has time left, as more workers take only more of it where it has none."""

import os
from pathlib import Path

LOADAVG = Path("/proc/loadavg")


def is_busy() -> bool:
    """Whether more wants to run at this moment than there are processors, this process aside.

    One moment says little; but whoever asks ten times a second sees some in which it does not.
    """
    try:
        running = int(LOADAVG.read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    return running - 1 > len(os.sched_getaffinity(0))
