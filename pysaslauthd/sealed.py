"""Copies of files that only root may read, as they were when a generation began.

``saslauthd.conf`` holds a password, and a TLS key is one. The master copies them, unparsed, into
sealed memory; the workers of the mechanism inherit the copies. So no worker needs the right to read
them, all workers agree, and a file that is being edited counts at the next reload, if it is whole.
"""

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LARGEST_FILE = 1 << 20
"""Bytes. A configuration has a few hundred, a file of all the world's certificate authorities 250,000."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Inspection(NamedTuple):
    """What a mechanism says of the copies before they count: lines for the log, and files it needs besides."""

    errors: tuple[str, ...] = ()
    """What makes them useless."""
    warnings: tuple[str, ...] = ()
    further: tuple[Path, ...] = ()


class SealedFiles:
    """Copies by the path of the original, and for those that could not be made, why. It owns the copies."""

    def __init__(self) -> None:
        self._copies: dict[Path, int] = {}
        self._errors: dict[Path, str] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a process has to keep to read the copies."""
        return tuple(self._copies.values())

    def has(self, path: Path) -> bool:
        """Whether it has been tried to copy that file."""
        return path in self._copies or path in self._errors

    def add(self, path: Path) -> None:
        """Copy a file, unless it has been; if that fails, :meth:`read` says why."""
        if self.has(path):
            return
        try:
            self._copies[path] = _copy(path)
        except OSError as error:
            self._errors[path] = error.strerror or str(error)

    def read(self, path: Path) -> bytes:
        """What the file held.

        :raises OSError: it could not be copied; ``strerror`` says why.
        """
        if path in self._errors:
            raise OSError(0, self._errors[path], str(path))
        descriptor = self._copies[path]
        # Not read(): all who inherited the descriptor share its position.
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def place(self, path: Path) -> Path:
        """Where a library that wants a path finds the copy; the path itself if there is none."""
        return Path(f"/proc/self/fd/{self._copies[path]}") if path in self._copies else path

    def close(self) -> None:
        """Give the copies up."""
        while self._copies:
            os.close(self._copies.popitem()[1])


def sealed_memory(name: str, fill: Callable[[int], None]) -> int:
    """A descriptor of memory that nobody can change any more after ``fill``, which gets it; the caller's to close.

    :raises OSError: there is none to be had.
    """
    memory = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        fill(memory)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _copy(path: Path) -> int:
    # Without O_NONBLOCK a named pipe would wait for its writer.
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(source)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_size > LARGEST_FILE:
            raise OSError(0, f"larger than {LARGEST_FILE} bytes")

        def fill(copy: int) -> None:
            # It may grow meanwhile: what counts is that there is a limit.
            while os.sendfile(copy, source, None, LARGEST_FILE) and os.fstat(copy).st_size <= LARGEST_FILE:
                pass

        return sealed_memory(path.name, fill)
    finally:
        os.close(source)
