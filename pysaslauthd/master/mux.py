"""The sockets that logins come by, as the master makes them."""

import abc
import contextlib
import errno
import os
import select
import socket
import stat
from pathlib import Path
from typing import NamedTuple

from pysaslauthd.config.socket_tables import DEFAULT_MODE
from pysaslauthd.master import places
from pysaslauthd.master.places import UnsafePlaceError
from pysaslauthd.master.runpath import RunPathError

BACKLOG = 1024
"""Clients that may wait to be accepted; the kernel cuts it to ``net.core.somaxconn``."""

UNCHANGED = -1
"""For an owner or a group: what the system gives to a new file, so the daemon's own."""


class LiveSocketError(Exception):
    """Somebody answers on the socket already."""


class LostSocketError(Exception):
    """Nobody can connect to the socket any more, and we cannot make another in its place."""


class Look(NamedTuple):
    """Whose a socket is, by numbers, and the bits of its mode."""

    owner: int = UNCHANGED
    group: int = UNCHANGED
    mode: int = DEFAULT_MODE


def is_live(path: Path) -> bool:
    """Whether a process listens on the socket ``path``; a stale one of a killed daemon is not live, nor is what is no socket."""
    if not _is_socket(path):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except OSError as error:
            # EAGAIN: somebody listens whose backlog is full.
            return error.errno == errno.EAGAIN
    return True


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False


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
    def change(self, look: Look) -> None:
        """Give it another owner and mode, while clients come.

        :raises OSError: that is not for us to do.
        """

    @abc.abstractmethod
    def remove(self) -> None:
        """Have who connects from now on find no daemon, where nobody else will be there."""


class OwnSocket(MuxSocket):
    """One that the master makes, under a name in the file system that it removes at the end."""

    outlives_us = False

    def __init__(self, path: Path, look: Look | None = None) -> None:
        """Take the place of a stale socket and listen. The directory is there, and nobody else can write it.

        :raises LiveSocketError: somebody answers there.
        :raises RunPathError: it cannot be made.
        """
        self.path = path
        self.name = str(path)
        self.look = look or Look()
        self._is_removed = False
        try:
            places.make_sure_of(path.parent)
        except UnsafePlaceError as error:
            raise _cannot(path, "the directory is not safe", str(error)) from None
        except OSError as error:
            raise _cannot(path, "the directory", error.strerror or "") from None
        if is_live(path):
            raise LiveSocketError(self.name)
        self.socket = self._listen()

    def repair(self) -> None:
        """See :class:`MuxSocket`. It is made anew if nobody can connect any more."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        if poll.poll(0):
            broken, self.socket = self.socket, self._listen()
            broken.close()
        else:
            self.socket.listen(BACKLOG)

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        doing = "bind"
        try:
            self._make_room()
            # The mode is the one of the unbound socket less the umask, so it never has another.
            os.fchmod(listening.fileno(), self.look.mode)
            umask = os.umask(0)
            try:
                listening.bind(self.name)
            finally:
                os.umask(umask)
            self._status = self.path.lstat()
            doing = "chown"
            if self.look[:2] != (UNCHANGED, UNCHANGED):
                os.chown(self.path, self.look.owner, self.look.group, follow_symlinks=False)
            # Until now nobody can connect, whoever the new owner is.
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            if doing == "chown":
                self._unlink()
            raise _cannot(self.path, doing, error.strerror or "") from None
        return listening

    def _make_room(self) -> None:
        """Remove a socket that nobody listens on. What is no socket is somebody's, or a trap."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISSOCK(mode):
            self.path.unlink()
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        else:
            raise FileExistsError(errno.EEXIST, "what is there is no socket")

    def change(self, look: Look) -> None:
        """See :class:`MuxSocket`. Meanwhile it has no right that it had not before or will not have."""
        if look == self.look:
            return
        descriptor = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(descriptor), self._status):
                raise FileExistsError(errno.EEXIST, "what is there is not ours")
            same = f"/proc/self/fd/{descriptor}"
            os.chmod(same, self.look.mode & look.mode)  # noqa: PTH101  (no path but a descriptor)
            owner = os.geteuid() if look.owner == UNCHANGED else look.owner
            group = os.getegid() if look.group == UNCHANGED else look.group
            os.chown(same, owner, group)
            os.chmod(same, look.mode)  # noqa: PTH101  (the same)
        finally:
            os.close(descriptor)
        self.look = look

    def remove(self) -> None:
        """See :class:`MuxSocket`. The name is removed, if it is still ours, once: then another may have it."""
        if not self._is_removed:
            self._is_removed = True
            self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), self._status):
                self.path.unlink()


def _cannot(path: Path, doing: str, why: str) -> RunPathError:
    return RunPathError(f"could not bind to socket: {path}\n{doing}: {why}")
