"""A client that is not ours: bytes in, bytes out, and every misbehaviour on request."""

import socket
import struct
from pathlib import Path

TIMEOUT = 60.0


def field(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


def request(
    login: bytes, password: bytes, service: bytes = b"imap", realm: bytes = b"", *more: bytes
) -> bytes:
    return b"".join(map(field, (login, password, service, realm, *more)))


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes; a reset counts as a close."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def exchange(path: Path, data: bytes, *, half_close: bool = False) -> bytes:
    """Send ``data`` and return all that comes back until the end of file."""
    with connect(path) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def ask(path: Path, login: bytes, password: bytes, service: bytes = b"imap", realm: bytes = b"") -> str:
    """``OK``, ``NO``, or ``-`` for a close without an answer."""
    reply = exchange(path, request(login, password, service, realm))
    return reply[2:4].decode() if reply else "-"
