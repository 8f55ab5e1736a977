"""What administrators have the front do, beside telling them how things are."""

import asyncio
from collections.abc import AsyncGenerator

from pysaslauthd import logs
from pysaslauthd.core import control
from pysaslauthd.core.control import Line, LineError
from pysaslauthd.core.state import State
from pysaslauthd.front.control import RefusedError
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.master_link import MasterLink


class Administration:
    """The commands ``flush``, ``reload`` and ``log-level``; the last two are the master's to do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate, master: MasterLink) -> None:
        self._loop = loop
        self._gate = gate
        self._master = master
        self._asked = 0
        self._reloads: dict[int, asyncio.Future[str]] = {}
        """Those that are waited for, by their number: why nothing was changed, or nothing."""
        self._level = ""
        self._new_level = asyncio.Event()
        self._changing_level = asyncio.Lock()
        """One after the other: of two wishes that come together the master hears the last."""

    async def flush(self, order: Line) -> AsyncGenerator[Line, None]:
        """Have the cache forget a login in all services and realms, or all of them."""
        login = control.text_of(order, "login")
        if self._gate.cache_size is None:
            raise RefusedError("there is no cache: the daemon was started without -c")
        yield {"forgotten": self._gate.forget(None if login is None else control.as_bytes(login))}

    async def reload(self, _order: Line) -> AsyncGenerator[Line, None]:
        """Have all read anew, and wait for what becomes of it."""
        self._asked = number = self._asked + 1
        over = self._reloads[number] = self._loop.create_future()
        self._master.reload(number)
        try:
            why_not = await over
        finally:
            del self._reloads[number]
        if why_not:
            raise RefusedError(f"not reloaded: {why_not}")
        yield {"reloaded": True}

    async def log_level(self, order: Line) -> AsyncGenerator[Line, None]:
        """Have lines of another level in the log."""
        level = control.text_of(order, "level")
        if level not in logs.LEVELS:
            raise LineError(f"level: expected one of {', '.join(logs.LEVELS)}")
        async with self._changing_level:
            before = self._level
            if level != before:
                self._master.log_level(logs.LEVELS.index(level))
            while self._level != level:
                await self._new_level.wait()
        yield {"level": level, "before": before}

    def reloaded(self, number: int, why_not: str) -> None:
        """The master has done what was asked of it with this number, and before."""
        for asked, over in self._reloads.items():
            if asked <= number and not over.done():
                over.set_result(why_not)

    def learn(self, daemon: State) -> None:
        """The master says how the daemon is."""
        if daemon.log_level != self._level:
            self._level = daemon.log_level
            logs.set_level(daemon.log_level)
            self._new_level.set()
            self._new_level.clear()
