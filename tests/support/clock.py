"""Time that passes when a test says so."""

from collections.abc import Callable
from typing import Any


class Clock:
    """A loop's, as far as ``time`` and ``call_later`` go, that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, action: Callable[..., object], *arguments: Any) -> object:
        self._due.append((self.now + seconds, action, arguments))
        return self._due[-1]

    def turn(self, seconds: float) -> None:
        """What is due meanwhile is done, each at its time."""
        end = self.now + seconds
        while self._due and min(due for due, *_ in self._due) <= end:
            self._due.sort(key=lambda each: each[0])
            self.now, action, arguments = self._due.pop(0)
            action(*arguments)
        self.now = end

    @property
    def is_idle(self) -> bool:
        return not self._due
