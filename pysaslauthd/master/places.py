"""Directories in which nobody but root and this user can put a thing in the place of another.

Who can write the directory of a socket can have his own there, and be told the passwords of all who
log in. So can who can rename that directory, or one above it, or a link on the way. All are looked at
from the root on; when nobody else can change them, they stay what they were when they were looked at.
"""

import errno
import os
import stat
from pathlib import Path

MOST_LINKS = 40
"""Symbolic links on the way; the kernel's own limit."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UnsafePlaceError(Exception):
    """Somebody else can write it; the message says what, and why."""


def make_sure_of(directory: Path, *, is_above: bool = False) -> None:
    """That the absolute path ``directory`` leads to a directory that only root and this user can write.

    Above it, others may write where they can rename only what is theirs, as in ``/tmp``; with ``is_above`` in it too.

    :raises UnsafePlaceError: it is another.
    :raises OSError: it is not there, or no directory.
    """
    trusted = {0, os.geteuid()}
    parts = list(reversed(directory.parts[1:]))
    here, links = Path(directory.anchor), 0
    _refuse(here, here.lstat(), trusted, is_last=False)
    while parts:
        part = parts.pop()
        # All links before it are resolved, so what is above is what ".." means.
        here = here.parent if part == os.pardir else here / part
        status = here.lstat()
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if status.st_uid not in trusted:
                raise UnsafePlaceError(f"{here} is a link of the user with id {status.st_uid}")
            target = Path(os.readlink(here))  # noqa: PTH115  (a plain text, which Path would put in order)
            here = Path(target.anchor) if target.is_absolute() else here.parent
            parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        _refuse(here, status, trusted, is_last=False)
    _refuse(here, here.lstat(), trusted, is_last=not is_above)


def _refuse(here: Path, status: os.stat_result, trusted: set[int], *, is_last: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in trusted:
        raise UnsafePlaceError(
            f"{here} belongs to the user with id {status.st_uid}, who could put another there"
        )
    if mode & _OTHERS_WRITE and (is_last or not mode & stat.S_ISVTX):
        raise UnsafePlaceError(f"{here} has mode {mode:04o}: others than its owner could put another there")
