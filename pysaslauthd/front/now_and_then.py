"""Saying something at once, and then no more than once in a while."""

import asyncio
from collections.abc import Callable


class NowAndThen:
    """Calls ``say`` when there is something to say: at once if it has been quiet, else ``interval`` seconds after the last time.

    ``say`` says all that has come together, and whether that was anything.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, say: Callable[[], bool]) -> None:
        self._loop = loop
        self._interval = interval
        self._say = say
        self._timer: asyncio.TimerHandle | None = None

    def there_is_more(self) -> None:
        """Something has come."""
        if self._timer is None:
            self._speak()

    def _speak(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._speak) if self._say() else None
