"""Where clients are, whichever socket they came by: answered at once, or given a seat.

The seats, the patience and the gate are the daemon's and not a socket's, so that one socket more is
not room for one crowd more.
"""

import asyncio
import contextlib
import itertools
import secrets
import socket
from collections import deque
from collections.abc import Callable

from pysaslauthd.core.answer import ACCEPTED
from pysaslauthd.core.entrance import Entrance
from pysaslauthd.core.request_id import START_BITS, first_id
from pysaslauthd.deadlines import Deadlines
from pysaslauthd.front import peers
from pysaslauthd.front.client import CHUNK, DONT_WAIT, SEND_FLAGS, Client, ClientOptions
from pysaslauthd.front.gate import NO_SEAT, Gate
from pysaslauthd.front.listener import EXHAUSTED_PAUSE, Listener, connection_of
from pysaslauthd.front.refusals import Refusals
from pysaslauthd.front.seats import Seats
from pysaslauthd.front.statistics import Statistics
from pysaslauthd.front.ticket import Caller
from pysaslauthd.logs import log

NEWCOMERS_PER_TURN = 4
"""Clients whose requests are taken apart before it is looked again who has come, so that a flood of guesses holds up nobody
who can be answered at once."""


MOST_WAITING = 1024
"""Clients that are taken of a socket when nobody is accepted any more: as many as have room to wait, where we made it."""


class House:
    """The clients, and a listener for each socket that they come by."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        entrances: tuple[Entrance, ...],
        gate: Gate,
        options: ClientOptions,
        limit: int,
        statistics: Statistics,
    ) -> None:
        self.loop = loop
        self.gate = gate
        self.options = options
        self.statistics = statistics
        self._accepted = options.reply(ACCEPTED)
        self._seats: Seats[Client] = Seats(limit)
        self._patience = Deadlines(loop, options.read_timeout, Client.lose_patience)
        self._newcomers: deque[tuple[Client, bytes]] = deque()
        self._is_attending = False
        """Whether the rest of them is attended to in the loop's next turn."""
        self._refusals = Refusals(loop)
        self._request_ids = itertools.count(first_id(secrets.randbits(START_BITS)))
        self._on_empty: Callable[[], None] | None = None
        self._is_draining = False
        self._listeners = [Listener(loop, each, self) for each in entrances]

    def __len__(self) -> int:
        return len(self._seats)

    def drain(self, on_empty: Callable[[], None], *, hands_over: bool = False) -> None:
        """Accept nobody any more but those who connected already; ``on_empty`` when the last has gone.

        ``hands_over``: not even those where another listens after us, as they lose nothing by waiting
        for him, and the more we take, the later he comes.
        """
        self._is_draining = True
        for listener in self._listeners:
            takes_waiting = not (hands_over and listener.outlives_us)
            # No more than can wait there: where another front takes over, they go on coming.
            for _ in range(MOST_WAITING if takes_waiting else 0):
                if self._seats.is_full or not listener.accept():
                    break
            listener.close()
        self.attend()
        self._on_empty = on_empty  # not before, or the first to leave would be the last
        for client in self._seats.idle():
            client.hurry()
        self._check_empty()

    def probe(self, served: Callable[[], None]) -> None:
        """Greet those who wait, then one more, who asks nothing; ``served`` when it is closed.

        That one does not come by a socket, where it would have to wait behind whoever fills the backlog.
        """
        for listener in self._listeners:
            listener.accept_some()
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
        self.greet(connection_of(theirs.detach()))

    def refuse(self, name: str, user: int) -> None:
        """See :class:`Doorkeeper`."""
        self.statistics.not_allowed += 1
        self._refusals.add(name, user)

    def make_room(self) -> None:
        """See :class:`Doorkeeper`."""
        self._close(self._seats.who_leaves())

    def greet(self, connection: socket.SocketType) -> None:
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
        pid, uid = peers.process_of(connection)
        if is_known and not self._seats.has_room(uid):
            connection.close()  # it has its answer, for which nobody need leave
            return
        if not self._seats.has_room(uid) and not self._close(self._seats.who_leaves(uid)):
            self._turn_away(connection)
            return
        client = Client(self, connection, Caller(next(self._request_ids), pid, uid))
        self._seats.take(client)
        if is_known:
            client.linger()
        elif head is None:
            client.begin(None)
        else:
            # First all that can be answered at once are, who may have come behind it: it takes ten times as long.
            self._newcomers.append((client, head))

    def attend(self) -> None:
        """See :class:`Doorkeeper`."""
        if not self._is_attending:
            self._attend_to_some()

    def _attend_to_some(self) -> None:
        for _ in range(min(NEWCOMERS_PER_TURN, len(self._newcomers))):
            client, head = self._newcomers.popleft()
            client.begin(head)
        self._is_attending = bool(self._newcomers)
        if self._is_attending:
            self.loop.call_soon(self._attend_to_some)

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
        if peers.has_more(connection):
            return False
        connection.close()
        return True

    def waits_for(self, client: Client) -> None:
        """See :class:`Host`."""
        self._seats.is_silent(client)
        self._patience.add(client)
        if self._is_draining:
            client.hurry()

    def has_asked(self, client: Client) -> None:
        """See :class:`Host`."""
        self._seats.has_asked(client)
        self._patience.discard(client)

    def may_wait(self, client: Client) -> bool:
        """See :class:`Host`."""
        while not self._seats.has_room_to_wait(client.uid):
            if not self._close(self._seats.who_need_not_wait(client.uid)):
                return False
        self._seats.waits(client)
        return True

    def is_refused(self, client: Client) -> None:
        """See :class:`Host`."""
        self._seats.is_refused(client)

    def has_left(self, client: Client) -> None:
        """See :class:`Host`."""
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
