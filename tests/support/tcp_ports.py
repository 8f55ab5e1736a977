"""Ports on loopback for servers of a test's own."""

import contextlib
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"

# Below the ports that the kernel gives to outgoing connections, so that a server that is stopped for a
# while, and a port that is to refuse, keep theirs to themselves.
_FIRST, _LAST = 20_000, 32_000


def free_port() -> int:
    """One on which nobody listens. Somebody may come first: who cannot take it asks for another."""
    while True:
        port = random.randint(_FIRST, _LAST)
        with contextlib.suppress(OSError), listening(port):
            return port


def listening(port: int, backlog: int = 128) -> socket.socket:
    """:raises OSError: the port is taken."""
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def unreachable_port() -> Iterator[int]:
    """A port to which connecting neither succeeds nor fails, as to a machine that is off: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening(free_port(), backlog=0))
        port = int(listener.getsockname()[1])
        while True:
            client = stack.enter_context(socket.socket())
            client.settimeout(0.2)
            try:
                client.connect((HOST, port))
            except TimeoutError:
                break
        yield port
