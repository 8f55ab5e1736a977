"""Ask a saslauthd, ours or another, whether a password is right.

>>> check(b"igor", Secret(b"secret"), service=b"smtp")   # doctest: +SKIP
True

What went wrong on the way is an exception of the system's, and never False: a daemon that is not
there says nothing about a password.
"""

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

_LARGEST_REPLY = 2 + 0xFFFF


class Reply(NamedTuple):
    """The daemon's answer; ``text`` is the whole of it, such as ``NO`` or ``NO PAM auth error``."""

    accepted: bool
    text: bytes


class NoSocketError(OSError):
    """There is nobody to ask at that path, or not for us."""


class NoReplyError(OSError):
    """The daemon closed the connection without an answer: it could not tell, ask again later."""


def ask(request: Request, *, path: Path = DEFAULT_PATH, timeout: float = DEFAULT_TIMEOUT) -> Reply:
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
            raise NoReplyError(error.errno, "closed without an answer") from None


def connect(connection: socket.socket, path: Path, deadline: float) -> None:
    """Have a UNIX socket connected by the time ``deadline``, of the monotonic clock; further waits end then, too.

    :raises NoSocketError: nobody to connect to, or no permission.
    :raises TimeoutError: nobody accepted.
    """
    try:
        limit(connection, deadline)
        connection.connect(str(path))
    except BlockingIOError:
        raise TimeoutError("nobody accepted") from None
    except OSError as error:
        raise NoSocketError(error.errno, error.strerror) from None


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> Reply:
    connection.sendall(request)
    data = b""
    while (text := _decoded(data)) is None:
        limit(connection, deadline)
        chunk = connection.recv(_LARGEST_REPLY)
        if not chunk:
            raise NoReplyError(0, "closed inside its answer" if data else "closed without an answer")
        data += chunk
    # As libsasl decides: the first two bytes.
    return Reply(text[:2] == b"OK", text)


def limit(connection: socket.socket, deadline: float) -> None:
    """Let connect, send and recv end at the deadline.

    Not by settimeout: it makes the socket non-blocking, and then a daemon whose backlog is full for
    a moment counts as gone.
    """
    left = max(0.001, deadline - time.monotonic())
    value = struct.pack("ll", int(left), int(left % 1 * 1_000_000))
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, value)


def check(
    login: bytes,
    password: Secret,
    *,
    service: bytes = b"",
    realm: bytes = b"",
    path: Path = DEFAULT_PATH,
    timeout: float = DEFAULT_TIMEOUT,
) -> bool:
    """Whether ``password`` is that of ``login``; the exceptions are those of :func:`ask`."""
    return ask(Request(login, password, service, realm), path=path, timeout=timeout).accepted


def _decoded(data: bytes) -> bytes | None:
    try:
        return decode_reply(data)
    except ProtocolError as error:
        raise NoReplyError(0, str(error)) from None
