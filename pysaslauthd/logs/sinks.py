"""Where lines go. Delivery never waits: a full ``/dev/log`` or a stopped terminal would otherwise stop every login.

What does not fit is counted, and the count is logged as soon as lines flow again.
"""

import contextlib
import errno
import os
import select
import socket
import stat
import time
from pathlib import Path

IDENT = "saslauthd"
"""The original's name, which filters and dashboards look for."""

FACILITY_AUTH = 4 << 3
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

# The original prints the name of a C function in 16 columns; since 2.1.27 the name is empty.
_SYSLOG_PREFIX = " " * 16 + ": "
_LONGEST_LINE = 4096  # bytes on standard error; PIPE_BUF, so that two processes' lines never mix
_RECONNECT_PAUSE = 1.0  # seconds; a missing /dev/log is not looked for at every line


class Sink:
    """A place where lines go. Subclasses try once, without waiting."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lost = 0

    def write(self, priority: int, line: str) -> None:
        """Deliver ``line``, or count it as lost."""
        if self._lost:
            notice = f"{self._lost} log lines were lost, {self._name} did not take them"
            if not self._deliver(PRIORITIES["warning"], notice):
                self._lost += 1
                return
            self._lost = 0
        if not self._deliver(priority, line):
            self._lost += 1

    def reopen(self) -> None:
        """Get a descriptor of this process's own, after a fork."""

    def close(self) -> None:
        """Close what this sink opened."""

    def _deliver(self, priority: int, line: str) -> bool:
        raise NotImplementedError


class SyslogSink(Sink):
    """The system's log daemon, by its datagram socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
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

    def _deliver(self, priority: int, line: str) -> bool:
        if self._socket is None and not self._connect():
            return False
        assert self._socket is not None
        stamp = time.strftime("%b %e %H:%M:%S")
        header = f"<{FACILITY_AUTH | priority}>{stamp} {IDENT}[{os.getpid()}]: {_SYSLOG_PREFIX}"
        data = (header + line).encode(errors="replace")
        return self._send(data) or (self._socket is None and self._connect() and self._send(data))

    def _send(self, data: bytes) -> bool:
        assert self._socket is not None
        try:
            self._socket.send(data, socket.MSG_DONTWAIT)
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


class StreamSink(Sink):
    """Standard error, in the original's foreground form.

    A pipe or a terminal is opened a second time to make it non-blocking: the flag belongs to the
    open file, and the one we were given is shared with the shell that started us. Each process
    opens its own, so that none can make another one's blocking.
    """

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__("standard error")
        self._given = self._descriptor = descriptor
        self._socket: socket.socket | None = None
        self._is_torn = False
        self._open()

    def reopen(self) -> None:
        """Open the pipe or terminal anew; the opening from before the fork has been closed."""
        if self._socket is not None:
            self._socket.detach()
        self._open()

    def close(self) -> None:
        """Close the second opening; the descriptor that was given is not ours."""
        if self._socket is not None:
            self._socket.close()
        elif self._descriptor != self._given:
            os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = self._given
        mode = os.fstat(self._given).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._given))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            # Where nobody reads, or the terminal is somebody else's, the shared file must do.
            with contextlib.suppress(OSError):
                self._descriptor = os.open(f"/proc/self/fd/{self._given}", flags)

    def _deliver(self, priority: int, line: str) -> bool:  # noqa: ARG002  (the original's stderr form has no priority)
        start = "\n" if self._is_torn else ""
        text = f"{start}{IDENT}[{os.getpid()}] :{line}".encode(errors="replace")
        data = text[: _LONGEST_LINE - 1] + b"\n"
        try:
            written = self._write(data)
        except OSError:
            return False
        if written:
            self._is_torn = written < len(data)
        return written == len(data)

    def _write(self, data: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        if self._descriptor == self._given and not _has_room(self._given):
            return 0
        return os.write(self._descriptor, data)


def _has_room(descriptor: int) -> bool:
    """Whether a line can be written without waiting; for a pipe that is certain, for a terminal nearly."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))
