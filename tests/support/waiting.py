"""Waiting for something to become true, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT = 60.0
"""Seconds; generous, as a machine may be slow and stand still for many, and reached only by a failure."""


def wait_until(condition: Callable[[], T], what: str, limit: float = LIMIT) -> T:
    """The first true value of ``condition``, asked again and again.

    :raises TimeoutError: it did not come within ``limit`` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit:.0f} s: {what}")
        time.sleep(0.005)
