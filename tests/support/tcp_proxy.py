"""A proxy on loopback that makes a server far, slow, silent or dead, as a test says, while it runs.

As a program, ``python -m support.tcp_proxy PORT SECONDS``, it is nothing but far, in a process of its own: it
prints the port where it listens, and ends with its standard input.
"""

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvloop

from support.tcp_ports import HOST, free_port, listening
from support.waiting import LIMIT, wait_until

_TLS_HANDSHAKE = b"\x16\x03"
"""How a TLS client begins; an LDAP message begins with 0x30."""

_MOST_RECORDED = 1 << 20


class Mode(NamedTuple):
    """What becomes of the bytes. The constants and functions below are the usual ones."""

    is_listening: bool = True
    is_silent: bool = False
    """Bytes are read and forgotten. A connection that begins so never reaches the server, also later."""
    is_silent_in_tls: bool = False
    """The same from the moment that a client begins a TLS handshake, at once or after StartTLS."""
    delay: float = 0.0
    """Seconds that an answer comes later; the next one is not held up, and nothing is overtaken."""
    pause: float = 0.0
    """Seconds between the bytes of an answer, which then come one by one."""
    answer_limit: int | None = None
    """Bytes of answers on a connection, from the change to this mode, behind which it is closed."""
    is_reset: bool = False
    """Whether it is then reset instead."""


PASS = Mode()
SILENT = Mode(is_silent=True)
SILENT_IN_TLS = Mode(is_silent_in_tls=True)
REFUSE = Mode(is_listening=False)
"""The port is closed; open connections go on."""


def far(seconds: float) -> Mode:
    return Mode(delay=seconds)


def drip(seconds: float = 0.3) -> Mode:
    return Mode(pause=seconds)


def cut_after(answer_bytes: int, *, is_reset: bool = False) -> Mode:
    """With 0, requests arrive and no answer does."""
    return Mode(answer_limit=answer_bytes, is_reset=is_reset)


class TcpProxy:
    """``with TcpProxy(server_port) as proxy`` listens on ``proxy.port``, in a thread of its own.

    What it has seen is counted from the start; the ``wait_`` methods wait for at least so many.

    :ivar connections: accepted so far.
    :ivar received: bytes from clients, whether they were passed on or not.
    :ivar answered: bytes given to clients.
    :ivar handshakes: connections on which a client began TLS.
    :ivar recorded: the first MiB of what clients sent, of all connections.
    """

    def __init__(self, server_port: int, mode: Mode = PASS) -> None:
        self.server_port = server_port
        self.port = 0
        self.mode = mode
        self.connections = self.received = self.answered = self.handshakes = 0
        self.recorded = b""
        self.links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = uvloop.new_event_loop()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.become(self.mode)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._on_loop(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def open(self) -> int:
        """Connections to clients that neither side has closed."""
        return len(self.links)

    def become(self, mode: Mode) -> None:
        """From now on so, also on the connections that are open."""
        self._on_loop(self._become(mode))

    def drop(self, *, is_reset: bool = False) -> None:
        """Close all connections, as a server does with idle ones."""
        self._on_loop(self._drop(is_reset=is_reset))

    def wait_connections(self, count: int) -> None:
        wait_until(lambda: self.connections >= count, f"{count} connections, there are {self.connections}")

    def wait_received(self, count: int) -> None:
        wait_until(lambda: self.received >= count, f"{count} bytes of requests")

    def wait_answered(self, count: int) -> None:
        wait_until(lambda: self.answered >= count, f"{count} bytes of answers")

    def wait_handshakes(self, count: int) -> None:
        wait_until(lambda: self.handshakes >= count, f"{count} TLS handshakes begun")

    def wait_open(self, count: int) -> None:
        """Until exactly so many are open."""
        wait_until(lambda: self.open == count, f"{count} open connections")

    async def _become(self, mode: Mode) -> None:
        self.mode = mode
        for link in self.links:
            link.begin_mode()
        if not mode.is_listening:
            self._stop_listening()
        elif self._listener is None:
            self._listener = self._bound()
            self._loop.add_reader(self._listener, self._accept, self._listener)

    def _bound(self) -> socket.socket:
        while True:
            try:
                listener = listening(self.port or free_port(), backlog=1024)
            except OSError:
                if self.port:
                    raise
            else:
                listener.setblocking(False)
                self.port = int(listener.getsockname()[1])
                return listener

    def _stop_listening(self) -> None:
        self.port = self.port or free_port()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            link = _Link(self, self._loop)
            self.links.add(link)
            self.connections += 1
            task = self._loop.create_task(link.serve(connection))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _drop(self, *, is_reset: bool) -> None:
        for link in list(self.links):
            link.close(is_reset=is_reset)

    async def _close(self) -> None:
        self._stop_listening()
        await self._drop(is_reset=False)
        await asyncio.gather(*self._serving)

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)


