"""Accepts clients, and knows how many there are and which have not asked yet."""

import asyncio
import errno
import socket
from collections.abc import Callable

from pysaslauthd import logs
from pysaslauthd.core.answer import ACCEPTED
from pysaslauthd.core.wire import read_whole
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.front.client import CHUNK, DONT_WAIT, SEND_FLAGS, Client, ClientOptions
from pysaslauthd.front.gate import Gate
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.logs import log

ACCEPTS_PER_WAKEUP = 16
"""So that a flood of new clients leaves time for the answers to the old ones."""

EXHAUSTED_PAUSE = 0.1
"""Seconds without accepting when the system has no descriptor or memory left."""

_FAMILY, _TYPE = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_HAS_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})


class Listener:
    """One listening socket. At its limit of clients the one that was silent longest has to go."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        gate: Gate,
        options: ClientOptions,
        limit: int,
        statistics: Statistics,
    ) -> None:
        listening.setblocking(False)
        self.loop = loop
        self.gate = gate
        self.options = options
        self.statistics = statistics
        self._socket = listening
        self._limit = limit
        self._accepted = options.reply(ACCEPTED)
        self._silent: dict[Client, None] = {}
        self._patience = Deadlines(loop, options.read_timeout, Client.lose_patience)
        self._clients: set[Client] = set()
        self._on_empty: Callable[[], None] | None = None
        self._is_draining = False
        self._is_accepting = False
        self._resume()

    def drain(self, on_empty: Callable[[], None], *, takes_waiting: bool = True) -> None:
        """Accept nobody any more; ``on_empty`` when the last has gone.

        ``takes_waiting``: but those who connected already. Not where another listens after us, as
        they lose nothing by waiting for him, and the more we take, the later he comes.
        """
        self._is_draining = True
        self._on_empty = on_empty
        while takes_waiting and self._accept():
            pass
        self._pause()
        self._socket.close()
        for client in list(self._silent):
            client.hurry()
        self._check_empty()

    def probe(self, served: Callable[[], None]) -> None:
        """Do all that is done for a client, for one who asks nothing and leaves; ``served`` when it is closed.

        Not by the socket: at our limit of clients nobody is accepted for a while, by right.
        """
        if self._is_accepting:
            self._on_readable()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            log.error(f"cannot serve a probe: {error.strerror}")
            return
        ours.shutdown(socket.SHUT_WR)

        def left() -> None:
            self.loop.remove_reader(ours.fileno())
            ours.close()
            served()

        self.loop.add_reader(ours.fileno(), left)
        self._greet(socket.SocketType(_FAMILY, _TYPE, 0, theirs.detach()))

    def _resume(self) -> None:
        if not self._is_accepting and not self._is_draining:
            self._is_accepting = True
            self.loop.add_reader(self._socket.fileno(), self._on_readable)

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self.loop.remove_reader(self._socket.fileno())

    def _on_readable(self) -> None:
        for _ in range(ACCEPTS_PER_WAKEUP):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Take one client; False if there is none, or none can be taken now."""
        is_full = len(self._clients) >= self._limit
        if is_full and not self._silent:
            self._pause()  # every one waits for an answer; the next to get it makes room
            return False
        try:
            # accept() makes of it an object in Python, which costs as much as the rest of a client.
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:
            return False
        except OSError as error:
            return self._cannot_accept(error)
        if is_full:
            self._evict()
        connection = socket.SocketType(_FAMILY, _TYPE, 0, descriptor)
        try:
            self._greet(connection)
        except Exception as error:  # noqa: BLE001  (a bug of ours costs this client its answer, and nobody else anything)
            log.error(f"internal error: {logs.describe(error)}")
            connection.close()
        return True

    def _greet(self, connection: socket.SocketType) -> None:
        """Answer at once who asks what is remembered, as most do where there is a cache; all others become clients."""
        try:
            head = connection.recv(CHUNK, DONT_WAIT)
        except BlockingIOError:
            head = None
        except OSError:
            connection.close()
            return
        is_known = False
        if head and self.gate.has_cache and len(head) < CHUNK:
            request = read_whole(head, self.options.limits)
            is_known = request is not None and self.gate.remembers(request)
        if is_known and self._is_told(connection):
            return
        client = Client(self, connection)
        self._clients.add(client)
        self.statistics.clients += 1
        if is_known:
            client.linger()
        else:
            client.begin(head)

    def _is_told(self, connection: socket.SocketType) -> bool:
        """Say OK, and whether that was all; if not, there is more to read before it may be closed."""
        try:
            connection.send(self._accepted, SEND_FLAGS)
            if connection.recv(CHUNK, DONT_WAIT):
                return False
        except BlockingIOError:
            pass
        except OSError:
            self.statistics.unheard += 1
        connection.close()
        return True

    def _cannot_accept(self, error: OSError) -> bool:
        """Whether to go on all the same."""
        if error.errno in _CLIENT_HAS_GONE:
            return True
        if error.errno not in _EXHAUSTED:
            raise error  # the socket is no good any more; the master makes another
        log.error(f"cannot accept a client: {error.strerror}")
        if self._silent:
            self._evict()
        self._pause()
        self.loop.call_later(EXHAUSTED_PAUSE, self._resume)
        return False

    def waits_for(self, client: Client) -> None:
        """See :class:`House`."""
        self._silent[client] = None
        self._patience.add(client)

    def has_asked(self, client: Client) -> None:
        """See :class:`House`."""
        self._silent.pop(client, None)
        self._patience.discard(client)

    def has_left(self, client: Client) -> None:
        """See :class:`House`."""
        self._clients.discard(client)
        self.has_asked(client)
        self.statistics.clients -= 1
        if not self._is_accepting and len(self._clients) < self._limit:
            self._resume()
        self._check_empty()

    def _evict(self) -> None:
        self.statistics.evicted += 1
        next(iter(self._silent)).close()

    def _check_empty(self) -> None:
        if self._on_empty is not None and not self._clients:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()
