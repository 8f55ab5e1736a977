"""Many logins under way at a time, whatever becomes of the daemon, and what each one heard."""

import errno
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

from support import mux
from support.daemon import WRONG
from support.waiting import wait_until

_NOT_YET = frozenset({errno.EAGAIN, errno.ENOENT, errno.ECONNREFUSED})
_PAUSE = 0.05  # seconds, before a connection that cannot be had is tried again


class Heard(NamedTuple):
    """What a login was, and ``OK``, ``NO`` or ``-`` for a close without an answer."""

    is_right: bool
    verdict: str


class Crowd:
    """``size`` logins at a time, each followed by another, of ``users`` in turn, every second one wrong."""

    def __init__(self, path: Path, users: Mapping[str, bytes], size: int) -> None:
        self.heard: Counter[Heard] = Counter()
        self.under_way = 0
        """Connected, asked, and not answered."""
        self._path = str(path)
        self._users = [(login.encode(), password) for login, password in users.items()]
        self._size = size
        self._asked = 0
        self._is_ending = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    @property
    def answered(self) -> int:
        return self.heard.total()

    def wait_answered(self, more: int) -> None:
        """Until so many more logins than now have heard something."""
        target = self.answered + more
        wait_until(lambda: self.answered >= target, f"{more} more logins are answered")

    def end(self) -> None:
        """Begin no more, and wait for those that are under way."""
        self._is_ending.set()
        wait_until(lambda: not self._thread.is_alive(), "the last login is answered")

    def _run(self) -> None:
        quiet_since = 0
        while self.under_way or not self._is_ending.is_set():
            while self.under_way < self._size and not self._is_ending.is_set() and self._begin():
                pass
            ready = self._selector.select(_PAUSE)
            for key, _ in ready:
                self._hear(key.fileobj, key.data)  # type: ignore[arg-type]
            # Who never gets an answer must not hold up the test for ever: the socket's own limit.
            quiet_since = 0 if ready else quiet_since + 1
            if quiet_since * _PAUSE > mux.TIMEOUT:
                return

    def _begin(self) -> bool:
        is_right = self._asked % 2 == 0
        login, password = self._users[self._asked % len(self._users)]
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(self._path)
            connection.send(mux.request(login, password if is_right else WRONG))
        except OSError as error:
            connection.close()
            if error.errno not in _NOT_YET:
                raise
            return False
        self._asked += 1
        self.under_way += 1
        self._selector.register(connection, selectors.EVENT_READ, is_right)
        return True

    def _hear(self, connection: socket.socket, is_right: bool) -> None:  # noqa: FBT001  (comes with the socket)
        self._selector.unregister(connection)
        with connection:
            try:
                reply = connection.recv(1024)
            except ConnectionResetError:
                reply = b""
        self.heard[Heard(is_right, reply[2:].decode() or "-")] += 1
        self.under_way -= 1
