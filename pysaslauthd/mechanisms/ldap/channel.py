"""One connection to a server, on the event loop: requests go out, answers find who waits for them.

Many searches may be on their way at a time; of binds only one, and then nothing else (RFC 4511
4.2.1), which is for the owner to see to. Every operation has a limit of its own, and what is given up
is abandoned at the server; a bind cannot be, so that closes the connection.
"""

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms.ldap import codec
from pysaslauthd.mechanisms.ldap.ber import Malformed
from pysaslauthd.mechanisms.ldap.codec import Done, Entry, Notice, Operation, Reader, Reference, Search

CHUNK = 65_536
"""Bytes of a read."""

READS = 8
"""Chunks of one connection before others get their turn."""

KEPT_ENTRIES = 2
"""Of what a search finds: who must find one entry has to know of a second, and of no third."""

KEPT_REFERENCES = 8
"""Other places to search that are remembered."""

MOST_UNWANTED = 1000
"""Entries and references of what was given up: a server that goes on with it takes everybody's connection."""

LARGEST_BACKLOG = 8 << 20
"""Bytes that a server may leave unread: more than 32 of the largest requests there are."""


class LostError(Exception):
    """The connection ended, or time ran out, before the answer: nothing is known. The message is for the log.

    ``is_silence`` tells a server that did not answer from a connection that ended: who sees the second
    may try again at once.
    """

    def __init__(self, text: str, *, is_silence: bool = False) -> None:
        super().__init__(text)
        self.is_silence = is_silence


class Found(NamedTuple):
    """What a search came to. Of the ``number`` of entries :data:`KEPT_ENTRIES` at most are kept."""

    done: Done
    entries: tuple[Entry, ...]
    number: int
    references: tuple[bytes, ...]

    @property
    def code(self) -> int:
        """The result code."""
        return self.done.code


class _Pending:
    """A request without an answer yet."""

    __slots__ = ("count", "entries", "future", "operation", "references", "sent", "timer")

    def __init__(self, operation: Operation, future: "asyncio.Future[Done]", sent: float) -> None:
        self.operation = operation
        self.future = future
        self.sent = sent
        self.entries: list[Entry] = []
        self.count = 0
        self.references: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None


