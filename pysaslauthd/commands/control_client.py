"""Asking the running daemon by its control socket, for ``pysaslauthctl``.

>>> for line in converse(Path("/run/saslauthd/control"), {"do": "status"}):   # doctest: +SKIP
...     print(line["version"])
"""

import argparse
import contextlib
import errno
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pysaslauthd import client
from pysaslauthd.client import NoSocketError
from pysaslauthd.core import control
from pysaslauthd.core.control import CONTROL_NAME, Line, LineError
from pysaslauthd.logs import escaped

_TROUBLE = {
    errno.ENOENT: "no such socket; is the daemon running, with this run path?",
    errno.ECONNREFUSED: "nobody listens: it is no socket, or a killed daemon left it behind",
    errno.EACCES: "permission denied; run it as root, or as the user that started the daemon",
}
_BROKEN_OFF = "the daemon closed the connection in the middle of its answer: its front has ended, or it does not know this user"


MOST_BYTES = 16 * control.LARGEST_REPLY
"""Of all that the daemon says to one order; its metrics have some hundred thousand. Its front is not trusted with more."""

DEFAULT_TIMEOUT = 10.0
"""Seconds for what the daemon answers at once."""


class ControlError(Exception):
    """It was not done; the message says why, for whoever asked."""


class NoDaemonError(ControlError):
    """There is none to ask."""


def told(given: argparse.Namespace, order: Line, timeout: float | None = None) -> Iterator[Line]:
    """What the daemon that the command line names says to ``order``; see :func:`converse`."""
    return converse(given.socket or given.run_path / CONTROL_NAME, order, timeout or DEFAULT_TIMEOUT)


def show(text: object = "") -> None:
    """Print a line in which nothing from elsewhere can do anything to a terminal."""
    print(escaped(text, delimiters=""), flush=True)


def converse(path: Path, order: Mapping[str, Any], timeout: float) -> Iterator[Line]:
    """Say ``order``, and give what the daemon says to it, but for the line that ends it. ``timeout`` in seconds.

    :raises NoDaemonError: nobody listens at ``path``.
    :raises ControlError: the daemon refused, or broke off, or we may not ask, or it took too long.
    """
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            client.connect(connection, path, deadline)
            with contextlib.suppress(BrokenPipeError):  # closed already; it may have said why
                connection.sendall(control.encode(order))
            yield from _replies(connection, deadline)
    except NoSocketError as error:
        kind = NoDaemonError if error.errno in {errno.ENOENT, errno.ECONNREFUSED} else ControlError
        raise kind(f"{path}: {_TROUBLE.get(error.errno or 0, error.strerror)}") from None
    except (TimeoutError, BlockingIOError):
        raise ControlError(f"{path}: the daemon does not answer within {timeout:g} s") from None
    except ConnectionResetError:
        raise ControlError(f"{path}: {_BROKEN_OFF}") from None
    except LineError as error:
        raise ControlError(f"{path}: not understood: {error}") from None


def _replies(connection: socket.socket, deadline: float) -> Iterator[Line]:
    """The lines before the last."""
    for data in _lines(connection, deadline):
        line = control.decode(data)
        if "error" in line:
            raise ControlError(str(line["error"]))
        if line.get("end") is True:
            return
        yield line
    raise ConnectionResetError


def _lines(connection: socket.socket, deadline: float) -> Iterator[bytes]:
    data = b""
    left = MOST_BYTES
    while len(data) < control.LARGEST_REPLY:
        client.limit(connection, deadline)
        chunk = connection.recv(1 << 16)
        if not chunk:
            return
        left -= len(chunk)
        if left < 0:
            raise LineError(f"more than {MOST_BYTES} bytes")
        *lines, data = (data + chunk).split(b"\n")
        yield from lines
    raise LineError(f"a line of more than {control.LARGEST_REPLY} bytes")
