"""The run directory, and the sockets that logins come by.

The directory is created if its parent exists, and never chmodded or chowned: who may ask for
passwords is decided by its mode, and that is the administrator's.
"""

import abc
import contextlib
import errno
import os
import select
import socket
from pathlib import Path

SOCKET_NAME = "mux"
DIRECTORY_MODE = 0o755
SOCKET_MODE = 0o777
BACKLOG = 1024
"""Clients that may wait to be accepted; the kernel cuts it to ``net.core.somaxconn``."""

LONGEST_SOCKET_PATH = 107  # bytes; sun_path less its NUL


class RunPathError(Exception):
    """The run directory or the socket cannot be had; the message is in the original's words."""


class LiveSocketError(Exception):
    """Somebody answers on the socket already."""


class LostSocketError(Exception):
    """Nobody can connect to the socket any more, and we cannot make another in its place."""


def hint(what: str) -> str:
    """The original's two lines of advice."""
    return f"Check to make sure the {what} exists and is\nwriteable by the user this process runs as."


def enter(path: Path) -> None:
    """Create the directory if need be (one level, mode 0755 less the umask) and go there.

    :raises RunPathError: it cannot be created or entered.
    """
    if len(os.fsencode(path / SOCKET_NAME)) > LONGEST_SOCKET_PATH:
        raise RunPathError(
            f"run path too long: {path}\nthe socket's path, {SOCKET_NAME} included, may have {LONGEST_SOCKET_PATH} bytes"
        )
    try:
        path.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        pass
    except OSError as error:
        raise RunPathError(
            f"can not mkdir: {path}\nmkdir: {error.strerror}\n{hint('parent directory')}"
        ) from None
    try:
        os.chdir(path)
    except OSError as error:
        raise RunPathError(
            f"could not chdir to: {path}\nchdir: {error.strerror}\n{hint('directory')}"
        ) from None


def is_live(path: Path) -> bool:
    """Whether a process listens on the socket ``path``; a stale one of a killed daemon is not live."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except OSError as error:
            # EAGAIN: somebody listens whose backlog is full.
            return error.errno == errno.EAGAIN
    return True


class MuxSocket(abc.ABC):
    """A listening socket that logins come by, held by the master and shared with each front."""

    socket: socket.socket
    name: str
    """What the log calls it."""
    outlives_us: bool
    """Whether somebody listens on it after us, so that a client who waits in its backlog loses nothing by our end."""

    @abc.abstractmethod
    def repair(self) -> None:
        """Have clients able to connect, before a front is started.

        The front shares the socket, and a front that was taken over can shut it down for all who do.

        :raises RunPathError: it cannot be made anew now.
        :raises LostSocketError: it never can by us.
        """

    @abc.abstractmethod
    def remove(self) -> None:
        """Have who connects from now on find no daemon, where nobody else will be there."""


class OwnSocket(MuxSocket):
    """One that the master makes, under a name in the file system that it removes at the end."""

    outlives_us = False

    def __init__(self, path: Path) -> None:
        """Take the place of a stale socket and listen. The directory is there; see :func:`enter`.

        :raises LiveSocketError: somebody answers there.
        :raises RunPathError: it cannot be made.
        """
        self.path = path
        self.name = str(path)
        if is_live(path):
            raise LiveSocketError(self.name)
        self.socket = self._listen()
        self._status = path.lstat()

    def repair(self) -> None:
        """See :class:`MuxSocket`. It is made anew if nobody can connect any more."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        if poll.poll(0):
            self.socket.close()
            self.socket = self._listen()
            self._status = self.path.lstat()
        else:
            self.socket.listen(BACKLOG)

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            # The mode is the one of the unbound socket less the umask, so it never has another.
            os.fchmod(listening.fileno(), SOCKET_MODE)
            umask = os.umask(0)
            try:
                listening.bind(str(self.path))
            finally:
                os.umask(umask)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise RunPathError(f"could not bind to socket: {self.path}\nbind: {error.strerror}") from None
        return listening

    def remove(self) -> None:
        """See :class:`MuxSocket`. The name is removed, if it is still ours."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), self._status):
                self.path.unlink()