class Channel:
    """Owns a connected socket, plain or TLS. ``on_lost`` is called once, when it is of no use any more."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, on_lost: Callable[["Channel"], None]
    ) -> None:
        self.is_open = True
        self.heard = float("-inf")
        """When the last bytes came, on the loop's clock."""
        self._loop = loop
        self._socket = connection
        self._is_tls = isinstance(connection, ssl.SSLSocket)
        self._on_lost = on_lost
        self._reader = Reader()
        self._pending: dict[int, _Pending] = {}
        self._ids = itertools.count(1)
        self._outbox = bytearray()
        self._is_writing = False
        self._unwanted = 0
        connection.setblocking(False)
        loop.add_reader(connection.fileno(), self._on_readable)
        if self._is_tls:
            # What came with the end of the handshake is in OpenSSL's hands, and makes nothing readable.
            loop.call_soon(self._on_readable)

    async def search(self, search: Search, limit: float) -> Found:
        """Search; the answer within ``limit`` seconds.

        :raises LostError: none.
        """
        number = next(self._ids)
        pending = self._request(number, codec.encode_search(number, search), Operation.SEARCH, limit)
        done = await self._answer(number, pending)
        return Found(done, tuple(pending.entries), pending.count, tuple(pending.references))

    async def compare(self, dn: bytes, attribute: bytes, value: bytes, limit: float) -> Done:
        """Ask whether ``dn`` has this value; the answer within ``limit`` seconds.

        :raises LostError: none.
        """
        number = next(self._ids)
        request = codec.encode_compare(number, dn, attribute, value)
        return await self._answer(number, self._request(number, request, Operation.COMPARE, limit))

    async def bind(self, dn: bytes, password: Secret, version: int, limit: float) -> Done:
        """Bind; the answer within ``limit`` seconds. Nothing else may be outstanding.

        A text of the server that repeats the password is left out of the answer.

        :raises LostError: none, and the connection is closed.
        """
        number = next(self._ids)
        request = codec.encode_bind(number, dn, password, version)
        done = await self._answer(number, self._request(number, request, Operation.BIND, limit))
        return done._replace(text=b"") if password.is_in(done.text) else done

    def close(self, reason: str = "closed by us") -> None:
        """End it; who still waits gets a LostError."""
        self._lose(reason, is_silence=False)

    def _request(self, number: int, request: bytes, operation: Operation, limit: float) -> _Pending:
        if not self.is_open:
            raise LostError("the connection has ended")
        pending = _Pending(operation, self._loop.create_future(), self._loop.time())
        pending.timer = self._loop.call_later(limit, self._expire, number, limit)
        self._pending[number] = pending
        self._send(request)
        return pending

    async def _answer(self, number: int, pending: _Pending) -> Done:
        try:
            return await pending.future
        finally:
            if pending.timer is not None:
                pending.timer.cancel()
            if self._pending.pop(number, None) is not None:
                self._give_up(number, pending)  # whoever waited was cancelled

    def _expire(self, number: int, limit: float) -> None:
        self._on_readable()  # we may have been the ones that slept: what has come counts
        pending = self._pending.pop(number, None)
        if pending is None:
            return  # answered, or lost, in this same turn of the loop
        error = LostError(f"no answer within {limit:g} s", is_silence=True)
        if not pending.future.done():
            pending.future.set_exception(error)
        if self.heard < pending.sent:
            self._lose(str(error), is_silence=True)
        else:
            self._give_up(number, pending)

    def _give_up(self, number: int, pending: _Pending) -> None:
        if not self.is_open:
            return
        if pending.operation is Operation.BIND:
            self._lose("a bind was given up", is_silence=False)
        else:
            self._send(codec.encode_abandon(next(self._ids), number))

    def _send(self, data: bytes) -> None:
        self._outbox += data
        if len(self._outbox) > LARGEST_BACKLOG:
            self._lose("the server reads nothing", is_silence=True)
        elif not self._is_writing:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox and self.is_open:
                sent = self._socket.send(self._outbox)
                del self._outbox[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._write_later()
        except ssl.SSLWantReadError:
            self._stop_writing()  # what comes next makes it readable, and is followed by another flush
        except OSError as error:
            self._lose(_reason(error), is_silence=False)
        else:
            self._stop_writing()

    def _write_later(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._socket.fileno(), self._flush)

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        for _ in range(READS):
            if not self.is_open:
                return
            try:
                data = self._socket.recv(CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                self._write_later()
                break
            except OSError as error:
                self._lose(_reason(error), is_silence=False)
                return
            if not data:
                self._lose("the server closed the connection", is_silence=False)
                return
            self.heard = self._loop.time()
            self._take(data)
            # Until there is nothing, also after a short read: uvloop tells of a reset that came with it but once.
        else:
            # TLS may hold more, of which the system knows nothing.
            self._loop.call_soon(self._on_readable)
        if self._outbox and self.is_open and not self._is_writing:
            self._flush()

    def _take(self, data: bytes) -> None:
        try:
            for answer in self._reader.receive(data):
                if isinstance(answer, Done):
                    self._finish(answer)
                elif isinstance(answer, Notice):
                    if answer.is_disconnection:
                        text = answer.text.decode(errors="replace")
                        self._lose(f"the server ends the connection: {text}", is_silence=False)
                else:
                    self._collect(answer)
        except Malformed as error:
            self._lose(f"the server broke the protocol: {error}", is_silence=False)

    def _finish(self, done: Done) -> None:
        pending = self._pending.get(done.id)
        if pending is None:
            return  # an answer to what was given up
        if pending.operation is not done.operation:
            raise Malformed("an answer to another kind of request")
        del self._pending[done.id]
        if not pending.future.done():
            pending.future.set_result(done)

    def _collect(self, answer: Entry | Reference) -> None:
        pending = self._pending.get(answer.id)
        if pending is None:
            self._unwanted += 1
            if self._unwanted > MOST_UNWANTED:
                self._lose("the server goes on with what was given up", is_silence=False)
            return
        if pending.operation is not Operation.SEARCH:
            raise Malformed("an answer to another kind of request")
        if isinstance(answer, Reference):
            pending.references += answer.uris[: KEPT_REFERENCES - len(pending.references)]
        else:
            pending.count += 1
            if pending.count <= KEPT_ENTRIES:
                pending.entries.append(answer)

    def _lose(self, reason: str, *, is_silence: bool) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._stop_writing()
        self._loop.remove_reader(self._socket.fileno())
        self._outbox.clear()
        self._socket.close()
        pending, self._pending = self._pending, {}
        for each in pending.values():
            if not each.future.done():
                each.future.set_exception(LostError(reason, is_silence=is_silence))
        self._on_lost(self)


def _reason(error: OSError) -> str:
    return f"the connection broke: {error.strerror or type(error).__name__}"
