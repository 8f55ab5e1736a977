"""Sockets that whoever started us made and listens on: systemd's LISTEN_FDS.

They are there before us and after us, so a client that comes while nobody runs waits, and does not
fail. Who may connect was decided by who made them; we change nothing about them.
"""

import errno
import os
import select
import socket
from collections.abc import MutableMapping
from pathlib import Path

from pysaslauthd.master.mux import Look, LostSocketError, MuxSocket

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""

_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class ActivationError(Exception):
    """What was handed to us is not what we can listen on; a line for each thing to say."""


class InheritedSocket(MuxSocket):
    """A listening socket of somebody else's."""

    outlives_us = True

    def __init__(self, listening: socket.socket) -> None:
        self.socket = listening
        self.name = _name(listening)
        self.path = Path(os.path.realpath(self.name)) if self.name.startswith("/") else None
        """Where it is in the file system, if it is there."""

    def repair(self) -> None:
        """See :class:`MuxSocket`. It cannot be: only who made it can make another.

        :raises LostSocketError: a front that was taken over has shut it down for all who share it.
        """
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        if poll.poll(0):
            raise LostSocketError(
                f"the socket {self.name} was shut down; whoever gave it to us has to make another"
            )

    def change(self, look: Look) -> None:
        """See :class:`MuxSocket`. Whose it is was decided by who made it."""

    def remove(self) -> None:
        """See :class:`MuxSocket`. It stays, with its name and who waits to be accepted."""


def inherited_sockets(environment: MutableMapping[str, str]) -> tuple[InheritedSocket, ...]:
    """The sockets that were handed to this process; none, if that was meant for another or not done.

    The variables are taken out of ``environment``, as no child is meant by them.

    :raises ActivationError: there is something among them that logins cannot come by.
    """
    count, pid, names = (environment.pop(name, "") for name in _VARIABLES)
    if not count or pid != str(os.getpid()):
        return ()
    if not count.isascii() or not count.isdecimal():
        raise ActivationError(f"LISTEN_FDS={count}: expected a number of descriptors")
    found, errors = [], []
    labels = dict(enumerate(names.split(":"), FIRST_DESCRIPTOR))
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)):
        try:
            found.append(InheritedSocket(_listening(number)))
        except ActivationError as error:
            label = f" ({labels[number]})" if labels.get(number) else ""
            errors.append(f"LISTEN_FDS: descriptor {number}{label}: {error}")
        except OSError as error:
            errors.append(f"LISTEN_FDS={count}: descriptor {number}: {error.strerror}")
            break
    if errors:
        raise ActivationError("\n".join(errors))
    return tuple(found)


def _listening(number: int) -> socket.socket:
    """The socket of that number, not to be inherited further.

    :raises ActivationError: it is something else.
    :raises OSError: nothing is open there.
    """
    os.set_inheritable(number, False)
    try:
        given = socket.socket(fileno=number)
    except OSError as error:
        if error.errno != errno.ENOTSOCK:
            raise
        raise ActivationError("expected a listening UNIX stream socket, got no socket at all") from None
    is_listening = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (given.family, given.type) == (socket.AF_UNIX, socket.SOCK_STREAM) and is_listening:
        given.setblocking(False)
        return given
    what = f"{given.family.name} {given.type.name}{'' if is_listening else ' that does not listen'}"
    given.detach()
    raise ActivationError(f"expected a listening UNIX stream socket, got {what}")


def _name(listening: socket.socket) -> str:
    name = listening.getsockname()
    if isinstance(name, bytes):
        return f"@{os.fsdecode(name[1:])}" if name else "without a name"
    return name or "without a name"
