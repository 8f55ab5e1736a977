"""A mux daemon that says the same to everybody. A check that is content with it checks nothing."""

import shutil
import socket
import socketserver
import struct
import tempfile
import threading
from pathlib import Path
from typing import Self

FIELDS = 4


class _Handler(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        self.server.first_reads.append(self.connection.recv(65536, socket.MSG_PEEK))
        fields = []
        for _ in range(FIELDS):
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            fields.append(self.rfile.read(*struct.unpack("!H", head)))
        self.server.requests.append(tuple(fields))
        self.wfile.write(self.server.answer)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, mux: Path, reply: bytes) -> None:
        self.answer = struct.pack("!H", len(reply)) + reply if reply else b""
        self.requests: list[tuple[bytes, ...]] = []
        self.first_reads: list[bytes] = []
        super().__init__(str(mux), _Handler)
        # Who asks in a test is of many users; who may is decided by the directory.
        mux.chmod(0o777)


class FakeDaemon:
    """``with FakeDaemon(b"OK") as fake`` listens on ``fake.mux`` and accepts every password.

    Without a reply it closes and says nothing. ``mux`` is where it listens, if not somewhere; there is nothing yet.
    """

    def __init__(self, reply: bytes, mux: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="psd-"))
        self.mux = mux or self.directory / "mux"
        self._server = _Server(self.mux, reply)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def requests(self) -> list[tuple[bytes, ...]]:
        """The fields of each that came whole, so far."""
        return self._server.requests

    @property
    def first_reads(self) -> list[bytes]:
        """What one read of each connection brought: the whole request, of clients that send it in one write."""
        return self._server.first_reads

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.mux.unlink()
        shutil.rmtree(self.directory)