class _Link(asyncio.Protocol):
    """A client's connection, and the one to the server behind it. All on the loop."""

    def __init__(self, proxy: TcpProxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy = proxy
        self._loop = loop
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._early = b""
        self._is_dead = proxy.mode.is_silent
        self._is_in_tls = False
        self._is_closed = False
        self._passed = 0
        self._answers: deque[bytes | None] = deque()
        self._last_due = 0.0
        self._client_ended, self._server_ended = asyncio.Event(), asyncio.Event()

    async def serve(self, connection: socket.socket) -> None:
        """Until both connections are closed."""
        self._client, _ = await self._loop.connect_accepted_socket(lambda: self, connection)
        if not (self._is_dead or self._is_closed):
            await self._connect()
        if self._is_closed:
            self._client.close()
        await self._client_ended.wait()
        if self._server is not None:
            self._server.close()
            await self._server_ended.wait()

    async def _connect(self) -> None:
        try:
            self._server, _ = await self._loop.create_connection(
                lambda: _ServerSide(self), HOST, self._proxy.server_port
            )
        except OSError:
            self.close()
        else:
            self._server.write(self._early)

    def begin_mode(self) -> None:
        self._passed = 0

    def data_received(self, data: bytes) -> None:
        proxy = self._proxy
        proxy.received += len(data)
        if len(proxy.recorded) < _MOST_RECORDED:
            proxy.recorded += data
        if not self._is_in_tls and data.startswith(_TLS_HANDSHAKE):
            self._is_in_tls = True
            proxy.handshakes += 1
            self._is_dead = self._is_dead or proxy.mode.is_silent_in_tls
        if self._is_dead or proxy.mode.is_silent:
            return
        if self._server is None:
            self._early += data
        else:
            self._server.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_closed = True
        self._proxy.links.discard(self)
        self._client_ended.set()

    def answered(self, data: bytes) -> None:
        mode = self._proxy.mode
        if self._is_dead or mode.is_silent:
            return
        if mode.answer_limit is None:
            self._hold(data)
            return
        data = data[: max(0, mode.answer_limit - self._passed)]
        self._passed += len(data)
        self._hold(data)
        if self._passed >= mode.answer_limit:
            self._hold(None)

    def server_ended(self) -> None:
        self._server_ended.set()
        if not self._is_dead:
            self._hold(None)

    def _hold(self, data: bytes | None) -> None:
        """Give ``data`` to the client when the mode says, behind what came before it; ``None`` is the end."""
        mode = self._proxy.mode
        pieces = [data] if not (mode.pause and data) else [bytes((byte,)) for byte in data]
        for piece in pieces:
            self._answers.append(piece)
            now = self._loop.time()
            self._last_due = max(now + mode.delay, self._last_due + mode.pause, now + mode.pause)
            if self._last_due <= now and len(self._answers) == 1:
                self._give()
            else:
                self._loop.call_at(self._last_due, self._give)

    def _give(self) -> None:
        data = self._answers.popleft()
        if self._is_closed or self._client is None:
            return
        if data is None:
            self.close(is_reset=self._proxy.mode.is_reset)
        else:
            self._proxy.answered += len(data)
            self._client.write(data)

    def close(self, *, is_reset: bool = False) -> None:
        self._is_closed = True
        if self._client is None:
            return
        if is_reset:
            linger = struct.pack("ii", 1, 0)
            self._client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._client.abort()
        else:
            self._client.close()


class _ServerSide(asyncio.Protocol):
    def __init__(self, link: _Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._link.server_ended()


@contextlib.contextmanager
def far_process(server_port: int, seconds: float) -> Iterator[int]:
    """The port of a proxy in a process of its own, whose answers come ``seconds`` later. For measurements."""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "support.tcp_proxy", str(server_port), str(seconds)]
    with subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(LIMIT)


def _main(server_port: str, seconds: str) -> None:
    with TcpProxy(int(server_port), far(float(seconds))) as proxy:
        sys.stdout.write(f"{proxy.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _main(*sys.argv[1:])
