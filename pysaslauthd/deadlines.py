"""One limit for many things that wait.

A timer of the loop for each would cost more than most of what is limited: a login has three limits,
and nearly always none of them matters.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls ``expire`` with what was added and not discarded within ``seconds``. Compared by identity or hash."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, expire: Callable[[T], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expire = expire
        self._due: dict[T, float] = {}
        """In the order of time, as all have the same limit."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: T) -> None:
        """Begin to wait for ``item``, which is not in it."""
        self._due[item] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def discard(self, item: T) -> None:
        """It came in time, or was never waited for."""
        self._due.pop(item, None)

    def _look(self) -> None:
        now = self._loop.time()
        while self._due:
            item, due = next(iter(self._due.items()))
            if due > now:
                self._timer = self._loop.call_later(due - now, self._look)
                return
            del self._due[item]
            self._expire(item)
        self._timer = None
