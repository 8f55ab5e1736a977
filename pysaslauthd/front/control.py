"""The control socket: administrators ask, and a table of commands answers.

Who connects is root, or the user that started the daemon; all the same nothing that comes from there can
take the front down or hold up a login: few connections, a limit for each wait, and an error of a command is
that command's alone.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import NamedTuple

from pysaslauthd import logs
from pysaslauthd.core import control
from pysaslauthd.core.control import LARGEST_ORDER, Line, LineError
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.front import peers
from pysaslauthd.front.client import HURRY, SEND_FLAGS
from pysaslauthd.front.listener import Listener
from pysaslauthd.front.refusals import Refusals
from pysaslauthd.logs import log

MOST_CONVERSATIONS = 8

WRITE_LIMIT = 10.0
"""Seconds that it has to take a line; until then the next is not made, so that no more than one waits."""

DRAIN_LIMIT = 10.0
"""Seconds that commands have to come to their end when the front is leaving."""

Command = Callable[[Line], AsyncGenerator[Line, None]]
"""Gets what the client said, and gives what it is to hear. A :class:`LineError` tells it that it asked wrongly."""


class RefusedError(Exception):
    """What was asked for cannot be done; the message, which goes to the client, says why."""


class _GoneError(Exception):
    """The client has left, or does not listen."""


class Limits(NamedTuple):
    """In seconds."""

    read: float
    """For a client to say what it wants."""
    command: float


class ControlDesk:
    """Serves the control socket, once it is opened."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        entrances: tuple[Entrance, ...],
        commands: Mapping[str, Command],
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._entrances = entrances
        self._commands = commands
        self._limits = limits
        self._refusals = Refusals(loop)
        self._listeners: list[Listener] = []
        self._is_open = False
        self._conversations: dict[asyncio.Task[None], socket.socket] = {}
        self._unasked: set[asyncio.Task[None]] = set()
        """Those of clients that have not said what they want."""
        self._on_empty: Callable[[], None] | None = None

    def open(self) -> None:
        """Accept clients from now on."""
        if not self._is_open:
            self._is_open = True
            self._listeners = [Listener(self._loop, each, self) for each in self._entrances]

    def drain(self, on_empty: Callable[[], None]) -> None:
        """Accept nobody any more but those who connected already; ``on_empty`` when they have been answered."""
        self._is_open = True
        for listener in self._listeners:
            listener.accept_some()
            listener.close()
        self._on_empty = on_empty
        self._loop.call_later(HURRY, _cancel, self._unasked)
        self._loop.call_later(DRAIN_LIMIT, _cancel, self._conversations)
        self._check_empty()

    def greet(self, connection: socket.SocketType) -> None:
        """See :class:`Doorkeeper`."""
        if self._is_full():
            with contextlib.suppress(OSError):
                text = f"{MOST_CONVERSATIONS} others are asking already; try again later"
                connection.send(control.encode({"error": text}), SEND_FLAGS)
            connection.close()
            return
        client = socket.socket(fileno=connection.detach())
        client.setblocking(False)
        task = self._loop.create_task(self._converse(client))
        self._conversations[task] = client
        self._unasked.add(task)
        task.add_done_callback(self._over)

    def refuse(self, name: str, user: int) -> None:
        """See :class:`Doorkeeper`."""
        self._refusals.add(name, user)

    def attend(self) -> None:
        """See :class:`Doorkeeper`."""

    def make_room(self) -> None:
        """See :class:`Doorkeeper`. These few leave by themselves."""

    def _is_full(self) -> bool:
        """Whether so many wait to be told something. For who has left, as by Ctrl-C, nothing more is done then."""
        if len(self._conversations) < MOST_CONVERSATIONS:
            return False
        left = [task for task, client in self._conversations.items() if not peers.is_there(client)]
        _cancel(left)
        return len(self._conversations) - len(left) >= MOST_CONVERSATIONS

    async def _converse(self, client: socket.socket) -> None:
        try:
            last = await self._answered(client)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001  (a bug of ours costs this client its answer, and nobody else anything)
            log.error(f"internal error: {logs.describe(error)}")
            last = {"error": "internal error; the log says where"}
        with contextlib.suppress(_GoneError):
            await self._say(client, last)

    async def _answered(self, client: socket.socket) -> Line:
        """Do what the client wants; the last line for it."""
        try:
            order = await self._order(client)
            command = self._commands.get(control.text_of(order, "do") or "")
            if command is None:
                return {"error": f"expected one of these to do: {', '.join(self._commands)}"}
            async with asyncio.timeout(self._limits.command), contextlib.aclosing(command(order)) as lines:
                async for line in lines:
                    await self._say(client, line)
        except (LineError, RefusedError) as error:
            return {"error": str(error)}
        except TimeoutError:
            return {"error": f"it took longer than {self._limits.command:g} s"}
        return {"end": True}

    async def _order(self, client: socket.socket) -> Line:
        """What the client says.

        :raises LineError: nothing that can be understood.
        """
        data = b""
        try:
            async with asyncio.timeout(self._limits.read):
                while b"\n" not in data:
                    chunk = await self._loop.sock_recv(client, LARGEST_ORDER)
                    data += chunk
                    if not chunk or len(data) > LARGEST_ORDER:
                        break
        except TimeoutError:
            raise LineError(f"expected a line within {self._limits.read:g} s") from None
        except OSError:
            raise _GoneError from None
        line, end, _ = data.partition(b"\n")
        if not data:
            raise _GoneError
        if not end:
            raise LineError(f"expected a line of at most {LARGEST_ORDER} bytes")
        task = asyncio.current_task()
        assert task is not None
        self._unasked.discard(task)
        return control.decode(line)

    async def _say(self, client: socket.socket, line: Line) -> None:
        try:
            async with asyncio.timeout(WRITE_LIMIT):
                await self._loop.sock_sendall(client, control.encode(line))
        except OSError:  # of which TimeoutError is one
            raise _GoneError from None

    def _over(self, task: asyncio.Task[None]) -> None:
        self._unasked.discard(task)
        self._conversations.pop(task).close()
        self._check_empty()

    def _check_empty(self) -> None:
        if self._on_empty is not None and not self._conversations:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
