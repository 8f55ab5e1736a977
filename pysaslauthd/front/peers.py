"""Who is at the other end of a connection, as the kernel noted when he connected, and whether he still is."""

import ctypes
import errno
import fcntl
import select
import socket
import struct
import termios
from typing import NamedTuple

_CREDENTIALS = struct.Struct("iII")
"""Pid, uid and gid."""

_SO_PEERGROUPS = 59
"""From ``asm-generic/socket.h``; Python has no name for it."""

_GROUP = struct.Struct("I")
_FEW_GROUPS = 1024
"""Bytes; the most that Python asks the kernel for."""

_MOST_GROUPS = 65_536
"""NGROUPS_MAX of Linux."""

_NOTHING = bytes(struct.calcsize("i"))
"""The count of bytes where there are none."""

_libc = ctypes.CDLL(None, use_errno=True)


class Peer(NamedTuple):
    """A process that connected: its user, its group and all others it was in."""

    user: int
    groups: frozenset[int]


def is_there(connection: "socket.SocketType") -> bool:
    """Whether the peer can still hear. Who only closed its writing side, or sends on and on, can."""
    # On a UNIX socket a peer that has closed both directions is an event of its own, which needs no asking for.
    look = select.poll()
    look.register(connection.fileno(), 0)
    return not look.poll(0)


def has_more(connection: "socket.SocketType") -> bool:
    """Whether there are bytes that were not read. Asked so, as a read of nothing costs an exception with its text."""
    return fcntl.ioctl(connection.fileno(), termios.FIONREAD, _NOTHING) != _NOTHING


def process_of(connection: "socket.SocketType") -> tuple[int, int]:
    """The pid, 0 for a process of a namespace that we cannot see into, and the user."""
    pid, user, _ = _credentials(connection)
    return pid, user


def peer_of(connection: "socket.SocketType") -> Peer:
    """The user and all groups.

    :raises OSError: the kernel does not tell, as one older than 4.13.
    """
    _, user, group = _credentials(connection)
    return Peer(user, frozenset((group, *_supplementary(connection))))


def _credentials(connection: "socket.SocketType") -> tuple[int, int, int]:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, group = _CREDENTIALS.unpack(data)
    return pid, user, group


def _supplementary(connection: "socket.SocketType") -> tuple[int, ...]:
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _FEW_GROUPS)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        data = _many_groups(connection.fileno())
    return tuple(group for (group,) in _GROUP.iter_unpack(data))


def _many_groups(descriptor: int) -> bytes:
    """Of who is in more than 256, for whom Python's buffer is too small."""
    buffer = ctypes.create_string_buffer(_MOST_GROUPS * _GROUP.size)
    length = ctypes.c_uint32(len(buffer))
    if _libc.getsockopt(descriptor, socket.SOL_SOCKET, _SO_PEERGROUPS, buffer, ctypes.byref(length)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode.get(number, "unknown error"))
    return buffer.raw[: length.value]
