"""Lines as datagrams, for a log daemon that listens on a socket."""

import errno
import os
import socket
import time
from pathlib import Path

from pysaslauthd.logs.entry import FACILITY_AUTH, IDENT, Entry
from pysaslauthd.logs.formats import SASLAUTHD, Format
from pysaslauthd.logs.sinks import Sink

_RECONNECT_PAUSE = 1.0  # seconds; a missing /dev/log is not looked for at every line

# The original prints the name of a C function in 16 columns; since 2.1.27 the name is empty.
_ORIGINALS_PREFIX = " " * 16 + ": "


class DatagramSink(Sink):
    """A socket that may be full, or away, or another one after its daemon was restarted."""

    def __init__(self, path: Path, form: Format = SASLAUTHD) -> None:
        super().__init__(str(path), form)
        self._path = path
        self._socket: socket.socket | None = None
        self._next_attempt = 0.0
        self._connect()

    def reopen(self) -> None:
        """Connect anew; the one from before the fork has been closed with the master's descriptors."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        self._next_attempt = 0.0
        self._connect()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _datagram(self, entry: Entry) -> bytes:
        """What the log daemon expects."""
        raise NotImplementedError

    def _transmit(self, connection: socket.socket, data: bytes) -> None:
        connection.send(data, socket.MSG_DONTWAIT)

    def _deliver(self, entry: Entry) -> bool:
        if self._socket is None and not self._connect():
            return False
        data = self._datagram(entry)
        return self._send(data) or (self._socket is None and self._connect() and self._send(data))

    def _send(self, data: bytes) -> bool:
        assert self._socket is not None
        try:
            self._transmit(self._socket, data)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ENOBUFS}:
                # The log daemon was restarted: its new socket is another one, to be found at once.
                self.close()
                self._next_attempt = 0.0
            return False
        return True

    def _connect(self) -> bool:
        now = time.monotonic()
        if now < self._next_attempt:
            return False
        self._next_attempt = now + _RECONNECT_PAUSE
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            connection.setblocking(False)
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            return False
        self._socket = connection
        return True


class SyslogSink(DatagramSink):
    """The system's log daemon."""

    def _datagram(self, entry: Entry) -> bytes:
        stamp = time.strftime("%b %e %H:%M:%S")
        prefix = _ORIGINALS_PREFIX if self._form.is_originals else ""
        header = f"<{FACILITY_AUTH << 3 | entry.priority}>{stamp} {IDENT}[{os.getpid()}]: {prefix}"
        return (header + self._form.render(entry)).encode(errors="replace")
