"""The descriptors of this process, as the system knows them."""

import os


def open_descriptors() -> list[int]:
    """Which are open, without the one that it took to look."""
    with os.scandir("/proc/self/fd") as entries:
        numbers = [int(entry.name) for entry in entries]
    # The one that looked was the lowest free number; it is closed again by now.
    return [number for number in numbers if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
