"""Ask a saslauthd, ours or another, whether a password is right.

>>> check("igor", "secret", service="smtp")   # doctest: +SKIP
True

:func:`check_async` does the same without blocking an event loop. What went wrong on the way is an exception of the
system's, and never False: a daemon that is not there says nothing about a password.
"""

import asyncio
import errno
import socket
import struct
import time
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.core.secret import Secret
from pysaslauthd.core.wire import ProtocolError, Request, decode_reply, encode_request

DEFAULT_PATH = Path("/run/saslauthd/mux")
DEFAULT_TIMEOUT = 40.0
"""Seconds; the daemon's own deadline of 30 s and its longest delay of a rejection fit in."""

_NO_ANSWER = "closed without an answer"
_LARGEST_REPLY = 2 + 0xFFFF
_PAUSE = 0.01
"""Seconds between two tries to connect to a daemon whose backlog is full."""


class Reply(NamedTuple):
    """The daemon's answer; ``text`` is the whole of it, such as ``NO`` or ``NO PAM auth error``."""

    accepted: bool
    text: bytes


class NoSocketError(OSError):
    """There is nobody to ask at that path, or not for us."""


class NoReplyError(OSError):
    """The daemon closed the connection without an answer: it could not tell, ask again later."""


def check(
    login: str | bytes,
    password: str | bytes | Secret,
    service: str | bytes = "",
    realm: str | bytes = "",
    *,
    path: str | Path = DEFAULT_PATH,
    timeout: float = DEFAULT_TIMEOUT,
) -> bool:
    """Whether ``password`` is that of ``login``.

    Text is sent as UTF-8, and ``user@realm`` as it stands: libsasl would take it apart. ``timeout`` is seconds, for all
    of it. Text that UTF-8 cannot say is a ValueError; the other exceptions are those of :func:`ask`.
    """
    return ask(_request(login, password, service, realm), path=path, timeout=timeout).accepted


async def check_async(
    login: str | bytes,
    password: str | bytes | Secret,
    service: str | bytes = "",
    realm: str | bytes = "",
    *,
    path: str | Path = DEFAULT_PATH,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109  (its twin has it)
) -> bool:
    """Do as :func:`check` does, with the same exceptions, while the event loop goes on."""
    data = encode_request(_request(login, password, service, realm))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await _connect_async(connection, path)
                await loop.sock_sendall(connection, data)
                collected = _Collected()
                while (reply := collected.add(await loop.sock_recv(connection, _LARGEST_REPLY))) is None:
                    pass
        except TimeoutError:
            raise TimeoutError("no answer") from None
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NoReplyError(error.errno, _NO_ANSWER) from None
    return reply.accepted


def ask(request: Request, *, path: str | Path = DEFAULT_PATH, timeout: float = DEFAULT_TIMEOUT) -> Reply:
    """Send one request and return the reply.

    :raises NoSocketError: nobody to connect to, or no permission.
    :raises NoReplyError: closed without an answer, or the answer was none.
    :raises TimeoutError: no answer within ``timeout`` seconds.
    :raises ValueError: a field is longer than the protocol can say.
    """
    data = encode_request(request)
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connect(connection, path, deadline)
        try:
            return _exchange(connection, data, deadline)
        except BlockingIOError:
            raise TimeoutError("no answer") from None
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NoReplyError(error.errno, _NO_ANSWER) from None


class _Collected:
    """What came of a reply."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, chunk: bytes) -> Reply | None:
        """The reply, once it is whole. An empty chunk is the end of what comes."""
        if not chunk:
            raise NoReplyError(0, "closed inside its answer" if self._data else _NO_ANSWER)
        self._data += chunk
        try:
            text = decode_reply(self._data)
        except ProtocolError as error:
            raise NoReplyError(0, str(error)) from None
        if text is None:
            return None
        # As libsasl decides: the first two bytes.
        if text[:2] not in {b"OK", b"NO"}:
            raise NoReplyError(0, "neither OK nor NO")
        return Reply(text[:2] == b"OK", text)


def connect(connection: socket.socket, path: str | Path, deadline: float) -> None:
    """Have a UNIX socket connected by the time ``deadline``, of the monotonic clock; further waits end then, too.

    :raises NoSocketError: nobody to connect to, or no permission.
    :raises TimeoutError: nobody accepted.
    """
    try:
        _connect(connection, path, deadline)
    except BlockingIOError:
        raise TimeoutError("nobody accepted") from None
    except OSError as error:
        raise NoSocketError(error.errno, error.strerror) from None


def _connect(connection: socket.socket, path: str | Path, deadline: float) -> None:
    """Connect, in the kernel's queue if the daemon's backlog is full.

    A signal of the program that called us ends that wait, and Python takes it for a connection; so it is looked at.
    """
    while True:
        limit(connection, deadline)
        connection.connect(str(path))
        try:
            connection.getpeername()
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
        else:
            return


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> Reply:
    connection.sendall(request)
    collected = _Collected()
    while True:
        limit(connection, deadline)
        reply = collected.add(connection.recv(_LARGEST_REPLY))
        if reply is not None:
            return reply


def limit(connection: socket.socket, deadline: float) -> None:
    """Let connect, send and recv end at the deadline.

    Not by settimeout: it makes the socket non-blocking, and then a daemon whose backlog is full for
    a moment counts as gone.
    """
    left = max(0.001, deadline - time.monotonic())
    value = struct.pack("ll", int(left), int(left % 1 * 1_000_000))
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, value)


async def _connect_async(connection: socket.socket, path: str | Path) -> None:
    """Connect a non-blocking socket. Not by the loop: it takes a full backlog for a connection that is on its way."""
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            await asyncio.sleep(_PAUSE)
        except OSError as error:
            raise NoSocketError(error.errno, error.strerror) from None
        else:
            return


def _request(
    login: str | bytes, password: str | bytes | Secret, service: str | bytes, realm: str | bytes
) -> Request:
    secret = password if isinstance(password, Secret) else Secret(_encoded(password))
    return Request(_encoded(login), secret, _encoded(service), _encoded(realm))


def _encoded(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        # The original exception holds the text, which may be a password.
        raise ValueError(
            "a field is no text that UTF-8 can say; expected str without lone surrogates, or bytes"
        ) from None
