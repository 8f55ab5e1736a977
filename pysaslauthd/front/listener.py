"""Accepts clients, answers those it can answer at once, and gives the others a seat."""

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable

from pysaslauthd import logs
from pysaslauthd.core.answer import ACCEPTED
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.front.client import CHUNK, DONT_WAIT, SEND_FLAGS, Client, ClientOptions
from pysaslauthd.front.gate import NO_SEAT, Gate
from pysaslauthd.front.seats import Seats, peer_uid
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.logs import log

ACCEPTS_PER_WAKEUP = 16
"""So that a flood of new clients leaves time for the answers to the old ones."""

NEWCOMERS_PER_TURN = 4
"""Clients whose requests are taken apart before it is looked again who has come, so that a flood of guesses holds up nobody
who can be answered at once."""

MOST_WAITING = 1024
"""Clients that are taken when nobody is accepted any more: as many as have room to wait, where we made the socket."""

EXHAUSTED_PAUSE = 0.1
"""Seconds without accepting when the system has no descriptor or memory left."""

_FAMILY, _TYPE = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_HAS_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})


class Listener:
    """One listening socket, and the clients that came by it.

    It always accepts: who can be answered at once is, even where there is no seat left for anybody else.
    """

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
        self._accepted = options.reply(ACCEPTED)
        self._seats: Seats[Client] = Seats(limit)
        self._patience = Deadlines(loop, options.read_timeout, Client.lose_patience)
        self._newcomers: deque[tuple[Client, bytes]] = deque()
        self._on_empty: Callable[[], None] | None = None
        self._is_draining = False
        self._is_accepting = False
        self._resume()

    def __len__(self) -> int:
        return len(self._seats)

    def drain(self, on_empty: Callable[[], None], *, takes_waiting: bool = True) -> None:
        """Accept nobody any more; ``on_empty`` when the last has gone.

        ``takes_waiting``: but those who connected already. Not where another listens after us, as
        they lose nothing by waiting for him, and the more we take, the later he comes.
        """
        self._is_draining = True
        # No more than can wait there: where another front takes over, they go on coming.
        for _ in range(MOST_WAITING if takes_waiting else 0):
            if self._seats.is_full or not self._accept():
                break
        self._on_empty = on_empty  # not before, or the first to leave would be the last
        self._pause()
        self._socket.close()
        for client in self._seats.idle():
            client.hurry()
        self._check_empty()

    def probe(self, served: Callable[[], None]) -> None:
        """Greet those who wait, then one more, who asks nothing; ``served`` when it is closed.

        That one does not come by the socket, where it would have to wait behind whoever fills the backlog.
        """
        if self._is_accepting:
            self._on_readable()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            log.error(f"cannot serve a probe: {error.strerror}")
            self.loop.call_later(EXHAUSTED_PAUSE, self.probe, served)  # the master asks no second time
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
        try:
            # accept() makes of it an object in Python, which costs as much as the rest of a client.
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:
            return False
        except OSError as error:
            return self._cannot_accept(error)
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
        if head == b"":  # it left without asking
            connection.close()
            return
        is_known = head is not None and len(head) < CHUNK and self.gate.remembers(head)
        if is_known and self._is_told(connection):
            return
        uid = peer_uid(connection)
        if is_known and not self._seats.has_room(uid):
            connection.close()  # it has its answer, for which nobody need leave
            return
        if not self._seats.has_room(uid) and not self._close(self._seats.who_leaves(uid)):
            self._turn_away(connection)
            return
        client = Client(self, connection, uid)
        self._seats.take(client)
        if is_known:
            client.linger()
        elif head is None:
            client.begin(None)
        else:
            self._see_to_later(client, head)

    def _see_to_later(self, client: Client, head: bytes) -> None:
        """First all that can be answered at once are, who may have come behind it: it takes ten times as long."""
        if not self._newcomers:
            self.loop.call_soon(self._see_to_newcomers)
        self._newcomers.append((client, head))

    def _see_to_newcomers(self) -> None:
        for _ in range(min(NEWCOMERS_PER_TURN, len(self._newcomers))):
            client, head = self._newcomers.popleft()
            client.begin(head)
        if self._newcomers:
            self.loop.call_soon(self._see_to_newcomers)

    def _turn_away(self, connection: socket.SocketType) -> None:
        self.gate.shed(NO_SEAT.reason)
        if reply := self.options.reply(NO_SEAT):
            with contextlib.suppress(OSError):
                connection.send(reply, SEND_FLAGS)
        connection.close()

    def _is_told(self, connection: socket.SocketType) -> bool:
        """Say OK, and whether that was all; if not, there is more to read before it may be closed."""
        try:
            connection.send(self._accepted, SEND_FLAGS)
        except OSError:
            self.statistics.unheard += 1
            connection.close()
            return True
        try:
            is_more = bool(connection.recv(CHUNK, DONT_WAIT))
        except OSError:
            is_more = False
        if not is_more:
            connection.close()
        return not is_more

    def _cannot_accept(self, error: OSError) -> bool:
        """Whether to go on all the same."""
        if error.errno in _CLIENT_HAS_GONE:
            return True
        if error.errno not in _EXHAUSTED:
            raise error  # the socket is no good any more; the master makes another
        log.error(f"cannot accept a client: {error.strerror}")
        self._close(self._seats.who_leaves())
        self._pause()
        self.loop.call_later(EXHAUSTED_PAUSE, self._resume)
        return False

    def waits_for(self, client: Client) -> None:
        """See :class:`House`."""
        self._seats.is_silent(client)
        self._patience.add(client)
        if self._is_draining:
            client.hurry()

    def has_asked(self, client: Client) -> None:
        """See :class:`House`."""
        self._seats.has_asked(client)
        self._patience.discard(client)

    def may_wait(self, client: Client) -> bool:
        """See :class:`House`."""
        while not self._seats.has_room_to_wait(client.uid):
            if not self._close(self._seats.who_need_not_wait(client.uid)):
                return False
        self._seats.waits(client)
        return True

    def is_refused(self, client: Client) -> None:
        """See :class:`House`."""
        self._seats.is_refused(client)

    def has_left(self, client: Client) -> None:
        """See :class:`House`."""
        self._seats.leave(client)
        self._patience.discard(client)
        self._check_empty()

    def _close(self, client: Client | None) -> bool:
        """Have this one leave, for another; False if there is nobody who can."""
        if client is None:
            return False
        self.statistics.evicted += 1
        client.close()
        return True

    def _check_empty(self) -> None:
        if self._on_empty is not None and not len(self._seats):
            on_empty, self._on_empty = self._on_empty, None
            on_empty()
