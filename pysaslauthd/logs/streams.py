"""Lines on standard error."""

import contextlib
import os
import select
import socket
import stat

from pysaslauthd.logs.entry import IDENT, Entry
from pysaslauthd.logs.formats import SASLAUTHD, Format
from pysaslauthd.logs.sinks import Sink

_LONGEST_LINE = 4096  # bytes; PIPE_BUF, so that two processes' lines never mix


class StreamSink(Sink):
    """Standard error; the original's lines in its foreground form.

    A pipe or a terminal is opened a second time to make it non-blocking: the flag belongs to the
    open file, and the one we were given is shared with the shell that started us. Each process
    opens its own, so that none can make another one's blocking.
    """

    def __init__(self, descriptor: int = 2, form: Format = SASLAUTHD) -> None:
        super().__init__("standard error", form)
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

    def _deliver(self, entry: Entry) -> bool:
        start = "\n" if self._is_torn else ""
        name = f"{IDENT}[{os.getpid()}] :" if self._form.is_originals else ""
        text = f"{start}{name}{self._form.render(entry)}".encode(errors="replace")
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
