"""Files as a program sees them that has its root somewhere: the machine's, a chroot's, or one of ``--root``.

A link in a chroot leads to another place than the same link outside, and who is in there need not be able to enter
what lies above. So paths are walked here as the kernel walks them, and each directory on the way is kept.
"""

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOST_LINKS = 40
"""Symbolic links on the way; the kernel's own limit."""

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LARGEST_FILE = 1 << 20
"""Bytes that are read of a file."""

_ACL = "system.posix_acl_access"
_ACL_HEADER, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")


class AclEntry(NamedTuple):
    """One line of an access control list, as the kernel stores it: kind, bits, and the user or group it names."""

    kind: int
    bits: int
    id: int


class Place(NamedTuple):
    """A directory or file: ``path`` is what an administrator calls it, whatever chroot it was seen from."""

    path: Path
    mode: int
    uid: int
    gid: int
    acl: tuple[AclEntry, ...] = ()


class Way(NamedTuple):
    """What has to be passed to get somewhere, and what is there."""

    directories: tuple[Place, ...]
    end: Place | None
    missing: Path | None = None
    """The first name that leads nowhere."""
    hidden: Path | None = None
    """The first name that this process may not look at."""


class Tree:
    """Files below ``root``, which the administrator calls ``shown``."""

    def __init__(self, root: Path = Path("/"), shown: Path = Path("/")) -> None:
        self.root = root
        self.shown = shown

    def __repr__(self) -> str:
        return f"Tree({self.root})"

    @property
    def is_machine(self) -> bool:
        """Whether it is this machine as it runs, so that there are processes to look at."""
        return self.root == Path("/")

    def below(self, path: Path) -> "Tree":
        """The files of who has his root at ``path``, as in a chroot."""
        return Tree(self.real(path), self.shown_as(path))

    def shown_as(self, path: Path) -> Path:
        """What the administrator calls ``path``."""
        return self.shown / path.relative_to("/")

    def real(self, path: Path) -> Path:
        """Where ``path`` leads to, by its name on this machine; what is not there keeps its name."""
        *_, (here, _) = self._walk(path)
        return here

    def way(self, path: Path) -> Way:
        """What a program passes on its way to ``path``."""
        passed: list[Place] = []
        for here, status in self._walk(path):
            if isinstance(status, PermissionError):
                return Way(tuple(passed), None, hidden=self._name(here))
            if isinstance(status, OSError):
                return Way(tuple(passed), None, missing=self._name(here))
            passed.append(
                Place(self._name(here), status.st_mode, status.st_uid, status.st_gid, _acl_of(here))
            )
        *directories, end = passed
        return Way(tuple(directories), end)

    def read(self, path: Path) -> str | None:
        """The text of a regular file; None where there is none that this process may read."""
        try:
            # Without O_NONBLOCK a named pipe would wait for its writer.
            descriptor = os.open(self.real(path), _READING)
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            return os.read(descriptor, LARGEST_FILE).decode(errors="replace")
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def has(self, path: Path) -> bool:
        """Whether something is there."""
        return self.way(path).end is not None

    def names(self, directory: Path) -> list[Path]:
        """What is in a directory, in order; nothing where there is none."""
        with contextlib.suppress(OSError):
            return sorted(directory / name for name in os.listdir(self.real(directory)))  # noqa: PTH208  (names alone)
        return []

    def _walk(self, path: Path) -> Iterator[tuple[Path, os.stat_result | OSError]]:
        """Each place on the way by its real name, links resolved, from the root to the end or to what is not there."""
        parts = list(reversed(path.parts[1:]))
        here, links = self.root, 0
        try:
            yield here, here.stat()
        except OSError as error:
            yield here, error
            return
        while parts:
            part = parts.pop()
            if part == os.pardir:
                here = here if here == self.root else here.parent
                continue
            there = here / part
            try:
                status = there.lstat()
                if stat.S_ISLNK(status.st_mode):
                    links += 1
                    if links > MOST_LINKS:
                        raise OSError("too many links")
                    target = Path(os.readlink(there))  # noqa: PTH115  (a plain text, which Path would put in order)
                    here = self.root if target.is_absolute() else here
                    parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
                    continue
            except OSError as error:
                yield there.joinpath(*reversed(parts)), error
                return
            here = there
            yield here, status

    def _name(self, real: Path) -> Path:
        return self.shown / real.relative_to(self.root)


def _acl_of(real: Path) -> tuple[AclEntry, ...]:
    try:
        raw = os.getxattr(real, _ACL)
    except OSError:
        return ()
    entries = raw[_ACL_HEADER.size :]
    whole = len(entries) - len(entries) % _ACL_ENTRY.size
    return tuple(AclEntry(*entry) for entry in _ACL_ENTRY.iter_unpack(entries[:whole]))
