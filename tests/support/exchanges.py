"""A request as it goes over the wire: which bytes, in which pieces, and whether the client then half-closes."""

import fcntl
import itertools
import socket
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support import mux
from support.waiting import wait_until

NO_ANSWER = "-"


class Exchange(NamedTuple):
    """What one client sends."""

    name: str
    data: bytes
    cuts: tuple[int, ...] = ()
    """Where the data is cut; the next piece goes when the daemon has read the one before."""
    half_close: bool = False

    @property
    def pieces(self) -> list[bytes]:
        edges = [0, *self.cuts, len(self.data)]
        return [self.data[start:end] for start, end in itertools.pairwise(edges)]


def bytewise(exchange: Exchange) -> Exchange:
    """The same, a byte at a time."""
    return exchange._replace(
        name=f"{exchange.name}, bytewise", cuts=tuple(range(1, max(1, len(exchange.data))))
    )


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Whole, in each two pieces, and byte by byte."""
    yield [data]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
    yield [data[i : i + 1] for i in range(len(data))]


def verdict(path: Path, exchange: Exchange) -> str:
    """``OK``, ``NO`` or ``-`` for an end without an answer; what stands behind OK and NO is cut off."""
    with mux.connect(path) as connection:
        try:
            for number, piece in enumerate(exchange.pieces):
                if number:
                    wait_until(lambda: unread(connection) == 0, f"{exchange.name}: the daemon reads")
                connection.sendall(piece)
            if exchange.half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough; its answer is there to be read
        reply = mux.read_to_end(connection)
    return _word(reply)


def unread(connection: socket.socket) -> int:
    """Bytes (as the kernel accounts them) that the other side has not read yet."""
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))
    return int(count)


def _word(reply: bytes) -> str:
    if not reply:
        return NO_ANSWER
    (length,) = struct.unpack_from("!H", reply)
    text = reply[2:]
    assert length == len(text), f"a reply of another length than it says: {reply!r}"
    assert text[:2] in {b"OK", b"NO"}, reply
    return text[:2].decode()


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """The fields that begin in ``data``, at most five: the length that each claims, and what came of it."""
    found: list[tuple[int, bytes]] = []
    while len(data) >= 2 and len(found) < 5:
        (length,) = struct.unpack_from("!H", data)
        found.append((length, data[2 : 2 + length]))
        data = data[2 + length :]
    return found
