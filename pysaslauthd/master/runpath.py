"""The run directory and the socket in it.

The directory is created if its parent exists, and never chmodded or chowned: who may ask for
passwords is decided by its mode, and that is the administrator's.
"""

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


class MuxSocket:
    """The listening socket ``mux``, owned by the master and removed by it."""

    def __init__(self, directory: Path) -> None:
        """Take the place of a stale socket and listen. :func:`enter` was called for ``directory``.

        :raises LiveSocketError: somebody answers there.
        :raises RunPathError: it cannot be made.
        """
        self.path = directory / SOCKET_NAME
        if is_live(self.path):
            raise LiveSocketError(str(self.path))
        self.socket = self._listen()
        self._status = self.path.lstat()

    def repair(self) -> None:
        """Make the socket anew if nobody can connect any more.

        The front shares it, and a front that was taken over can shut it down for all who do.

        :raises RunPathError: it cannot be made.
        """
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
        """Remove the name, if it is still ours: who connects from now on finds no daemon."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), self._status):
                self.path.unlink()
