"""A mux daemon that says what a test wants, the same to everybody. A check that is content with it checks nothing."""

import contextlib
import shutil
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from support.mux import field
from support.waiting import wait_until

FIELDS = 4

Play = Callable[[socket.socket], None]
"""What it does with the connection of a client that has sent its request."""


class Sent(NamedTuple):
    """What a client sent for one request."""

    data: bytes
    """All of it; a fifth field, which nothing announces, if it came with the first read."""

    in_one_read: bool
    """So did a client that writes once; one that writes field by field seldom does."""


class _Handler(socketserver.BaseRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        first_read = self.request.recv(65536, socket.MSG_PEEK)
        fields = []
        for _ in range(self.server.fields):
            # Not a byte beyond them, which a test may look for.
            head = self.request.recv(2, socket.MSG_WAITALL)
            if len(head) < 2:
                return
            fields.append(self.request.recv(int.from_bytes(head), socket.MSG_WAITALL))
        asked = b"".join(map(field, fields))
        self.server.sent.append(Sent(max(first_read, asked, key=len), len(first_read) >= len(asked)))
        self.server.requests.append(tuple(fields))
        self.server.play(self.request)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, mux: Path, play: Play, fields: int) -> None:
        self.play = play
        self.fields = fields
        self.requests: list[tuple[bytes, ...]] = []
        self.sent: list[Sent] = []
        super().__init__(str(mux), _Handler)
        # Who asks in a test is of many users; who may is decided by the directory.
        mux.chmod(0o777)


class FakeDaemon:
    """``with FakeDaemon(b"OK") as fake`` listens on ``fake.mux`` and accepts every password.

    Without a reply it closes and says nothing. Anything else is played. All may connect. ``mux`` is where it listens, if not
    somewhere; there is nothing yet.
    """

    def __init__(self, reply: bytes | Play, fields: int = FIELDS, mux: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.directory.chmod(0o711)
        self.mux = mux or self.directory / "mux"
        self._server = _Server(self.mux, says(reply) if isinstance(reply, bytes) else reply, fields)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def requests(self) -> list[tuple[bytes, ...]]:
        """The fields of each that came whole, so far."""
        return self._server.requests

    def wait_asked(self, count: int) -> list[tuple[bytes, ...]]:
        """The requests, when there are so many."""
        wait_until(lambda: len(self.requests) >= count, f"it is asked {count} times")
        return self.requests

    @property
    def sent(self) -> list[Sent]:
        """The bytes of each that came whole, so far."""
        return self._server.sent

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.mux.unlink()
        shutil.rmtree(self.directory)


def says(reply: bytes) -> Play:
    """One reply; none, if it is empty."""
    return sends(field(reply) if reply else b"")


def sends(data: bytes) -> Play:
    """These bytes, whatever they are, and an end."""
    return lambda connection: connection.sendall(data)


class Silence:
    """To be played: nobody is answered before :meth:`end`, and then all with the same reply."""

    def __init__(self, reply: bytes = b"OK") -> None:
        self._reply = reply
        self._has_ended = threading.Event()
        self._lock = threading.Lock()
        self._held = 0
        self.most = 0
        """Clients that were held at the same time."""

    def __call__(self, connection: socket.socket) -> None:
        with self._lock:
            self._held += 1
            self.most = max(self.most, self._held)
        self._has_ended.wait()
        with self._lock:
            self._held -= 1
        with contextlib.suppress(OSError):  # whoever asked may have lost patience
            connection.sendall(field(self._reply))

    def end(self) -> None:
        self._has_ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
