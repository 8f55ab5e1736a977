"""The connections to one server that serve one purpose, shared by all logins.

A lane for searches has connections bound as the service account, each with many operations at a
time; a lane for binds gives a connection to one login alone. Both are this class with another
capacity.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pysaslauthd.deadlines import Deadlines
from pysaslauthd.mechanisms.ldap.channel import Channel, LostError

IDLE_LIMIT = 60.0
"""Seconds without use after which a connection is closed; servers' own limits begin at some minutes."""

Open = Callable[[Callable[[Channel], None]], Awaitable[Channel]]
"""Opens a channel, and calls what it was given when that channel is lost. Whatever it raises ends the waiting."""


class LaneOptions(NamedTuple):
    """``capacity`` is how many logins may use a connection at a time, ``most`` how many connections there may be."""

    capacity: int
    most: int


class Lane:
    """Lends channels. Who got one by :meth:`acquire` gives it back by :meth:`release`, whatever happened to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: LaneOptions, open_channel: Open) -> None:
        self._loop = loop
        self._options = options
        self._open_channel = open_channel
        self._users: dict[Channel, int] = {}
        self._with_room: dict[Channel, None] = {}
        """In the order in which they got room."""
        self._idle = Deadlines(loop, IDLE_LIMIT, _close_idle)
        self._waiting: deque[asyncio.Future[Channel]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    async def acquire(self) -> Channel:
        """A channel with room.

        :raises Exception: what ``open_channel`` raised.
        """
        if self._with_room:
            # The last that got some: those before it get idle, and end.
            return self._lent(next(reversed(self._with_room)))
        future: asyncio.Future[Channel] = self._loop.create_future()
        self._waiting.append(future)
        self._open_some()
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                # Others may have been served, or told of a failure, since it was cancelled.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(future)
            elif future.exception() is None:
                self.release(future.result())
            raise

    def release(self, channel: Channel) -> None:
        """Give it back. One that is lost was forgotten already."""
        if channel not in self._users:
            return
        self._users[channel] -= 1
        while self._waiting and self._users[channel] < self._options.capacity:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._lent(channel))
        if self._users[channel] < self._options.capacity:
            self._with_room[channel] = None
        if not self._users[channel]:
            self._idle.add(channel)

    def drop_idle(self) -> None:
        """Close what nobody uses: one connection was found closed, and these are no younger."""
        for channel in [channel for channel, users in self._users.items() if not users]:
            channel.close()

    def heard_since(self, moment: float) -> bool:
        """Whether a connection that is open has brought anything since ``moment``."""
        return any(channel.heard >= moment for channel in self._users)

    def _lent(self, channel: Channel) -> Channel:
        if not self._users[channel]:
            self._idle.discard(channel)
        self._users[channel] += 1
        if self._users[channel] >= self._options.capacity:
            self._with_room.pop(channel, None)
        return channel

    def _open_some(self) -> None:
        """Have as many connections on their way as those who wait will fill."""
        while (
            len(self._opening) * self._options.capacity < len(self._waiting)
            and len(self._users) + len(self._opening) < self._options.most
        ):
            self._opening.add(self._loop.create_task(self._open_one()))

    async def _open_one(self) -> None:
        channel: Channel | None = None
        failure: Exception = LostError("the connection ended at once")
        try:
            channel = await self._open_channel(self._forget)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is what those who wait are to hear)
            failure = error
        # Who is woken now may want another one, and this one is not under way any more.
        task = asyncio.current_task()
        assert task is not None
        self._opening.discard(task)
        if channel is not None and channel.is_open:
            self._users[channel] = 1  # so that release() is the same for all
            self.release(channel)
        else:
            self._fail(failure)

    def _fail(self, error: Exception) -> None:
        """None can be opened: who waits has another server to try, unless one that is in use will be free for him."""
        if self._users:
            return
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def _forget(self, channel: Channel) -> None:
        self._users.pop(channel, None)
        self._with_room.pop(channel, None)
        self._idle.discard(channel)
        if self._waiting:
            self._open_some()


def _close_idle(channel: Channel) -> None:
    channel.close("idle for long")
