"""Log lines, in the original's shape, that no reader can hold up.

structlog makes the events; this module renders and delivers them. An event is a text and its
values, and becomes ``text: [name=value] [name=value]``, the form of the original's failure line.
Delivery never waits: a full ``/dev/log`` or a stopped terminal would otherwise stop every login.
What does not fit is counted, and the count is logged as soon as lines flow again.

Values come from strangers, so what could forge a line or a field of it is escaped: control and
other unprintable characters, bytes that are not UTF-8, and the brackets that delimit fields (with
an unescaped one, a login could carry a ``[remote=...]`` of its choice to a fail2ban filter).
"""

import errno
import os
import socket
import stat
import time
import traceback
from pathlib import Path
from typing import Any, Protocol, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

IDENT = "saslauthd"
"""The original's name, which filters and dashboards look for."""

FACILITY_AUTH = 4 << 3
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

# The original prints the name of a C function in 16 columns; since 2.1.27 the name is empty.
_SYSLOG_PREFIX = " " * 16 + ": "
_DELIMITERS = "[]"
_RECONNECT_PAUSE = 1.0  # seconds; a missing /dev/log is not looked for at every line

log: FilteringBoundLogger = structlog.get_logger()


def escaped(value: object, delimiters: str = _DELIMITERS) -> str:
    """``value`` as it may stand in a log line; bytes are read as UTF-8."""
    text = value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)
    if text.isprintable() and not any(character in text for character in delimiters):
        return text
    return "".join(
        character if character.isprintable() and character not in delimiters else _as_hex(character)
        for character in text
    )


def _as_hex(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def describe(error: BaseException) -> str:
    """An unexpected exception in one line: its type and where it arose, innermost place first.

    Not its message: Python's own like to quote the value they stumbled on, which may be a password.
    Only the system's errors are spelled out, as their text comes from a table.
    """
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-4:])
    ]
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{name} {os.strerror(error.errno)}"
    return f"{name} at {' < '.join(places) or 'an unknown place'}"


class _Sink:
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

    def descriptors(self) -> list[int]:
        """What a child has to keep open for this sink."""
        return []

    def _deliver(self, priority: int, line: str) -> bool:
        raise NotImplementedError


class SyslogSink(_Sink):
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
        try:
            self._socket.send((header + line).encode(errors="replace"), socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE}:
                # The log daemon was restarted: its new socket is another one.
                self.close()
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


class StreamSink(_Sink):
    """Standard error, in the original's foreground form.

    A pipe or a terminal is opened a second time to make it non-blocking: the flag belongs to the
    open file, and the one we were given is shared with the shell that started us.
    """

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__("standard error")
        self._given = self._descriptor = descriptor
        self._socket: socket.socket | None = None
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)
            except OSError:
                # Nobody reads, or the terminal belongs to somebody else: the shared file must do.
                self._descriptor = descriptor

    def close(self) -> None:
        """Close the second opening; the descriptor that was given is not ours."""
        if self._socket is not None:
            self._socket.close()
        elif self._descriptor != self._given:
            os.close(self._descriptor)

    def descriptors(self) -> list[int]:
        """The second opening of standard error, which the children go on using."""
        return [self._socket.fileno() if self._socket is not None else self._descriptor]

    def _deliver(self, priority: int, line: str) -> bool:  # noqa: ARG002  (the original's stderr form has no priority)
        data = f"{IDENT}[{os.getpid()}] :{line}\n".encode(errors="replace")
        try:
            if self._socket is not None:
                self._socket.send(data, socket.MSG_DONTWAIT)
            else:
                os.write(self._descriptor, data)
        except OSError:
            return False
        return True


class _Output:
    """What structlog calls: a method for each level, each sending to every sink."""

    def __init__(self) -> None:
        self.sinks: list[_Sink] = []

    def debug(self, line: str) -> None:
        self._write("debug", line)

    def info(self, line: str) -> None:
        self._write("info", line)

    def warning(self, line: str) -> None:
        self._write("warning", line)

    def error(self, line: str) -> None:
        self._write("error", line)

    def critical(self, line: str) -> None:
        self._write("critical", line)

    def _write(self, level: str, line: str) -> None:
        for sink in self.sinks:
            sink.write(PRIORITIES[level], line)


class _Processor(Protocol):
    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> Any: ...


_output = _Output()


def render(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    """The structlog processor that turns an event into its line."""
    # The text is ours and may hold brackets of its own; the values come from strangers.
    text = escaped(event.pop("event"), delimiters="")
    fields = " ".join(f"[{name}={escaped(value)}]" for name, value in event.items())
    return f"{text}: {fields}" if fields else text


def configure(*, verbose: bool, syslog: Path | None, stderr: bool) -> None:
    """Say where lines go, once, before the first of them. Debug lines only if ``verbose``."""
    _output.sinks = []
    if stderr:
        _output.sinks.append(StreamSink())
    if syslog is not None:
        _output.sinks.append(SyslogSink(syslog))
    processors = cast("list[_Processor]", [render])
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug" if verbose else "info"),
        logger_factory=lambda *_: _output,
        cache_logger_on_first_use=True,
    )


def detach() -> None:
    """From now on only syslog: standard error has become ``/dev/null``."""
    for sink in _output.sinks:
        if isinstance(sink, StreamSink):
            sink.close()
    _output.sinks = [sink for sink in _output.sinks if not isinstance(sink, StreamSink)]


def descriptors() -> list[int]:
    """The descriptors that a child has to keep open to go on logging."""
    return [number for sink in _output.sinks for number in sink.descriptors()]


def reopen() -> None:
    """After a fork: get a connection to syslog that is this process's own."""
    for sink in _output.sinks:
        sink.reopen()
