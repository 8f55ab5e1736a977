"""Ask a saslauthd, ours or another, whether a password is right.

>>> check(b"igor", Secret(b"secret"), service=b"smtp")   # doctest: +SKIP
True

What went wrong on the way is an exception of the system's, and never False: a daemon that is not
there says nothing about a password.
"""

import socket
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


class NoReplyError(OSError):
    """The daemon closed the connection without an answer: it could not tell, ask again later."""


def ask(request: Request, *, path: Path = DEFAULT_PATH, timeout: float = DEFAULT_TIMEOUT) -> Reply:
    """Send one request and return the reply.

    :raises NoReplyError: closed without an answer, or the answer was none.
    :raises TimeoutError: no answer within ``timeout`` seconds.
    :raises OSError: no socket there, or no permission.
    """
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(encode_request(request))
        data = b""
        while (text := _decoded(data)) is None:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = connection.recv(_LARGEST_REPLY)
            if not chunk:
                raise NoReplyError(0, "closed without an answer" if not data else "closed inside its answer")
            data += chunk
    # As libsasl decides: the first two bytes.
    return Reply(text[:2] == b"OK", text)


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
