"""Accepts clients on one socket, and lets in those that may ask there."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Protocol

from pysaslauthd import logs
from pysaslauthd.core.entrance import Access, Entrance
from pysaslauthd.front import peers
from pysaslauthd.logs import log

ACCEPTS_PER_WAKEUP = 16
"""So that a flood of new clients leaves time for the answers to the old ones."""

EXHAUSTED_PAUSE = 0.1
"""Seconds without accepting when the system has no descriptor or memory left."""

_FAMILY, _TYPE = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_CLIENT_HAS_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})


class Doorkeeper(Protocol):
    """What a listener tells of who comes."""

    def greet(self, connection: socket.SocketType) -> None:
        """A client has come."""

    def refuse(self, name: str, user: int) -> None:
        """One of this user has come to the socket ``name`` who may not, and was closed."""

    def attend(self) -> None:
        """Those who came at the same time have all been greeted."""

    def make_room(self) -> None:
        """The system has no room for another client."""


def connection_of(descriptor: int) -> socket.SocketType:
    """A connection, without the object in Python that :mod:`socket` makes of each."""
    return socket.SocketType(_FAMILY, _TYPE, 0, descriptor)


class Listener:
    """One listening socket, which it owns.

    It always accepts: who can be answered at once is, even where there is no seat left for anybody else.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, entrance: Entrance, doorkeeper: Doorkeeper) -> None:
        self.outlives_us = entrance.outlives_us
        """Whether another listens here after us."""
        self._loop = loop
        self._socket = entrance.socket
        self._socket.setblocking(False)
        self._name = entrance.name
        self._doorkeeper = doorkeeper
        # Where everybody may ask, nothing is asked of the kernel.
        self._let_in: Callable[[socket.SocketType], None] = doorkeeper.greet
        if entrance.access is not None:
            self._access: Access = entrance.access
            self._let_in = self._look_at
        self._is_closed = False
        self._is_accepting = False
        self._resume()

    def close(self) -> None:
        """Accept nobody any more."""
        self._pause()
        self._is_closed = True
        self._socket.close()

    def accept_some(self) -> None:
        """Take of those who wait, unless there is no room for another now."""
        if self._is_accepting:
            self._on_readable()

    def accept(self) -> bool:
        """Take one client; False if there is none, or none can be taken now."""
        try:
            # accept() makes of it an object in Python, which costs as much as the rest of a client.
            descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:
            return False
        except OSError as error:
            return self._cannot_accept(error)
        connection = connection_of(descriptor)
        try:
            self._let_in(connection)
        except Exception as error:  # noqa: BLE001  (a bug of ours costs this client its answer, and nobody else anything)
            log.error(f"internal error: {logs.describe(error)}")
            connection.close()
        return True

    def _look_at(self, connection: socket.SocketType) -> None:
        """Let in who may ask; the others are closed, as a NO would say that their password is wrong."""
        peer = peers.peer_of(connection)
        if self._access.admits(peer.user, peer.groups):
            self._doorkeeper.greet(connection)
        else:
            connection.close()
            self._doorkeeper.refuse(self._name, peer.user)

    def _resume(self) -> None:
        if not self._is_accepting and not self._is_closed:
            self._is_accepting = True
            self._loop.add_reader(self._socket.fileno(), self._on_readable)

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._socket.fileno())

    def _on_readable(self) -> None:
        for _ in range(ACCEPTS_PER_WAKEUP):
            if not self.accept():
                break
        self._doorkeeper.attend()

    def _cannot_accept(self, error: OSError) -> bool:
        """Whether to go on all the same."""
        if error.errno in _CLIENT_HAS_GONE:
            return True
        if error.errno not in _EXHAUSTED:
            raise error  # the socket is no good any more; the master makes another
        log.error(f"cannot accept a client: {error.strerror}")
        self._doorkeeper.make_room()
        self._pause()
        self._loop.call_later(EXHAUSTED_PAUSE, self._resume)
        return False
