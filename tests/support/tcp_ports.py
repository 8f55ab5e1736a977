"""Ports on loopback for servers of a test's own."""

import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

HOST = "127.0.0.1"

# Below the ports that the kernel gives to outgoing connections, so that a server that is stopped for a
# while, and a port that is to refuse, keep theirs to themselves.
_PORTS = range(20_000, 32_000)

_SHARE = 500
"""Ports that one process has for itself: where nobody is to listen, no test that runs beside it may begin to."""


def free_port() -> int:
    """One on which nobody listens. Somebody may come first: who cannot take it asks for another."""
    while True:
        port = next(_own_ports())
        with contextlib.suppress(OSError), listening(port):
            return port


@functools.cache
def _own_ports() -> Iterator[int]:
    """Round and round, so that one that is not in use for a while is not given to somebody else."""
    for first in _PORTS[::_SHARE]:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pysaslauthd-test-ports-{first}")
        except OSError:
            claim.close()
        else:
            return _round(range(first, first + _SHARE), claim)
    return _round(_PORTS, None)


def _round(ports: range, claim: socket.socket | None) -> Iterator[int]:
    """From a random one on, as who had them before may have left connections; ``claim`` is held as long."""
    start = random.choice(ports)
    try:
        yield from itertools.cycle((*range(start, ports.stop), *range(ports.start, start)))
    finally:
        if claim is not None:
            claim.close()


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
