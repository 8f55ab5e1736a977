"""The pid file and the start-up lock, in the original's places and with its meaning.

``saslauthd.pid`` is locked (fcntl, so the lock dies with its process and its owner can be asked
for) for the life of a daemon. ``saslauthd.pid.lock`` is locked during a start, and for the whole
life of a foreground instance, which has no pid file.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import Self

PID_FILE = "saslauthd.pid"
START_LOCK = "saslauthd.pid.lock"

MASTER_NAME = "pysasl-master"
"""What ``ps`` calls the process that holds them; saslauthd's own is called otherwise."""

# struct flock of Linux on 64-bit systems: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")


class LockedByAnotherError(OSError):
    """Somebody else holds the lock."""


class LockFile:
    """A file that this process has locked.

    The name is made sure to lead to the locked file: whoever locked it before may have removed it
    between our opening and our locking.
    """

    def __init__(self, path: Path) -> None:
        """Create ``path`` if need be (mode 0600; an existing file keeps its mode) and lock it.

        :raises LockedByAnotherError: somebody else has.
        :raises OSError: the file cannot be made or opened, or is not one that we would have made.
        """
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        while True:
            self._descriptor = os.open(path, flags, 0o600)
            try:
                _refuse_another_kind(os.fstat(self._descriptor))
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_named():
                    return
            except OSError as error:
                os.close(self._descriptor)
                if error.errno in {errno.EAGAIN, errno.EACCES}:
                    raise LockedByAnotherError(error.errno, os.strerror(errno.EAGAIN)) from None
                raise
            os.close(self._descriptor)

    def write_pid(self) -> None:
        """Replace the content by this process's id and make it last."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        os.fsync(self._descriptor)

    def remove(self) -> None:
        """Remove the file, if the name still leads to ours, and give the lock up."""
        if self._is_named():
            with contextlib.suppress(OSError):
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Give the lock up; the file stays."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _is_named(self) -> bool:
        try:
            named = self.path.lstat()
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(self._descriptor))


def _refuse_another_kind(status: os.stat_result) -> None:
    """What we write into must have no other name, by which it is something else."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if status.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has another name: a file with one link was expected")


def lock_owner(path: Path) -> int | None:
    """The process that holds the lock on ``path``, or None, also where nobody can tell. Never this process itself."""
    try:
        return locked_by(path)
    except OSError:
        return None


def locked_by(path: Path) -> int | None:
    """The process that holds the lock on ``path``, or None; a number below one for a process that cannot be seen from here.

    :raises OSError: there is no such file, or it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else int(pid)
